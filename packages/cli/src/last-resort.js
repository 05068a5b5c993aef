// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { workerData } from 'node:worker_threads'

/**
 * A thread that kills the process when its time to stop is over, in case a handler blocks the main thread. Other workers take back
 * its tasks when its lease has expired.
 *
 * @type {{ ms: number }}
 */
const { ms } = workerData
// A longer timer would fire at once.
setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.min(ms, 2 ** 31 - 1))
