// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { createHash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'

/**
 * Computes the hashes of any number of downloads. Answers each order, and all orders in turn.
 *
 * @import { Hash } from 'node:crypto'
 * @import { HashOrder, HashReply } from './hash-threads.ts'
 * @type {Map<number, Hash>}
 */
const hashes = new Map()

parentPort?.on('message', (/** @type {HashOrder} */ { id, algorithm, bytes }) => {
  const hash = hashes.get(id) ?? createHash(algorithm)
  /** @type {HashReply} */
  const reply = { id, digest: '' }
  if (bytes === undefined) {
    hashes.delete(id)
    reply.digest = hash.digest('hex')
  } else {
    hashes.set(id, hash.update(bytes))
  }
  parentPort?.postMessage(reply)
})
