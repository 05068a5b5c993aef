// Plain JavaScript: a thread starts from this file as it is, whether from the sources or from the build.
import { workerData } from 'node:worker_threads'

/**
 * The thread that ends a process whose time to stop is over. The main thread would do so itself, were it not blocked by a
 * handler; what it holds then is taken back by others when its lease is over.
 *
 * @type {{ ms: number }}
 */
const { ms } = workerData
// Node's timers fire at once when they are given more.
setTimeout(() => process.kill(process.pid, 'SIGKILL'), Math.min(ms, 2 ** 31 - 1))
