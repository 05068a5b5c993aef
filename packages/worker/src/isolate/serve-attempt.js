// Plain JavaScript: an isolate starts from this file as it is, whether from the sources or from the build.

import { ObjectId } from 'mongodb'
import { processGuard } from '../boundary/process-guard.js'
import { exportedValues, readTypeScript } from '../task-module.js'
import { describeError, pack, reviveError, unpack } from './wire.js'

/**
 * @import { LogLevel } from '@taskfleet/core'
 * @import { ProgressUpdate } from '../handler.ts'
 * @import { Answered, Begin, Order, Packed, Report } from './messages.ts'
 * @import { TaskFactory } from '../task-factory.ts'
 */

/** @typedef {typeof import('./core.js')} Core */

/** How often progress and log lines are sent at most, so that any rate of calls is cheap for the worker. */
const FLUSH_MS = 50
/** How many log lines wait to be sent, as many as the worker keeps of an attempt. */
const LOG_LINES = 200
/** What the worker keeps of a line. */
const LOG_LINE_LIMIT = 4_000

const monotonicMs = () => Number(process.hrtime.bigint() / 1_000n) / 1_000

/** Sends progress and log lines at a limited rate; at once after a pause. */
class Outbox {
  /** @param {(report: Report) => void} send */
  constructor(send) {
    this.send = send
    /** @type {ProgressUpdate | undefined} */
    this.latest = undefined
    /** @type {{ level: LogLevel, message: string }[]} */
    this.lines = []
    this.flushedAt = Number.NEGATIVE_INFINITY
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined
  }

  /** @param {ProgressUpdate} update */
  progress(update) {
    this.latest = update
    this.due()
  }

  /**
   * @param {LogLevel} level
   * @param {string} message
   */
  log(level, message) {
    this.lines.push({ level, message: message.slice(0, LOG_LINE_LIMIT) })
    if (this.lines.length > LOG_LINES) this.lines.shift()
    this.due()
  }

  /** Compares clocks, since no timer fires while a handler blocks its event loop. */
  due() {
    const left = this.flushedAt + FLUSH_MS - performance.now()
    if (left <= 0) this.flush()
    else this.timer ??= setTimeout(() => this.flush(), left)
  }

  flush() {
    clearTimeout(this.timer)
    this.timer = undefined
    this.flushedAt = performance.now()
    if (this.lines.length > 0) this.send({ kind: 'log', lines: this.lines.splice(0) })
    if (this.latest !== undefined) this.send({ kind: 'progress', update: this.latest })
    this.latest = undefined
  }
}

/** One attempt as the handler sees it. Everything else is in the worker, at the other end of the channel. */
class Attempt {
  /**
   * @param {Begin} begin
   * @param {(report: Report) => void} send
   * @param {(late: Extract<Report, { kind: 'late' }>) => void} reportLate
   */
  constructor(begin, send, reportLate) {
    this.begin = begin
    this.reportLate = reportLate
    /** What a handler sends after its end is dropped. */
    this.send = (/** @type {Report} */ report) => this.ended || send(report)
    this.outbox = new Outbox((report) => this.send(report))
    this.controller = new AbortController()
    this.trustedUntil = begin.trustedUntil
    this.ended = false
    this.calls = 0
    /** @type {Map<number, { resolve(value: unknown): void, reject(reason: unknown): void }>} */
    this.pending = new Map()
    /** @type {Map<string, (data: unknown) => unknown>} */
    this.answers = new Map()
    /** @type {Described[]} */
    this.early = []
    /** @type {Core | undefined} */
    this.core = undefined
  }

