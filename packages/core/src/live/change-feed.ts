import { setTimeout as sleep } from 'node:timers/promises'
import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { Service } from '../service.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'
import { Canary } from './canary.ts'
import type { Feed, FeedListener } from './feed.ts'
import { type FeedScope, includesScope, newsOf, widest } from './feed-events.ts'
import {
  FEED_TRANSITIONS,
  type FeedAction,
  type FeedEvent,
  type FeedState,
  HistoryLost,
  judgeFailure,
  NO_FAILURES,
  OtherScope,
  pauseAfter,
  Stalled,
} from './feed-states.ts'
import {
  answered,
  closed,
  discard,
  type FeedStream,
  type Place,
  placeOf,
  presentPlace,
  soon,
  watchFrom,
} from './feed-stream.ts'
import { notifyEach } from './notify-each.ts'
import type { Transition } from './transitions.ts'

export interface ChangeFeedOptions {
  log?: Logger
  /** What is reported where nothing more is wanted; `all` by default. */
  scope?: FeedScope
  /** For how long more than that is reported after its last user has released it, in milliseconds. */
  lingerMs?: number
  /** How often to check that changes come in time. If none does, a test write is sent through the stream. In milliseconds. */
  canaryMs?: number
  /** A stream that is silent for this long is opened again, in milliseconds. */
  stalledMs?: number
}

/** How long a stream may be silent once the database is back, in milliseconds. */
const PROBE_MS = 2_000
/** How long `widen` waits for the wider stream, in milliseconds. */
const WIDENING_MS = 5_000
/** A stream whose events are later than this is measured by test writes. */
const LATE_MS = 3_000
/** How old the latest test write may be while other events come in time. */
const CANARY_AT_LEAST_MS = 30_000

/**
 * The one change stream of a process, shared by all listeners. After an error it opens again with its resume token and a
 * back-off. If the history is gone, it starts at the present and notifies its listeners to read again. `FEED_TRANSITIONS`
 * defines its states.
 */
export class ChangeFeed extends Service implements Feed {
  readonly isDirect = true
  readonly #database: FleetDatabase
  readonly #log: Logger | undefined
  readonly #canaryMs: number
  readonly #stalledMs: number
  readonly #lingerMs: number
  readonly #leastScope: FeedScope
  readonly #listeners = new Set<FeedListener>()
  readonly #canary: Canary
  #stream: FeedStream | undefined
  /** The scope of the latest open stream; undefined while it is changed. */
  #openScope: FeedScope | undefined
  #place: Place | undefined
  /** As `#place` and a little before it: a resume token can only be used with the pipeline that it came from. */
  #placeForAll: Place | undefined
  #failures = NO_FAILURES
  #lastEventAt = 0
  #reportedUntil = 0
  /** How long after its write the latest event came, in milliseconds. */
  #latestTook = 0
  /** The wanted scope. */
  #scope: FeedScope
  /** What users want beside the least. */
  readonly #wants = new Set<{ scope: FeedScope }>()
  readonly #onOpened = new Set<() => void>()
  /** Aborts the wait for the stream's next event. */
  #abortWait: ((why: Error) => void) | undefined
  #endPause: (() => void) | undefined
  #narrowing: NodeJS.Timeout | undefined
  #probing: NodeJS.Timeout | undefined

  constructor(database: FleetDatabase, options: ChangeFeedOptions = {}) {
    super()
    this.#database = database
    this.#log = options.log
    this.#leastScope = options.scope ?? 'all'
    this.#scope = this.#leastScope
    this.#lingerMs = options.lingerMs ?? 60_000
    this.#canaryMs = options.canaryMs ?? 5_000
    this.#stalledMs = options.stalledMs ?? 15_000
    this.#canary = new Canary(database, options.log)
  }

