// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { writeSync } from 'node:fs'
import { processGuard } from '../boundary/process-guard.js'
import { serveAttempts } from './serve-attempt.js'

/** @import { Report } from './messages.ts' */

processGuard.hold()

/**
 * Straight to the file: the port of an attempt that has ended is closed.
 *
 * @param {Extract<Report, { kind: 'late' }>} late
 */
function logLate({ task, error }) {
  const msg = 'an uncaught error of a handler in a thread, after its end'
  writeSync(2, `${JSON.stringify({ level: 50, time: Date.now(), pid: process.pid, task, err: error, msg })}\n`)
}

/**
 * A handler's thread: one attempt over the port that came with it.
 *
 * @param {{ port: import('node:worker_threads').MessagePort }} task
 * @returns {Promise<void>}
 */
export default function thread({ port }) {
  const serve = serveAttempts((report) => port.postMessage(report), logLate)
  return new Promise((resolve, reject) => {
    port.on('message', (/** @type {import('./messages.ts').Order} */ order) => {
      serve(order).then(() => order.kind === 'begin' && resolve(), reject)
    })
  })
}