  /** @returns {Promise<void>} */
  async run() {
    /** @type {Answered} */
    let answer
    try {
      const { factory, core } = await load(this.begin)
      this.core = core
      for (const reason of this.early) this.abort(reason, core)
      this.controller.signal.throwIfAborted()
      const output = await this.within(async () => factory.run(this.context(factory, core)))
      // Checked here, since the channel carries values that the database can't store, and changes others.
      answer = { value: pack(output === undefined ? undefined : core.keepValue(output, 'output')) }
      // An uncaught error in the handler's last turn of the event loop still counts.
      await new Promise((resolve) => setImmediate(resolve))
    } catch (error) {
      answer = { error: describeError(error) }
    }
    this.outbox.flush()
    try {
      this.send({ kind: 'ended', answer })
    } catch (error) {
      this.send({ kind: 'ended', answer: { error: notCloneable('output', error) } })
    }
    this.ended = true
  }

  /**
   * Calls a function of the handler. An uncaught error in it belongs to the attempt.
   *
   * @template T
   * @param {() => T} act
   * @returns {T}
   */
  within(act) {
    return processGuard.run(this, act)
  }

  /** @param {unknown} thrown */
  leaked(thrown) {
    const error = describeError(thrown)
    if (this.ended) this.reportLate({ kind: 'late', task: this.begin.task.id, error })
    else this.send({ kind: 'leaked', error })
  }

  /**
   * @param {Described} reason
   * @param {Core} core
   */
  abort(reason, core) {
    this.within(() => this.controller.abort(reviveError(reason, core)))
  }

  /** @param {Order} order */
  obey(order) {
    switch (order.kind) {
      case 'abort':
        if (this.core === undefined) this.early.push(order.reason)
        else this.abort(order.reason, this.core)
        break
      case 'trust':
        this.trustedUntil = order.until
        break
      case 'answered':
        this.settle(order.call, order.answer)
        break
      case 'ask':
        void this.answer(order.ask, order.name, order.data)
        break
    }
  }

  /**
   * @param {TaskFactory} factory
   * @param {Core} core
   * @returns {import('../handler.ts').HandlerContext<never>}
   */
  context(factory, core) {
    const { begin, outbox } = this
    const { id, leaseId, ...task } = begin.task
    const claim = /** @type {import('@taskfleet/core/internal').Claim} */ (
      /** @type {unknown} */ ({ task: { ...task, _id: new ObjectId(id) }, leaseId })
    )
    let state = unpack(begin.checkpoint)
    return {
      input: /** @type {never} */ (unpack(begin.input)),
      // By the factory, whose module may have its own class of Task.
      task: factory.make(claim, {
        trusted: () => monotonicMs() < this.trustedUntil,
        proven: async () => void (await this.call({ what: 'proven' })),
        confirm: async () => (await this.call({ what: 'confirm' })) === true,
      }),
      signal: this.controller.signal,
      progress: (update) => outbox.progress(core.keepProgress(update)),
      log: {
        debug: (message) => outbox.log('debug', core.asText(message)),
        info: (message) => outbox.log('info', core.asText(message)),
        warn: (message) => outbox.log('warn', core.asText(message)),
        error: (message) => outbox.log('error', core.asText(message)),
      },
      socket: {
        emit: core.eventGate(
          (name, data) => this.send({ kind: 'emit', name, data: pack(data) }),
          (message) => outbox.log('warn', message),
        ),
        on: (name, answer) => this.listen(name, answer),
      },
      results: async () => {
        const results = await this.call({ what: 'results' })
        return new Map(/** @type {[string, import('../handler.ts').PredecessorResult][]} */ (results))
      },
      checkpoint: {
        get state() {
          return state
        },
        save: async (next) => {
          const kept = core.keepValue(next ?? null, 'checkpoint')
          await this.call({ what: 'save', state: pack(kept) })
          state = kept
        },
      },
    }
  }

  /**
   * @param {{ what: 'confirm' | 'proven' | 'results' } | { what: 'save', state: Packed }} call
   * @returns {Promise<unknown>}
   */
  call(call) {
    return new Promise((resolve, reject) => {
      this.calls += 1
      // Flushed first, so that the worker gets the progress before the checkpoint.
      this.outbox.flush()
      this.send({ kind: 'call', call: this.calls, ...call })
      this.pending.set(this.calls, { resolve, reject })
    })
  }

