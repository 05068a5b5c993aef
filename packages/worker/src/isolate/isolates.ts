import { FleetError } from '@taskfleet/protocol'
import { maskSecrets } from '@taskfleet/protocol/internal'
import { type Logger, pino } from 'pino'
import { FROM_SOURCES } from '../files.ts'
import type { HandlerContext } from '../handler.ts'
import { monotonicMs } from '../renew.js'
import { handlerEnv } from './handler-env.ts'
import { IsolatedAttempt, type IsolatedRunOptions } from './isolated-attempt.ts'
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

/** How long one reading of `task.owned` counts if the end of the lease is not known. */
const OWNED_MS = 1_000

/** Runs handlers in threads or processes of their own, so that one that blocks or crashes affects no other. */
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
   * Runs `factory.run(context)` in an isolate. Input and output pass as structured clones, BSON's own types too. An error keeps its
   * name, message, code and stack, and its class if that is one of the library's.
   *
   * `result` rejects with `HANDLER_CRASHED` when the isolate dies, with `UNHANDLED_IN_HANDLER` when it dies of an uncaught
   * error, with `NOT_CLONEABLE` when input or output can't pass, and with the signal's reason when it was killed after an abort.
   *
   * @throws {FleetError} `BAD_DEFINITION`, `ISOLATES_STOPPED`
   */
  run(factory: Isolated, context: HandlerContext<unknown>, options: Partial<IsolatedRunOptions> = {}): IsolatedAttempt {
    const { kind, memoryMb, module } = requireIsolation(factory)
    if (this.#stopped) throw new FleetError('ISOLATES_STOPPED', 'This worker has stopped')
    return new IsolatedAttempt({
      pool: this.#pools[kind],
      request: { kind, module, memoryMb, typescript: FROM_SOURCES || /\.[cm]?ts$/.test(module) },
      name: factory.name,
      context,
      onLeak: () => undefined,
      readable: maskSecrets,
      trustedUntil: () => (context.task.owned ? monotonicMs() + OWNED_MS : 0),
      ...options,
      lostGraceMs: this.#lostGraceMs,
      log: this.#log,
    })
  }

  /** Ends all isolates, also those with a handler in them. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(Object.values(this.#pools).map((pool) => pool.stop()))
  }
}
