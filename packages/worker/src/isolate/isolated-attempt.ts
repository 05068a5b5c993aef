import { AttemptAborted, FleetError } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import type { HandlerContext } from '../handler.ts'
import * as core from './core.js'
import type { IsolateKind } from './isolation.ts'
import type { Answered, Begin, Crash, IsolatePool, Occupant, Order, Report, Seat, SeatRequest } from './messages.ts'
import { describeError, pack, reviveError, unpack } from './wire.js'

export interface IsolatedRunOptions {
  /** Until when the lease is proved, by `monotonicMs()`; `task.owned` counts for a second without it. */
  trustedUntil: () => number
  /** Called with an uncaught error of a handler that goes on. */
  onLeak: (error: unknown) => void
  /** Takes secrets out of a text that is logged. */
  readable: (text: string) => string
}

interface IsolatedAttemptOptions extends IsolatedRunOptions {
  pool: IsolatePool
  request: SeatRequest & { kind: IsolateKind; typescript: boolean }
  name: string
  context: HandlerContext<unknown>
  /** How long a handler may go on after its lease was lost, in milliseconds. */
  lostGraceMs: number
  log: Logger
}

/** How often the isolate gets the time until which its lease is proved. */
const TRUST_MS = 250
const LAST_LINE = 300

/** The worker's end of the channel to one handler in an isolate. It handles the handler's reports and requests. */
export class IsolatedAttempt implements Occupant {
  /** Resolves or rejects like the handler; rejects with `HANDLER_CRASHED` or `UNHANDLED_IN_HANDLER` when its isolate died. */
  readonly result: Promise<unknown>
  readonly #options: IsolatedAttemptOptions
  readonly #asks = new Map<number, { resolve(value: unknown): void; reject(reason: unknown): void }>()
  readonly #listening = new Map<string, () => void>()
  #seat: Seat | undefined
  #resolve!: (value: unknown) => void
  #reject!: (reason: unknown) => void
  #ended = false
  #asked = 0
  #told = 0
  #trust: NodeJS.Timeout | undefined
  #lostGrace: NodeJS.Timeout | undefined

  constructor(options: IsolatedAttemptOptions) {
    this.#options = options
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    const { context, pool, request } = options
    if (context.signal.aborted) {
      this.#end(() => this.#reject(context.signal.reason))
      return
    }
    this.#seat = pool.take(request, this)
    this.#begin()
  }

  /** Ends the isolate at once, even if the handler is busy; resolves when it has ended. Does nothing after the end. */
  readonly kill = async (): Promise<void> => {
    if (!this.#ended) await this.#seat?.kill()
  }

  onReport(report: Report): void {
    if (this.#ended) return
    const { context } = this.#options
    switch (report.kind) {
      case 'progress':
        context.progress(report.update)
        break
      case 'log':
        for (const { level, message } of report.lines) context.log[level](message)
        break
      case 'emit':
        context.socket.emit(report.name, unpack(report.data))
        break
      case 'listen':
        this.#listening.get(report.name)?.()
        this.#listening.set(
          report.name,
          context.socket.on(report.name, (data) => this.#ask(report.name, data)),
        )
        break
      case 'unlisten':
        this.#listening.get(report.name)?.()
        this.#listening.delete(report.name)
        break
      case 'call':
        void this.#call(report)
        break
      case 'answer':
        this.#answered(report.ask, report.answer)
        break
      case 'leaked':
        this.#options.onLeak(reviveError(report.error, core))
        break
      case 'ended':
        this.#leave(report.answer)
        break
    }
  }

  onCrash(crash: Crash): void {
    const { context, log, name, readable } = this.#options
    const { signal } = context
    this.#end(() => {
      // It was killed because it ignored its signal.
      if (signal.aborted && crash.uncaught === undefined) {
        this.#reject(signal.reason)
        return
      }
      const lastWords = crash.lastWords === undefined ? undefined : readable(crash.lastWords)
      log.warn({ task: context.task.id, name, lastWords }, `a handler's isolate ${crash.how}`)
      if (crash.lastWords !== undefined) context.log.error(crash.lastWords.trim())
      this.#reject(this.#crashed(crash))
    })
  }