  /**
   * @param {number} call
   * @param {Answered} answer
   */
  settle(call, answer) {
    const waiting = this.pending.get(call)
    this.pending.delete(call)
    if ('value' in answer) waiting?.resolve(unpack(answer.value))
    else waiting?.reject(reviveError(answer.error, /** @type {Core} */ (this.core)))
  }

  /**
   * @param {string} name
   * @param {(data: unknown) => unknown} answer
   */
  listen(name, answer) {
    this.answers.set(name, answer)
    this.send({ kind: 'listen', name })
    return () => {
      if (this.answers.get(name) !== answer) return
      this.answers.delete(name)
      this.send({ kind: 'unlisten', name })
    }
  }

  /**
   * @param {number} ask
   * @param {string} name
   * @param {Packed} data
   */
  async answer(ask, name, data) {
    /** @type {Answered} */
    let answer
    try {
      const answered = await this.within(() => this.answers.get(name)?.(unpack(data)))
      answer = { value: pack(answered === undefined ? undefined : this.core?.keepValue(answered, 'answer')) }
    } catch (error) {
      answer = { error: describeError(error) }
    }
    try {
      this.send({ kind: 'answer', ask, answer })
    } catch (error) {
      this.send({ kind: 'answer', ask, answer: { error: notCloneable('answer', error) } })
    }
  }
}

/** @typedef {import('./messages.ts').Described} Described */

/**
 * @param {string} what
 * @param {unknown} error
 * @returns {Described}
 */
function notCloneable(what, error) {
  const reason = error instanceof Error ? error.message : String(error)
  const message = `The ${what} can't be sent from the handler's isolate: ${reason}. Return plain values`
  return { kind: 'FleetError', name: 'FleetError', code: 'NOT_CLONEABLE', message }
}

/**
 * @param {Begin} begin
 * @returns {Promise<{ factory: TaskFactory, core: Core }>}
 */
async function load(begin) {
  if (begin.typescript) {
    await readTypeScript()
  }
  // Only now, since from the sources the library itself is TypeScript.
  const core = await import('./core.js')
  const { name } = begin.task
  /** @type {Record<string, unknown>} */
  const module = await import(begin.module)
  const factory = exportedValues(module).find((one) => isFactory(one) && one.name === name)
  if (factory === undefined) {
    throw new core.UnrecoverableError(
      'BAD_DEFINITION',
      `${begin.module} exports no task '${name}': an isolate finds its handler by name among the exports`,
    )
  }
  return { factory: /** @type {TaskFactory} */ (factory), core }
}

/**
 * Checks the shape instead of the class, since the file may have its own copy of the library.
 *
 * @param {unknown} value
 * @returns {value is TaskFactory}
 */
function isFactory(value) {
  const { name, run, make } = /** @type {Partial<TaskFactory>} */ (value ?? {})
  return typeof name === 'string' && typeof run === 'function' && typeof make === 'function'
}

/**
 * The isolate's end of the channel: runs one attempt after the other. Returns the function that executes each order.
 *
 * @param {(report: Report) => void} send
 * @param {(late: Extract<Report, { kind: 'late' }>) => void} reportLate called with errors after an attempt's end
 * @returns {(order: Order) => Promise<void>} resolves, for the order to begin, when the attempt has ended
 */
export function serveAttempts(send, reportLate) {
  /** @type {Attempt | undefined} */
  let attempt
  return async (order) => {
    if (order.kind === 'begin') {
      attempt = new Attempt(order.begin, send, reportLate)
      await attempt.run()
    } else if (attempt?.ended === false) {
      // After the end, orders for the attempt are dropped.
      attempt.obey(order)
    }
  }
}
