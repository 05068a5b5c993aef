import {
  type Claim,
  type Claimant,
  type Hint,
  type Served,
  type ServerClock,
  Service,
  type TaskStore,
  WatchLoop,
} from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { LimitedClaims } from './limited-claims.ts'
import { ReadyList } from './ready-list.ts'

export interface ClaimLoopOptions {
  store: TaskStore
  clock: Pick<ServerClock, 'now'>
  log: Logger
  /** The worker that claims, and how often a task may have been lost. */
  claimant: (hint: Pick<Hint, 'lost'>) => Claimant
  /** What this worker serves now, without paused queues and tasks that the gate holds back. */
  served: () => Served
  /** Whether such a task may be claimed now. */
  serves: (hint: Hint) => boolean
  /** How many tasks may be claimed now; 0 or less for none. */
  free: () => number
  /** How many of them find a slot at once; by default all. */
  slots?: () => number
  /** Whether a task may be claimed that has to wait for a slot; by default any. */
  mayWait?: (hint: Hint) => boolean
  /** How many waiting tasks are known at most; 500 by default. */
  hints?: number
  begin: (claim: Claim) => void
  /** Claims from queues that have a limit or a rate. */
  limited: Pick<LimitedClaims, 'isLimited' | 'claim'>
  /** Called when a task becomes due; where very many wait, it may be called more than once for a task. */
  onDue: (hint: Hint) => void
  /** Called after every round in which nothing was due. */
  onNothingDue: () => void
  /** Up to when the feed has reported every change, by the server's time. */
  reportedUntil: () => Date
  /** Called before each query: reads which queues are limited or paused. */
  beforeAsking: () => Promise<void>
  /** After how many tasks the database is queried again; a longer list of waiting tasks is used up first. */
  refillEvery: number
  /** How often the database is queried in any case, in milliseconds. */
  pollMs: number
}

const HINTS = 500
const SAFETY_POLL = 'safety poll'
const LOW = 'low'
/** A list that runs low may become this many times as long. */
const MOST_WINDOWS = 8
/** A claim that came too early is repeated if the task has been due for less than this. */
const JUST_DUE_MS = 250
/** After this many claims in a row without a task the hints count as old: other workers were quicker. */
const MISSES = 2
/** Hints younger than this are not old. */
const FRESH_MS = 100
/** A worker that was idle for this long should know every task that has been due for as long. */
const OVERLOOKED_MS = 1_000

/** Fills free slots: knows the next tasks, claims them when they are due, and queries the database when it runs low. */
export class ClaimLoop extends Service {
  readonly #options: ClaimLoopOptions
  readonly #hints: number
  /** How many tasks the next query asks for: more while this worker gets all that it claims. */
  #window: number
  readonly #ready: ReadyList
  readonly #filling: WatchLoop
  readonly #asking: WatchLoop
  /** Why the database is queried next; the safety poll by default. */
  #reason: string | undefined
  /** How often history was lost, and the latest loss that a query has made up for. */
  #losses = 0
  #knownSince = -1
  #claiming = 0
  /** During a query: hints that came, and ids of hints that were taken. Null otherwise. */
  #newcomers: Hint[] | null = null
  #taken: Set<string> | null = null
  #sinceRefill = 0
  #misses = 0
  #loadedAt = 0
  /** When it last had something to claim, by `performance.now()`. */
  #busyAt = performance.now()
  /** How many due tasks waited beside this idle worker until the safety poll found them. More than 0 is a bug. */
  foundByPoll = 0

