import { AsyncResource } from 'node:async_hooks'
import { once } from 'node:events'
import { exit } from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { threadId, workerData } from 'node:worker_threads'
import { AttemptAborted, FleetError, RetryAfterError, SnoozeError, UnrecoverableError } from '@taskfleet/protocol'
import { oddValues } from '@taskfleet/testkit/fleet/odd-values'
import { defineTask, Task } from '@taskfleet/worker'

/** @import { HandlerContext } from '@taskfleet/worker' */
/** @import { IsolateOption } from './isolation.ts' */

// Plain JavaScript: an isolate loads this file, and would load a loader for TypeScript first.

/** @type {import('@standard-schema/spec').StandardSchemaV1<unknown, unknown>} */
const anything = {
  '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value }) },
}

const outside = new AsyncResource('outside')

const trap = () => {
  throw new Error('no looking')
}
/** What `throws` throws, by its input. */
const thrown = {
  unrecoverable: () => new UnrecoverableError('NO_WAY', 'for good'),
  retryAfter: () => new RetryAfterError('LATER', 'not yet', 1_234),
  snooze: () => new SnoozeError('5s'),
  field: () => new FleetError('INPUT_ODD', 'that one', { field: 'url', cause: new Error('underneath') }),
  system: () => Object.assign(new RangeError('full'), { code: 'ENOSPC' }),
  null: () => null,
  frozen: () => Object.freeze(new Error('frozen')),
  getter: () => Object.defineProperty(new UnrecoverableError('MINE', 'x'), 'message', { get: trap }),
  proxy: () => new Proxy(new Error('inside'), { get: trap }),
  stack: () => Object.assign(new Error('odd'), { stack: 42, code: { $gt: 1 } }),
  huge: () => new Error('x'.repeat(10_000_000)),
}

/**
 * Behaviours by name, for any isolate.
 *
 * @satisfies {Record<string, (context: HandlerContext<any>) => unknown>}
 */
const acts = {
  echo: ({ input }) => input,
  identity: () => ({ pid: process.pid, threadId }),
  surroundings: () => ({ env: { ...process.env }, argv: process.argv, execArgv: process.execArgv, workerData }),
  talk: ({ progress, log, socket }) => {
    progress({ done: 1, total: 2, unit: 'bytes' })
    log.info('begins')
    socket.emit('hello', { from: 'inside' })
    log.warn('goes on')
    progress({ done: 2, total: 2 })
  },
  chatter: ({ input, progress, log }) => {
    for (let done = 1; done <= input; done += 1) {
      progress({ done })
      log.debug(`line ${done}`)
    }
  },
  resume: async ({ checkpoint }) => {
    const before = /** @type {{ at: Date, n: number } | undefined} */ (checkpoint.state)
    await checkpoint.save({ at: new Date(5_000), n: (before?.n ?? 0) + 1 })
    return { before, after: checkpoint.state }
  },
  gathers: async ({ results }) => {
    const found = await results()
    return {
      ids: [...found.keys()],
      outputs: [...found.values()].map(({ output }) => output ?? null),
      map: found instanceof Map,
    }
  },
  fenced: async ({ checkpoint }) => {
    const error = await checkpoint.save(1).catch((thrown) => thrown)
    return error instanceof AttemptAborted && error.code
  },
  answers: async ({ socket, log, signal }) => {
    const undo = socket.on('twice', (data) => /** @type {number} */ (data) * 2)
    socket.on('fails', () => {
      throw new FleetError('WRONG_QUESTION', 'not that one')
    })
    socket.on('stop-listening', () => undo())
    const ended = new Promise((resolve) => socket.on('end', () => resolve('asked to')))
    log.info(`listening in ${process.pid}`)
    return Promise.race([ended, once(signal, 'abort')])
  },
  task: async ({ task }) => ({
    real: task instanceof Task,
    id: task.id,
    name: task.name,
    attempt: task.attempt,
    queue: task.queue,
    key: task.key,
    deadline: task.deadline,
    worker: task.worker,
    leaseId: task.leaseId,
    owned: task.owned,
    confirmed: await task.confirmOwned(),
  }),
  untilDisowned: async ({ task, log }) => {
    log.info(`owned: ${task.owned}`)
    while (task.owned) await sleep(10)
    return 'disowned'
  },
  stopsOnAbort: async ({ log, signal }) => {
    log.info('waiting')
    await once(signal, 'abort')
    const { reason } = signal
    throw new FleetError(reason instanceof AttemptAborted ? reason.code : 'NO_REASON', reason.message)
  },
  blocks: ({ log }) => {
    log.info(`pid ${process.pid}`)
    for (;;);
  },
  waits: ({ log }) => {
    log.info(`pid ${process.pid}`)
    return new Promise(() => setInterval(() => undefined, 1_000))
  },
  exits: () => exit(7),
  /** Outside of any attempt, as if the module did it by itself. */
  lateThrow: () => {
    outside.runInAsyncScope(() =>
      setTimeout(() => {
        throw new TypeError('nobody catches this')
      }, 1),
    )
    return new Promise(() => undefined)
  },
  leaks: async ({ signal }) => {
    void Promise.reject(new TypeError('nobody awaits this'))
    await once(signal, 'abort')
    return 'stopped'
  },
  leaksAndReturns: () => void Promise.reject(new TypeError('nobody awaits this')),
  leaksAfterwards: () => {
    setTimeout(() => {
      throw new TypeError('too late')
    }, 300)
    return { pid: process.pid, threadId }
  },
  takesItsTime: () => sleep(900, { pid: process.pid, threadId }),
  hungry: () => {
    /** @type {unknown[]} */
    const eaten = []
    for (;;) eaten.push(Array.from({ length: 10_000 }, (_, n) => ({ n })))
  },
  hungryBeside: async () => {
    /** @type {Buffer[]} */
    const eaten = []
    for (;;) {
      eaten.push(Buffer.alloc(16 * 2 ** 20, 1))
      await sleep(10)
    }
  },
  throws: ({ input }) => {
    throw (thrown[/** @type {keyof typeof thrown} */ (input)] ?? (() => 'just a text'))()
  },
  odd: async ({ input, checkpoint, progress, socket }) => {
    const { as, kind } = input
    const value = { v: oddValues()[kind] }
    if (as === 'checkpoint') return checkpoint.save(value)
    if (as === 'progress') return progress(/** @type {object} */ (value))
    return as === 'event' ? socket.emit('odd', value) : value
  },
}

/** @typedef {keyof typeof acts} ActName */

/**
 * @param {ActName} name
 * @param {IsolateOption} isolate
 */
export const handler = (name, isolate) =>
  defineTask({ name, input: anything, isolate, module: import.meta.url, run: acts[name] })

/** The exports that an isolate finds. The kind does not matter there. */
export default Object.keys(acts).map((name) => handler(/** @type {ActName} */ (name), 'process'))
