import { once } from 'node:events'
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { type FleetDatabase, renewalClientOptions, Service, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import { RENEWAL_THREAD } from './files.ts'
import { renew } from './renew.js'
import type { RenewalOrder, RenewalReport, RenewalSetup } from './renewal-messages.ts'

export interface RenewalOptions {
  database: FleetDatabase
  /** Bounds every wait on the server, in milliseconds. */
  timeoutMs: number
  /** How often a session is renewed, in milliseconds. */
  everyMs: number
  log: Logger
  /** After how long a blocked event loop is logged, and after how long its session is not renewed any more, in milliseconds. */
  warnBlockedMs: number
  maxBlockedMs: number
  /** Called with the result of every renewal. */
  onReport: (report: RenewalReport) => void
}

/** Renews a session periodically, until it gets another order. */
export interface Renewal {
  start(): Promise<void>
  stop(): Promise<void>
  order(renew: NonNullable<RenewalOrder['renew']> | null): void
  /** Reports the results that have arrived, for example while the event loop was blocked. */
  reportArrived(): void
  /** Called while the event loop is not blocked. */
  beat(): void
}

/** A database in memory can't be reached from another thread. */
export const renewalOf = (options: RenewalOptions): Renewal =>
  options.database.memory === undefined ? new RenewalThread(options) : new RenewalHere(options)

const STOP_MS = 1_000
/** A thread starts from a file, which Node refuses with the `--input-type` of a program from `--eval` or the standard input. */
const OPTIONS_OF_THREADS = process.execArgv.some((option) => option.startsWith('--input-type')) ? { execArgv: [] } : {}

/** Renews from a thread, so that a handler that blocks the event loop does not lose the lease. */
class RenewalThread extends Service implements Renewal {
  readonly #options: RenewalOptions
  readonly #beat = new SharedArrayBuffer(4)
  #port: MessagePort | undefined

  constructor(options: RenewalOptions) {
    super()
    this.#options = options
  }

  protected override async onStart(): Promise<void> {
    const { database, timeoutMs, everyMs, warnBlockedMs, maxBlockedMs, log, onReport } = this.#options
    const { port1, port2 } = new MessageChannel()
    const setup: RenewalSetup = {
      port: port2,
      uri: database.uri,
      database: database.name,
      clientOptions: renewalClientOptions(timeoutMs),
      beat: this.#beat,
      ...{ everyMs, warnBlockedMs, maxBlockedMs },
    }
    const thread = new Worker(RENEWAL_THREAD, {
      workerData: setup,
      transferList: [port2],
      ...OPTIONS_OF_THREADS,
      // By default its young generation would grow to many megabytes.
      resourceLimits: { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 64 },
    })
    thread.on('error', (error) => log.error({ err: error }, 'the renewing thread failed; the session will run out'))
    port1.on('message', onReport)
    this.#port = port1
    this.defer(() => this.#end(thread))
    await once(thread, 'online')
    thread.unref()
  }

  /** The thread ends by itself. It is terminated if it hangs in a connection. */
  async #end(thread: Worker): Promise<void> {
    if (thread.threadId === -1) return
    thread.ref()
    const ended = once(thread, 'exit')
    this.#port?.postMessage({ stop: true } satisfies RenewalOrder)
    const hung = setTimeout(() => void thread.terminate(), STOP_MS)
    await ended.finally(() => clearTimeout(hung))
  }

  order(renew: NonNullable<RenewalOrder['renew']> | null): void {
    this.#port?.postMessage({ renew } satisfies RenewalOrder)
  }

  reportArrived(): void {
    if (this.#port === undefined) return
    for (let got = receiveMessageOnPort(this.#port); got !== undefined; got = receiveMessageOnPort(this.#port)) {
      this.#options.onReport(got.message as RenewalReport)
    }
  }

  beat(): void {
    Atomics.add(new Int32Array(this.#beat), 0, 1)
  }
}

/** Renews from this thread. */
class RenewalHere extends Service implements Renewal {
  readonly #options: RenewalOptions
  #order: NonNullable<RenewalOrder['renew']> | null = null

  constructor(options: RenewalOptions) {
    super()
    this.#options = options
  }

  protected override async onStart(): Promise<void> {
    const { everyMs, log } = this.#options
    await this.use(new WatchLoop({ look: () => this.#renew(), everyMs, log, failed: 'a renewal failed' }))
  }

  async #renew(): Promise<void> {
    const { database, onReport } = this.#options
    if (this.#order !== null) onReport(await renew(async () => database.db.collection('workers'), this.#order))
  }

  order(renew: NonNullable<RenewalOrder['renew']> | null): void {
    this.#order = renew
  }

  reportArrived(): void {
    // Each is reported at once.
  }

  beat(): void {
    // No other thread watches the event loop.
  }
}
