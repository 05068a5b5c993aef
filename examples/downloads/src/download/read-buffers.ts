import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** How many received bytes may pile up in used read buffers. */
const MOST = 4 * 2 ** 20

// undici's parser is WebAssembly: its baseline code is fast enough, and optimising it takes 30 MB for a moment.
setFlagsFromString('--liftoff-only')
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as (options: { type: 'minor' }) => void

/**
 * Counts received bytes and frees the buffers that they came in. Node reads every 64 KiB into a buffer of its own outside
 * the heap, and the collector sees no reason to look after them until tens of megabytes have piled up; a collection of
 * the young generation takes a fraction of a millisecond and keeps a worker small.
 */
export function readBufferRelief(): (bytes: number) => void {
  let piled = 0
  return (bytes) => {
    piled += bytes
    if (piled < MOST) return
    piled = 0
    collect({ type: 'minor' })
  }
}
