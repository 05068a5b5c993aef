import { asError } from '@taskfleet/core'
import {
  type Change,
  type Feed,
  type FeedInterest,
  type FeedListener,
  type FeedScope,
  type FeedTokens,
  notifyEach,
  Service,
  WatchLoop,
  type WorkerRegister,
} from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import { FeederLine } from './feeder-line.ts'

export interface SharedFeedOptions {
  register: Pick<WorkerRegister, 'live'>
  tokens: Pick<FeedTokens, 'issue'>
  interest: () => FeedInterest
  /** A feed of this process's own, such as a change stream. It is not started yet. */
  direct: () => Feed
  /** The process, as its document names it. */
  boot: string
  /** Whether others can reach this process, so that it may be a feeder. */
  listens: boolean
  /** How often the feeders are looked up again, in milliseconds. */
  lookMs?: number
  /** How long a feeder may take to accept this process, in milliseconds. */
  patienceMs?: number | undefined
  log: Logger
}

/** How many processes of a fleet have a change stream for all others. */
const FEEDERS = 2
/** How often the feeders are looked up again. A line that ends and, in a process with a stream, a new listener are noticed at once. */
const LOOK_MS = 30_000
/** How soon after a sign of a listener it is looked up, as a part of `lookMs`. */
const NEWS = 1 / 3
/** After how many looks a feeder that failed is tried again. */
const FAILED_LOOKS = 2
/** How long a direct feed is kept after the last listener that wanted more than a feeder passes on. */
const LINGER_MS = 60_000

/**
 * The feed of a worker, through another process where there is one: the server's cost of each write grows with the number of change
 * streams, and so a fleet has few. The feeders are two: gateways first, then the workers that listen and have lived longest. Each
 * process finds them in the same register, without an election. Without a feeder that answers, the worker has its own stream.
 *
 * What comes from a feeder may be late or wrong. It only ever leads to a guarded write or to another look at the database.
 */
export class SharedFeed extends Service implements Feed {
  readonly #options: SharedFeedOptions
  readonly #listeners = new Set<FeedListener>()
  readonly #choosing: WatchLoop
  /** Spreads the workers over the feeders. */
  readonly #choice = Math.floor(Math.random() * FEEDERS)
  #direct: Feed | undefined
  #opening: Promise<Feed> | undefined
  #line: FeederLine | undefined
  /** When feeders failed, by their addresses. */
  readonly #failed = new Map<string, number>()
  /** How many want more than a feeder passes on. */
  #wanting = 0
  #wantedAt = Number.NEGATIVE_INFINITY

