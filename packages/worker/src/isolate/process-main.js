// Plain JavaScript: a process starts from this file as it is, whether from the sources or from the build.
import { Worker } from 'node:worker_threads'
import { processGuard } from '../boundary/process-guard.js'
import { serveAttempts } from './serve-attempt.js'
import { describeError } from './wire.js'

/** @import { Order, Report } from './messages.ts' */

// In a thread, since it must end the process even when the handler blocks the event loop.
new Worker(new URL('./lifeline.js', import.meta.url), {
  workerData: { memoryMb: Number(process.argv[2]) || undefined },
  execArgv: [],
  resourceLimits: { maxYoungGenerationSizeMb: 1, maxOldGenerationSizeMb: 16 },
}).unref()

const send = (/** @type {Report} */ report) => {
  process.send?.(report, undefined, undefined, () => undefined)
}
const serve = serveAttempts(send, send)
processGuard.hold()
process.on('message', (order) => void serve(/** @type {Order} */ (order)))
process.on('disconnect', () => process.exit(0))
// The worker handles signals to the whole group: it decides whether handlers go on.
process.on('SIGTERM', () => undefined)
process.on('SIGINT', () => undefined)
process.on('uncaughtExceptionMonitor', (error) => {
  if (processGuard.current === undefined) send({ kind: 'uncaught', error: describeError(error) })
})
