// Plain JavaScript, as the process that it watches.
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { workerData } from 'node:worker_threads'

/**
 * The thread in a handler's process that ends it when its worker has ended, or when it uses far more memory than allowed:
 * V8 limits the heap alone, not the memory beside it.
 *
 * @type {{ memoryMb: number | undefined }}
 */
const { memoryMb } = workerData

/** A pipe whose other end the worker holds. It closes however the worker dies. */
const LIFELINE_FD = 4
/** The memory of Node, the libraries and a full young generation beside the heap. */
const BESIDE_MB = 256

/** Kills the process group, which includes what the handler has started. */
const die = () => process.kill(process.platform === 'win32' ? process.pid : -process.pid, 'SIGKILL')

new Socket({ fd: LIFELINE_FD, readable: true, writable: false }).on('error', die).on('close', die).resume()

if (memoryMb !== undefined) {
  const most = memoryMb + BESIDE_MB
  setInterval(() => {
    const rss = Math.round(process.memoryUsage.rss() / 2 ** 20)
    if (rss <= most) return
    writeSync(2, `out of memory: the process takes ${rss} MB, ${most} are allowed\n`)
    die()
  }, 250)
}