  constructor(options: SharedFeedOptions) {
    super()
    this.#options = options
    const { log, lookMs = LOOK_MS } = options
    this.#choosing = new WatchLoop({
      look: () => this.#choose(),
      everyMs: lookMs,
      spread: true,
      retryMs: 1_000,
      log,
      failed: 'the feed of this worker could not be chosen',
    })
  }

  protected override async onStart(): Promise<void> {
    this.defer(() => this.#closeDirect())
    this.defer(() => this.#closeLine())
    await this.#choose()
    await this.use(this.#choosing)
  }

  subscribe(listener: FeedListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get isDirect(): boolean {
    return this.#direct !== undefined
  }

  get reportedUntil(): Date {
    return this.#direct?.reportedUntil ?? new Date(this.#line?.beat.until ?? 0)
  }

  get lagMs(): number {
    return this.#direct?.lagMs ?? this.#line?.beat.lagMs ?? 0
  }

  /** Reports what this worker needs to know of, such as a new session. */
  refresh(): void {
    this.#line?.want(this.#options.interest())
  }

  async widen(scope: FeedScope): Promise<() => void> {
    this.#wanting += 1
    try {
      await this.#choosing.look()
      const release = await (await this.#openDirect()).widen(scope)
      return () => {
        release()
        this.#doesNotWant()
      }
    } catch (error) {
      this.#doesNotWant()
      throw error
    }
  }

  #doesNotWant(): void {
    this.#wanting -= 1
    this.#wantedAt = performance.now()
  }

  /** Changes the feed if another one is better. Listeners read again after each change of it. */
  async #choose(): Promise<void> {
    this.refresh()
    if (this.#wanting > 0 || performance.now() - this.#wantedAt < LINGER_MS) {
      await this.#openDirect()
      return
    }
    const feeders = await this.#feeders()
    if (feeders === 'self') {
      await this.#openDirect()
      return
    }
    if (this.#line !== undefined || (await this.#openLine(feeders))) return
    await this.#openDirect()
  }

  /** Addresses of the feeders, in the order in which to try them; `self` if this process is one of them. */
  async #feeders(): Promise<string[] | 'self'> {
    const { register, boot, listens } = this.#options
    const live = (await register.live())
      .filter(({ state, url }) => state === 'running' && url !== undefined)
      .sort((a, b) => rank(a) - rank(b) || a.startedAt.getTime() - b.startedAt.getTime() || (a._id < b._id ? -1 : 1))
    const feeders = live.slice(0, FEEDERS)
    // One that listens and has no document yet is going to be the newest.
    const isLast = listens && !live.some((one) => one.boot === boot) && live.length < FEEDERS
    if (isLast || feeders.some((one) => one.boot === boot)) return 'self'
    const urls = feeders.map(({ url }) => url!)
    return [...urls.slice(this.#choice), ...urls.slice(0, this.#choice)]
  }

  async #openLine(urls: readonly string[]): Promise<boolean> {
    const { tokens, interest, patienceMs, lookMs = LOOK_MS, log } = this.#options
    for (const url of urls) {
      if (performance.now() - (this.#failed.get(url) ?? Number.NEGATIVE_INFINITY) < FAILED_LOOKS * lookMs) continue
      try {
        const line = await FeederLine.open({
          url,
          token: await tokens.issue(),
          interest: interest(),
          patienceMs,
          onChanges: (changes) => this.#report(changes),
          onLost: (reason) => this.#notify((listener) => listener.lost(reason)),
          onEnd: (why) => this.#onEnd(url, why),
        })
        this.#line = line
        this.refresh()
        await this.#closeDirect()
        log.debug({ feeder: url }, 'changes come from a feeder')
        this.#notify((listener) => listener.lost('HISTORY_LOST'))
        return true
      } catch (error) {
        this.#failed.set(url, performance.now())
        log.debug({ err: asError(error), feeder: url }, 'a feeder can not be used')
      }
    }
    return false
  }

  /** Until there is another feed, nothing is reported: the next one is opened at once, and then all is read again. */
  #onEnd(url: string, why: string): void {
    if (this.#line === undefined) return
    this.#options.log.info({ feeder: url, why }, 'a feeder is gone; changes come from elsewhere')
    this.#failed.set(url, performance.now())
    this.#line = undefined
    this.#choosing.lookIn(0)
  }

  async #openDirect(): Promise<Feed> {
    if (this.#direct !== undefined) return this.#direct
    this.#opening ??= this.#startDirect().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #startDirect(): Promise<Feed> {
    const direct = this.#options.direct()
    direct.subscribe({
      change: (change) => {
        this.#noteListener(change)
        this.#report([change])
      },
      lost: (reason) => this.#notify((listener) => listener.lost(reason)),
    })
    await direct.start()
    this.#direct = direct
    this.#closeLine()
    this.#notify((listener) => listener.lost('HISTORY_LOST'))
    return direct
  }

  /** A process that listens may become the feeder of this one. */
  #noteListener({ collection, doc }: Change): void {
    const { boot, lookMs = LOOK_MS } = this.#options
    if (collection !== 'workers' || doc?.url === undefined || doc.boot === boot) return
    this.#choosing.lookIn(lookMs * NEWS)
  }

  async #closeDirect(): Promise<void> {
    const direct = this.#direct
    this.#direct = undefined
    await direct?.stop()
  }

  #closeLine(): void {
    this.#line?.close()
    this.#line = undefined
  }

  #report(changes: readonly Change[]): void {
    for (const change of changes) this.#notify((listener) => listener.change(change))
  }

  #notify(notify: (listener: FeedListener) => void): void {
    notifyEach(this.#listeners, notify, { log: this.#options.log, failed: 'a listener of the feed failed' })
  }
}

const rank = ({ role }: { role?: string }): number => (role === 'gateway' ? 0 : 1)