  #begin(): void {
    const { context, request, name, trustedUntil } = this.#options
    const { id, attempt, queue, key, deadline, worker, leaseId } = context.task
    this.#told = trustedUntil()
    const begin: Begin = {
      module: request.module,
      typescript: request.typescript,
      input: pack(context.input),
      checkpoint: pack(context.checkpoint.state),
      task: { id, name, attempt, queue, key, deadline, worker, leaseId },
      trustedUntil: this.#told,
    }
    try {
      this.#send({ kind: 'begin', begin })
    } catch (error) {
      void this.#seat?.kill()
      const message = `${name}: this input can't enter an isolate: ${core.asError(error).message}`
      this.#end(() => this.#reject(new FleetError('NOT_CLONEABLE', message, { cause: error })))
      return
    }
    context.signal.addEventListener('abort', this.#onAbort, { once: true })
    this.#trust = setInterval(() => this.#tellTrust(), TRUST_MS)
  }

  #send(order: Order): void {
    this.#seat?.send(order)
  }

  #tellTrust(): void {
    const until = this.#options.trustedUntil()
    if (until === this.#told) return
    this.#told = until
    this.#send({ kind: 'trust', until })
  }

  readonly #onAbort = (): void => {
    const { context, lostGraceMs } = this.#options
    const { reason } = context.signal
    if (reason instanceof AttemptAborted && (reason.code === 'LEASE_LOST' || reason.code === 'IN_DOUBT')) {
      this.#send({ kind: 'trust', until: 0 })
      // It must not start side effects any more, so its grace period is short.
      this.#lostGrace = setTimeout(() => void this.kill(), lostGraceMs)
    }
    this.#send({ kind: 'abort', reason: describeError(reason) })
  }

  async #call(report: Extract<Report, { kind: 'call' }>): Promise<void> {
    const { task, checkpoint, results } = this.#options.context
    const calls = {
      proven: () => task.proven(),
      confirm: () => task.confirmOwned(),
      save: () => checkpoint.save(report.what === 'save' ? unpack(report.state) : undefined),
      // A list, since ids within a map would lose their class on the way.
      results: async () => [...(await results())],
    }
    const answer = await calls[report.what]().then(
      (value): Answered => ({ value: pack(value) }),
      (error: unknown): Answered => ({ error: describeError(error) }),
    )
    if (!this.#ended) this.#send({ kind: 'answered', call: report.call, answer })
  }

  /** A watcher's message, for the handler to answer. */
  #ask(name: string, data: unknown): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#asked += 1
      this.#send({ kind: 'ask', ask: this.#asked, name, data: pack(data) })
      this.#asks.set(this.#asked, { resolve, reject })
    })
  }

  #answered(ask: number, answer: Answered): void {
    const waiting = this.#asks.get(ask)
    this.#asks.delete(ask)
    if ('value' in answer) waiting?.resolve(unpack(answer.value))
    else waiting?.reject(reviveError(answer.error, core))
  }

  #leave(answer: Answered): void {
    this.#end(() => {
      this.#seat?.free()
      if ('value' in answer) this.#resolve(unpack(answer.value))
      else this.#reject(reviveError(answer.error, core))
    })
  }

  #end(tell: () => void): void {
    if (this.#ended) return
    this.#ended = true
    clearInterval(this.#trust)
    clearTimeout(this.#lostGrace)
    this.#options.context.signal.removeEventListener('abort', this.#onAbort)
    for (const undo of this.#listening.values()) undo()
    this.#listening.clear()
    for (const { reject } of this.#asks.values()) {
      reject(new FleetError('TASK_NOT_HERE', 'The handler ended before it answered'))
    }
    this.#asks.clear()
    tell()
  }

  #crashed({ how, lastWords, uncaught }: Crash): FleetError {
    const { request } = this.#options
    const cause = uncaught === undefined ? undefined : core.asError(reviveError(uncaught, core))
    const why = cause === undefined ? lastLine(lastWords) : `of an uncaught error: ${cause.name}: ${cause.message}`
    const message = `The handler's ${request.kind} ${how}${why === '' ? '' : `, ${why}`}`
    const error = new FleetError(cause === undefined ? 'HANDLER_CRASHED' : 'UNHANDLED_IN_HANDLER', message, { cause })
    // The cause's stack says where it happened.
    if (cause?.stack !== undefined) error.stack = cause.stack
    return error
  }
}

function lastLine(words: string | undefined): string {
  const line = words
    ?.split('\n')
    .map((one) => one.trim())
    .findLast((one) => /\w{3}/.test(one) && !/^(at |\d+: 0x)/.test(one))
  return line === undefined ? '' : `its last words: ${line.slice(0, LAST_LINE)}`
}