  /** When this resolves, the stream is really open, and every later write is reported. */
  protected override async onStart(): Promise<void> {
    await this.#startAtPresent()
    this.defer(() => soon(this.#canary.remove()))
    await this.#open()
    const stopping = new AbortController()
    const following = this.#follow(stopping.signal)
    this.defer(() => {
      stopping.abort()
      return following
    })
    this.defer(() => clearTimeout(this.#narrowing))
    this.defer(() => clearTimeout(this.#probing))
    this.defer(this.#database.availability.onBack(() => this.#probe()))
    const canaries = { look: () => this.#checkSilence(), everyMs: this.#canaryMs, log: this.#log }
    await this.use(new WatchLoop({ ...canaries, failed: 'canary not written' }))
  }

  /** Returns a function that unsubscribes. */
  subscribe(listener: FeedListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** All changes before this moment of the server's time have been reported. It is 1970 before the first change. */
  get reportedUntil(): Date {
    return new Date(this.#reportedUntil)
  }

  /** How long a write took to come back through the stream, in milliseconds. It grows while a write is on its way. */
  get lagMs(): number {
    return this.#canary.lagMs
  }

  /**
   * Resolves when at least these changes are reported. That lasts until the returned function is called. The stream for it goes on
   * where the one before has ended: a few changes may be reported twice, and none is missed.
   *
   * @throws {FleetError} `NO_DATABASE`
   */
  async widen(scope: FeedScope): Promise<() => void> {
    const want = { scope }
    const release = (): void => {
      if (!this.#wants.delete(want) || this.#wanted === this.#scope) return
      clearTimeout(this.#narrowing)
      this.#narrowing = setTimeout(() => this.#setScope(this.#wanted), this.#lingerMs).unref()
    }
    this.#wants.add(want)
    this.#setScope(widest(scope, this.#scope))
    try {
      await this.#opened(scope)
      return release
    } catch (error) {
      release()
      throw error
    }
  }

  get #wanted(): FeedScope {
    return widest(this.#leastScope, ...[...this.#wants].map(({ scope }) => scope))
  }

  #setScope(scope: FeedScope): void {
    this.#scope = scope
    if (this.#openScope !== scope) this.#abortWait?.(new OtherScope('another scope is wanted'))
  }

  async #opened(scope: FeedScope): Promise<void> {
    if (this.#reports(scope) || !this.isRunning) return
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        if (!this.#reports(scope)) return
        clearTimeout(late)
        this.#onOpened.delete(done)
        resolve()
      }
      const late = setTimeout(() => {
        this.#onOpened.delete(done)
        reject(new FleetError('NO_DATABASE', 'The database does not respond'))
      }, WIDENING_MS)
      this.#onOpened.add(done)
    })
  }

  #reports(scope: FeedScope): boolean {
    return this.#openScope !== undefined && includesScope(this.#openScope, scope)
  }

  async #follow(signal: AbortSignal): Promise<void> {
    let state: FeedState = 'open'
    while (state !== 'stopped') {
      const { to, action }: Transition<FeedState, FeedAction> = FEED_TRANSITIONS[state][await this.#step(state, signal)]
      state = to
      await this.#act(action, signal)
    }
  }

  /** Reads from the open stream until something happens to it, or tries to open it. */
  async #step(state: FeedState, signal: AbortSignal): Promise<FeedEvent> {
    if (signal.aborted) return 'stopped'
    try {
      if (state === 'open') return await this.#read(signal)
      if (state === 'restarting') await this.#startAtPresent()
      else this.#requireScope()
      await this.#open()
      return 'opened'
    } catch (error) {
      if (signal.aborted) return 'stopped'
      const { event, failures } = judgeFailure(error, state, this.#failures)
      this.#failures = failures
      if (event === 'rescoped') {
        this.#place = this.#placeForAll
        this.#openScope = undefined
      } else {
        const lost = state === 'restarting' || event === 'placeLost'
        this.#log?.warn({ err: asError(error), failures: failures.all, lost }, 'change stream ended; opening it again')
      }
      return event
    }
  }

  async #startAtPresent(): Promise<void> {
    this.#place = this.#placeForAll = await presentPlace(this.#database, this.#stalledMs)
  }

  async #act(action: FeedAction, signal: AbortSignal): Promise<void> {
    if (action === 'announceLoss') this.#tellLost('HISTORY_LOST')
    if (action === 'announce' || action === 'announceLoss') for (const opened of this.#onOpened) opened()
    if (action === 'discard' || action === 'pause') this.#discard()
    if (action === 'pause') await this.#pause(signal)
    if (action === 'close' && this.#stream !== undefined) await closed(this.#stream)
  }

  /** Ends early when the database is back. */
  async #pause(signal: AbortSignal): Promise<void> {
    const pause = new AbortController()
    this.#endPause = () => pause.abort()
    const either = AbortSignal.any([signal, pause.signal])
    await sleep(pauseAfter(this.#failures), undefined, { signal: either }).catch(() => undefined)
    this.#endPause = undefined
  }

  /** `watch()` itself sends nothing. The first `tryNext()` opens the stream, so its start time is fixed before. */
  async #open(): Promise<void> {
    const scope = this.#scope
    const opening = watchFrom(this.#place!, scope, this.#database)
    try {
      const [first] = await Promise.all([answered(opening.stream.tryNext(), this.#stalledMs), this.#canary.send()])
      this.#stream = opening
      this.#openScope = scope
      this.#failures = { ...this.#failures, refusals: 0 }
      this.#seen(first as mongo.ChangeStreamDocument | null)
    } catch (error) {
      discard(opening)
      throw error
    }
  }

  #discard(): void {
    if (this.#stream !== undefined) discard(this.#stream)
    this.#stream = undefined
  }

  /** @throws the error that ends the stream */
  async #read(signal: AbortSignal): Promise<FeedEvent> {
    for (;;) {
      this.#requireScope()
      const event = await this.#next(signal)
      if (event === undefined) return 'stopped'
      this.#failures = NO_FAILURES
      this.#seen(event)
      if (event.operationType === 'invalidate') throw new HistoryLost('the stream was invalidated')
    }
  }

  /** @throws {OtherScope} */
  #requireScope(): void {
    if (this.#openScope !== undefined && this.#openScope !== this.#scope)
      throw new OtherScope('another scope is wanted')
  }

  /** The next event, or undefined when stopping. A stalled stream may never report anything, not even an error. */
  async #next(signal: AbortSignal): Promise<mongo.ChangeStreamDocument | undefined> {
    let interrupt: (() => void) | undefined
    const interrupted = new Promise<undefined>((resolve, reject) => {
      interrupt = () => resolve(undefined)
      signal.addEventListener('abort', interrupt, { once: true })
      this.#abortWait = reject
    })
    if (signal.aborted) return undefined
    try {
      return (await Promise.race([this.#stream!.stream.next(), interrupted])) as mongo.ChangeStreamDocument | undefined
    } finally {
      this.#abortWait = undefined
      if (interrupt !== undefined) signal.removeEventListener('abort', interrupt)
    }
  }

  #seen(event: mongo.ChangeStreamDocument | null): void {
    const { session } = this.#stream!
    this.#place = placeOf(this.#stream!) ?? this.#place
    this.#lastEventAt = performance.now()
    if (event === null) return
    if (event.clusterTime !== undefined) this.#placeForAll = { startAtOperationTime: event.clusterTime }
    // Must run before a listener reads because of this event.
    if ('clusterTime' in event) this.#database.causal.saw(event.clusterTime, session.clusterTime)
    this.#report(event)
    // A cluster time has whole seconds. More events of the same second may follow.
    const seconds = event.clusterTime?.getHighBitsUnsigned() ?? 0
    this.#reportedUntil = Math.max(this.#reportedUntil, seconds * 1_000)
    this.#latestTook = this.#database.clock.now().getTime() - seconds * 1_000
  }

  #report(event: mongo.ChangeStreamDocument): void {
    const news = newsOf(event)
    if (news === undefined) return
    if (news === 'COLLECTION_GONE') this.#tellLost(news)
    else if ('canary' in news) this.#canary.cameBack(news.canary)
    else this.#notify((listener) => listener.change(news.change))
  }

  #tellLost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void {
    this.#notify((listener) => listener.lost(reason))
  }

  #notify(notify: (listener: FeedListener) => void): void {
    notifyEach(this.#listeners, notify, { log: this.#log, failed: 'a listener of the change feed failed' })
  }

  /** Whether the latest event was reported soon after its write. Cluster times have whole seconds. */
  get #isInTime(): boolean {
    return this.#latestTook < LATE_MS
  }

  async #checkSilence(): Promise<void> {
    const silentMs = performance.now() - this.#lastEventAt
    if (silentMs > this.#stalledMs)
      this.#abortWait?.(new Stalled(`the stream was silent for ${Math.round(silentMs)} ms`))
    // The renewals of sessions show that the stream is alive as well as a test write does.
    if (silentMs < this.#canaryMs && this.#canary.ageMs < CANARY_AT_LEAST_MS && this.#isInTime) return
    // Not awaited: a write that hangs must not delay the next check.
    void this.#canary.send()
  }

  /**
   * The database is back. The stream may still wait on a connection that broke silently. Then it is opened again at its place,
   * without waiting for the longer stall timeout.
   */
  #probe(): void {
    const askedAt = performance.now()
    this.#endPause?.()
    void this.#canary.send()
    clearTimeout(this.#probing)
    this.#probing = setTimeout(() => {
      if (this.#lastEventAt < askedAt)
        this.#abortWait?.(new Stalled('the stream is silent though the database is back'))
    }, PROBE_MS)
  }
}
