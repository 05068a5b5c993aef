import { FleetError } from '@taskfleet/protocol'
import { maskSecrets } from '@taskfleet/protocol/internal'
import { type Logger, pino } from 'pino'
import type { HandlerContext } from '../handler.ts'
import { monotonicMs } from '../renew.js'
import { FROM_SOURCES } from './exec-argv.ts'
import { handlerEnv } from './handler-env.ts'
import { IsolatedAttempt } from './isolated-attempt.ts'
import { type Isolated, type IsolateKind, requireIsolation } from './isolation.ts'
import type { IsolatePool } from './messages.ts'
import { ProcessPool } from './process-pool.ts'
import { ThreadPool } from './thread-pool.ts'

export interface IsolatesOptions {
  log?: Logger
  /** How long an isolate without a task is kept for the next one, in milliseconds; 10 s by default. */
  idleMs?: number
  /** How long a handler may go on after its lease was lost, in milliseconds; 1 s by default. */
  lostGraceMs?: number
  /** The database's address, which handlers must not find among their variables. */
  address?: string | undefined
}

export interface IsolatedRunOptions {
  /** Until when the lease is proved, by `monotonicMs()`; `task.owned` counts for a second without it. */
  trustedUntil?: () => number
  /** Told of an error that nobody caught in a handler that goes on. */
  onLeak?: (error: unknown) => void
  /** Takes secrets out of a text that is logged. */
  readable?: (text: string) => string
}

/** A handler under way in its isolate. */
export interface IsolatedRun {
  /** What the handler returned or threw, as if it had run here. */
  result: Promise<unknown>
  /** Ends it at once, whatever it does, and resolves when it has gone: for a handler that doesn't heed its signal. */
  kill(): Promise<void>
}

/** For how long one look at `task.owned` counts where nobody knows better. */
const OWNED_MS = 1_000

/** Runs handlers in threads or processes of their own, so that one that blocks or crashes harms nobody else. */
export class Isolates {
  readonly #log: Logger
  readonly #lostGraceMs: number
  readonly #pools: Record<IsolateKind, IsolatePool>
  #stopped = false

  constructor({
    log = pino({ level: 'silent' }),
    idleMs = 10_000,
    lostGraceMs = 1_000,
    address,
  }: IsolatesOptions = {}) {
    this.#log = log
    this.#lostGraceMs = lostGraceMs
    const options = { log, idleMs, env: () => handlerEnv(address) }
    this.#pools = { thread: new ThreadPool(options), process: new ProcessPool(options) }
  }

  /**
   * The same as `factory.run(context)`, elsewhere: input and output pass as structured clones (BSON's own types too), an
   * error keeps its name, message, code and stack, and the class of the library's own.
   *
   * `result` rejects with `HANDLER_CRASHED` when the isolate dies, with `UNHANDLED_IN_HANDLER` when it does so of an error that
   * nobody caught, with `NOT_CLONEABLE` when input or output can't pass, and
   * with the signal's reason when it was killed after an abort.
   *
   * @throws {FleetError} `BAD_DEFINITION`, `ISOLATES_STOPPED`
   */
  run(factory: Isolated, context: HandlerContext<unknown>, options: IsolatedRunOptions = {}): IsolatedRun {
    const { kind, memoryMb, module } = requireIsolation(factory)
    if (this.#stopped)
      throw new FleetError('ISOLATES_STOPPED', 'This worker has stopped and starts no handler any more')
    const attempt = new IsolatedAttempt({
      pool: this.#pools[kind],
      request: { kind, module, memoryMb, typescript: FROM_SOURCES || /\.[cm]?ts$/.test(module) },
      name: factory.name,
      context,
      onLeak: options.onLeak ?? (() => undefined),
      readable: options.readable ?? maskSecrets,
      trustedUntil: options.trustedUntil ?? (() => (context.task.owned ? monotonicMs() + OWNED_MS : 0)),
      lostGraceMs: this.#lostGraceMs,
      log: this.#log,
    })
    return { result: attempt.result, kill: () => attempt.kill() }
  }

  /** Ends all isolates, also those with a handler in them. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(Object.values(this.#pools).map((pool) => pool.stop()))
  }
}