  constructor(options: ClaimLoopOptions) {
    super()
    const { log, pollMs } = options
    this.#options = options
    this.#hints = options.hints ?? HINTS
    this.#window = this.#hints
    this.#ready = new ReadyList(this.#hints)
    this.#filling = new WatchLoop({
      look: () => this.#fill(),
      retryMs: 500,
      log,
      failed: 'claiming failed; trying again',
    })
    const asking = { look: () => this.#ask(), everyMs: pollMs, retryMs: 1_000, log }
    this.#asking = new WatchLoop({ ...asking, failed: 'the database could not be queried; trying again' })
  }

  /** Resolves when what waits and finds a slot has been claimed. A stopped loop claims nothing; stopping waits for a claim under way. */
  protected override async onStart(): Promise<void> {
    await this.use(this.#filling)
    await this.use(this.#asking)
    await this.refill('boot')
    await this.#filling.look()
  }

  /** Whether an answer to a claim is still on its way. */
  get claiming(): boolean {
    return this.#claiming > 0
  }

  /** Whether it has never queried the database, and so has claimed nothing. */
  get isNew(): boolean {
    return this.#knownSince < 0
  }

  /** Whether it is known which queues are limited or paused. */
  get #known(): boolean {
    return this.#knownSince === this.#losses
  }

  /** How many tasks it knows to be due. */
  get due(): number {
    return this.#ready.size
  }

  /** Changes may have been missed: nothing is claimed until the database was queried. */
  async lost(): Promise<void> {
    this.#losses += 1
    await this.refill('history lost')
  }

  offer(hint: Hint): void {
    this.#newcomers?.push(hint)
    if (!this.#options.serves(hint)) {
      this.remove(idOf(hint))
      return
    }
    if (this.#ready.offer(hint, this.#options.clock.now())) this.#options.onDue(hint)
    this.wake()
  }

  remove(id: string): void {
    this.#ready.remove(id)
    if (this.#ready.low) this.wake()
  }

  /** Queries the database in any case. So no task waits for longer than this, even if everything else has failed. */
  poll(): Promise<void> {
    return this.refill(SAFETY_POLL)
  }

  /** An attempt has ended: a slot is free. Every so often the database is queried. */
  freed(): void {
    this.#sinceRefill += 1
    if (this.#sinceRefill >= Math.max(this.#options.refillEvery, this.#window)) void this.refill('many attempts ended')
    this.wake()
  }

  /** Fills at the end of this turn of the event loop: slots that become free together are filled by one claim. */
  wake(): void {
    this.#filling.lookIn(0)
  }

  /** @returns in how many milliseconds the next task becomes due */
  async #fill(): Promise<number | undefined> {
    const { clock, free: freeSlots, serves, begin, limited, onDue, onNothingDue } = this.#options
    while (this.isRunning && this.#known) {
      for (const hint of this.#ready.promote(clock.now())) onDue(hint)
      const room = freeSlots()
      const hints = room > 0 ? this.#ready.take(room, serves, this.#mayTake(room)) : []
      for (const { _id } of hints) this.#taken?.add(_id.toHexString())
      if (this.#ready.low) void this.refill(LOW)
      if (hints.length === 0) break
      this.#busyAt = performance.now()
      const [suspects, innocent] = [hints.filter(isSuspect), hints.filter((hint) => !isSuspect(hint))]
      const free = innocent.filter(({ queue }) => !limited.isLimited(queue))
      const claims = await this.#claim(free)
      for (const claim of claims) begin(claim)
      for (const lane of byQueue(innocent.filter((hint) => !free.includes(hint)))) await this.#claimLimited(lane)
      for (const suspect of suspects) await this.#claimSuspect(suspect)
      if (free.length > 0) await this.#renewHints(claims.length === 0)
    }
    if (this.isRunning && this.#known) onNothingDue()
    const next = this.#ready.nextDate
    return next === null ? undefined : Math.max(1, next.getTime() - clock.now().getTime())
  }

  /** Whether one more hint may be claimed: beyond the slots, at most half of the due tasks. The rest is left to other workers. */
  #mayTake(room: number): (hint: Hint, taken: number) => boolean {
    const { slots, mayWait } = this.#options
    if (slots === undefined || mayWait === undefined) return () => true
    const open = Math.max(0, Math.min(room, slots()))
    const most = open + Math.floor((this.#ready.size - open) / 2)
    return (hint, taken) => taken < open || (taken < most && mayWait(hint))
  }

  /** Claims that miss are the only sign of what other workers have taken. */
  async #renewHints(missed: boolean): Promise<void> {
    this.#misses = missed ? this.#misses + 1 : 0
    if (this.#misses < MISSES || performance.now() - this.#loadedAt < FRESH_MS) return
    this.#misses = 0
    this.#window = this.#hints
    await this.refill('others were quicker')
  }

  /** One by one: while one runs, the others are not served. They are queried again when it has completed. */
  async #claimSuspect(hint: Hint): Promise<void> {
    const { limited, serves, begin } = this.#options
    if (!serves(hint)) return
    if (limited.isLimited(hint.queue)) await this.#claimLimited([hint])
    else for (const claim of await this.#claim([hint])) begin(claim)
  }

  async #claimLimited(hints: readonly Hint[]): Promise<void> {
    const { limited, begin, serves } = this.#options
    const early = new Set<string>()
    const tried = new Set<string>()
    await this.#whileClaiming(async () => {
      for await (const claim of limited.claim(hints, { early, tried })) begin(claim)
    })
    this.#offerAgain(hints.filter((hint) => early.has(idOf(hint))))
    // A full queue is queried again once it has room. One with room must keep its hints.
    for (const hint of hints) if (!tried.has(idOf(hint)) && serves(hint)) this.#putBack(hint)
  }

  async #claim(hints: readonly Hint[]): Promise<Claim[]> {
    if (hints.length === 0) return []
    const { store, claimant } = this.#options
    const early = new Set<string>()
    const onEarly = (id: Hint['_id']): unknown => early.add(id.toHexString())
    const ids = hints.map(({ _id }) => _id)
    const claims = await this.#whileClaiming(() => store.claim(ids, claimant(hints[0]!), onEarly))
    this.#offerAgain(hints.filter((hint) => early.has(idOf(hint))))
    return claims
  }

  /** A task may be due by this worker's estimate of the server's time a moment before it is due for the server. */
  #offerAgain(early: readonly Hint[]): void {
    const now = this.#options.clock.now().getTime()
    // A task that should have been due for longer has got another date, which the feed reports.
    const justDue = early.filter(({ runAt }) => now - runAt.getTime() < JUST_DUE_MS)
    if (justDue.length === 0) return
    setTimeout(() => {
      for (const hint of justDue) this.#putBack(hint)
      this.wake()
    }, 50)
  }

  /** A hint that was taken and not used, unless something newer is known of the task. */
  #putBack(hint: Hint): void {
    const id = idOf(hint)
    this.#taken?.delete(id)
    if (this.#ready.has(id)) return
    this.#newcomers?.push(hint)
    this.#ready.offer(hint, this.#options.clock.now())
  }

  async #whileClaiming<T>(act: () => Promise<T>): Promise<T> {
    this.#claiming += 1
    try {
      return await act()
    } catch (error) {
      // Nothing is known of these tasks now.
      setTimeout(() => void this.refill('claim failed'), 500)
      throw error
    } finally {
      this.#claiming -= 1
    }
  }

  #countOverlooked(news: readonly Hint[]): void {
    const { free, slots = free, serves, reportedUntil, log } = this.#options
    if (slots() <= 0 || performance.now() - this.#busyAt < OVERLOOKED_MS) return
    const since = reportedUntil().getTime() - OVERLOOKED_MS
    const overlooked = news.filter((hint) => {
      const waitsSince = Math.max(hint.runAt.getTime(), hint.updatedAt.getTime())
      return waitsSince < since && !this.#taken?.has(idOf(hint)) && serves(hint)
    })
    if (overlooked.length === 0) return
    this.foundByPoll += overlooked.length
    const found = { code: 'FOUND_BY_POLL', count: overlooked.length, task: idOf(overlooked[0]!) }
    log.warn(found, 'the safety poll found due tasks that nothing had reported')
  }

  /** Queries the database for waiting tasks. If what is served changes meanwhile, it is queried once more. */
  refill(reason: string): Promise<void> {
    this.#reason ??= reason
    return this.#asking.look()
  }

  async #ask(): Promise<void> {
    const reason = this.#reason ?? SAFETY_POLL
    this.#reason = undefined
    const { store, clock, log, served, serves, beforeAsking, onDue, pollMs } = this.#options
    this.#sinceRefill = 0
    this.#newcomers = []
    this.#taken = new Set()
    const losses = this.#losses
    // Tasks of queues that got room only now were not overlooked.
    const openBefore = served().queues
    try {
      await beforeAsking()
      this.#knownSince = losses
      const many = this.#ready.full
      if (!many) this.#window = this.#hints
      else if (reason === LOW) this.#window = Math.min(this.#window * 2, this.#hints * MOST_WINDOWS)
      const limit = this.#window
      // A later poll queries what becomes due after that, long before.
      const answer = await store.waiting(served(), limit, pollMs * 4, many)
      const news = answer.due.filter(({ _id }) => !this.#ready.has(_id.toHexString()))
      if (reason === SAFETY_POLL) this.#countOverlooked(news.filter(({ queue }) => openBefore.includes(queue)))
      this.#ready.load(answer, limit)
      for (const id of this.#taken) this.#ready.remove(id)
      // Tasks that were due at the start and that the feed did not report.
      for (const hint of news) if (this.#ready.has(idOf(hint))) onDue(hint)
      this.#loadedAt = performance.now()
      // The feed may have reported newer changes meanwhile.
      for (const hint of this.#newcomers) if (serves(hint)) this.#ready.offer(hint, clock.now())
      log.debug({ reason, due: answer.due.length, next: answer.next.length, now: clock.now() }, 'queried the database')
    } catch (error) {
      this.#reason ??= reason
      throw error
    } finally {
      this.#newcomers = null
      this.#taken = null
      this.wake()
    }
  }
}

const idOf = ({ _id }: Pick<Hint, '_id'>): string => _id.toHexString()

const isSuspect = ({ lost }: Hint): boolean => lost >= 1

const byQueue = (hints: readonly Hint[]): Hint[][] => {
  const lanes = new Map<string, Hint[]>()
  for (const hint of hints) lanes.set(hint.queue, [...(lanes.get(hint.queue) ?? []), hint])
  return [...lanes.values()]
}
