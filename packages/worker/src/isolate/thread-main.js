// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { serveAttempts } from './serve-attempt.js'

/**
 * A handler's thread: one attempt over the port that came with it.
 *
 * @param {{ port: import('node:worker_threads').MessagePort }} task
 * @returns {Promise<void>}
 */
export default function thread({ port }) {
  const serve = serveAttempts((report) => port.postMessage(report))
  return new Promise((resolve, reject) => {
    port.on('message', (/** @type {import('./messages.ts').Order} */ order) => {
      serve(order).then(() => order.kind === 'begin' && resolve(), reject)
    })
  })
}
