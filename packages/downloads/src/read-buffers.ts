import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** How many bytes may be received between two collections. */
const MOST = 2 * 2 ** 20

// undici's parser is WebAssembly: its baseline code is fast enough, and optimising it takes 30 MB for a moment.
setFlagsFromString('--liftoff-only')
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void

let piled = 0

/**
 * Counts the bytes that all downloads receive, and runs a collection of the young generation every few megabytes. It takes a
 * fraction of a millisecond and keeps a worker small. The collector itself waits until the young generation is full, which is
 * 16 MB. It does not see the buffers outside the heap into which Node reads a body without a length.
 */
export function relieveReadBuffers(bytes: number): void {
  piled += bytes
  if (piled < MOST) return
  piled = 0
  collect({ type: 'minor' })
}
