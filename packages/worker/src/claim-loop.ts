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
  /** Who claims; for tasks that workers have died with, it says so. */
  claimant: (hint: Pick<Hint, 'lost'>) => Claimant
  /** What this worker serves as things are: paused queues and closed gates leave out some. */
  served: () => Served
  /** Whether such a task may be claimed as things are. */
  serves: (hint: Hint) => boolean
  /** How many tasks may be claimed now; 0 or less for none. */
  free: () => number
  /** How many waiting tasks are known at most; 500 by default. */
  hints?: number
  begin: (claim: Claim) => void
  /** Queues of which only so many may run at once or start within a time are claimed each by itself. */
  limited: Pick<LimitedClaims, 'isLimited' | 'claim'>
  /** A task may be claimed from now on; where very many wait, it may be told of more than once. */
  onDue: (hint: Hint) => void
  /** Nothing is due; asked for after every round. */
  onNothingDue: () => void
  /** Until when every change has been reported, by the server's time. */
  reportedUntil: () => Date
  /** Called before the database is asked: reads what of its answer may be claimed, such as which queues are limited or paused. */
  beforeAsking: () => Promise<void>
  /** After how many tasks the database is asked again. */
  refillEvery: number
  /** How often it is asked in any case, in milliseconds. */
  pollMs: number
}

const HINTS = 500
const SAFETY_POLL = 'safety poll'
/** A claim of what has been due for less than this and came too early is tried again. */
const JUST_DUE_MS = 250
/** So many claims in a row that bring nothing mean that others were quicker, and that the hints are old. */
const MISSES = 2
/** Hints younger than this are not old. */
const FRESH_MS = 100
/** A due task that has waited for this long beside a worker that was idle for as long should have been known. */
const OVERLOOKED_MS = 1_000

/** Fills free slots: knows the next tasks, claims them when they are due, and asks the database when it runs low. */
export class ClaimLoop extends Service {
  readonly #options: ClaimLoopOptions
  readonly #hints: number
  readonly #ready: ReadyList
  readonly #filling: WatchLoop
  readonly #asking: WatchLoop
  /** Why the database is asked next; by default because it is time to. */
  #reason: string | undefined
  /** How often the present was lost, and the last time that it was known again what may be claimed. */
  #losses = 0
  #knownSince = -1
  #claiming = 0
  /** Newcomers that came and hints that were taken while the database was being asked; null while it isn't. */
  #newcomers: Hint[] | null = null
  #taken: Set<string> | null = null
  #sinceRefill = 0
  #misses = 0
  #loadedAt = 0
  /** When it last had something to claim, by `performance.now()`. */
  #busyAt = performance.now()
  #foundByPoll = 0

  constructor(options: ClaimLoopOptions) {
    super()
    const { log, pollMs } = options
    this.#options = options
    this.#hints = options.hints ?? HINTS
    this.#ready = new ReadyList(this.#hints)
    this.#filling = new WatchLoop({
      look: () => this.#fill(),
      retryMs: 500,
      log,
      failed: 'claiming failed; trying again',
    })
    this.#asking = new WatchLoop({
      look: () => this.#ask(),
      everyMs: pollMs,
      retryMs: 1_000,
      log,
      failed: 'the database could not be asked; trying again',
    })
  }

  /** Once stopped it claims nothing. A claim that is under way then still comes, and is waited for. */
  protected override async onStart(): Promise<void> {
    await this.use(this.#filling)
    await this.use(this.#asking)
    await this.refill('boot')
  }

  /** Whether an answer to a claim is still on its way. */
  get claiming(): boolean {
    return this.#claiming > 0
  }

  /** Whether it is known which queues are limited or paused. */
  get #known(): boolean {
    return this.#knownSince === this.#losses
  }

  /** How many due tasks waited beside this idle worker until the safety poll found them. Anything but 0 is a fault. */
  get foundByPoll(): number {
    return this.#foundByPoll
  }

  /** How many tasks it knows to be due. */
  get due(): number {
    return this.#ready.size
  }

  /** Changes may have been missed: nothing is claimed until it is known again what may be. */
  async lost(): Promise<void> {
    this.#losses += 1
    await this.refill('history lost')
  }

  offer(hint: Hint): void {
    this.#newcomers?.push(hint)
    if (!this.#options.serves(hint)) {
      this.remove(hint._id.toHexString())
      return
    }
    if (this.#ready.offer(hint, this.#options.clock.now())) this.#options.onDue(hint)
    this.wake()
  }

  remove(id: string): void {
    this.#ready.remove(id)
    if (this.#ready.low) this.wake()
  }

  /** Asks the database, whatever is known: should everything else have failed, no task waits for longer than this. */
  poll(): Promise<void> {
    return this.refill(SAFETY_POLL)
  }

  /** An attempt has ended: a slot is free, and every so often the database is asked. */
  freed(): void {
    this.#sinceRefill += 1
    if (this.#sinceRefill >= this.#options.refillEvery) void this.refill('every so many')
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
      const hints = room > 0 ? this.#ready.take(room, serves) : []
      for (const { _id } of hints) this.#taken?.add(_id.toHexString())
      if (this.#ready.low) void this.refill('low')
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

  /** Nobody tells what other workers have taken: claims that miss do. */
  async #renewHints(missed: boolean): Promise<void> {
    this.#misses = missed ? this.#misses + 1 : 0
    if (this.#misses < MISSES || performance.now() - this.#loadedAt < FRESH_MS) return
    this.#misses = 0
    await this.refill('others were quicker')
  }

  /** One by one: while another runs, they are not served, and asked for again when it has come through. */
  async #claimSuspect(hint: Hint): Promise<void> {
    const { limited, serves, begin } = this.#options
    if (!serves(hint)) return
    if (limited.isLimited(hint.queue)) await this.#claimLimited([hint])
    else for (const claim of await this.#claim([hint])) begin(claim)
  }

  async #claimLimited(hints: readonly Hint[]): Promise<void> {
    const { limited, begin, serves } = this.#options
    const early = new Noted()
    const tried = new Noted()
    await this.#whileClaiming(async () => {
      for await (const claim of limited.claim(hints, { onEarly: early.note, onTried: tried.note })) begin(claim)
    })
    this.#offerAgain(early.of(hints))
    // A queue without room asks for its tasks again once it has some. One with room has had it all along or got it meanwhile.
    for (const hint of tried.notOf(hints)) if (serves(hint)) this.#putBack(hint)
  }

  async #claim(hints: readonly Hint[]): Promise<Claim[]> {
    const early = new Noted()
    const claims = await this.#whileClaiming(async () => {
      if (hints.length === 0) return []
      const ids = hints.map(({ _id }) => _id)
      const claimed = await this.#options.store.claim(ids, this.#options.claimant(hints[0]!), early.note)
      return claimed
    })
    this.#offerAgain(early.of(hints))
    return claims
  }

  /** Due by our idea of the server's time may be a moment too early for the server itself. */
  #offerAgain(early: readonly Hint[]): void {
    const now = this.#options.clock.now().getTime()
    // One that is not due for longer has got another date, of which the feed tells.
    const justDue = early.filter(({ runAt }) => now - runAt.getTime() < JUST_DUE_MS)
    if (justDue.length === 0) return
    setTimeout(() => {
      for (const hint of justDue) this.#putBack(hint)
      this.wake()
    }, 50)
  }

  /** A hint that was taken and not used. What has been heard of the task since then is newer. */
  #putBack(hint: Hint): void {
    const id = hint._id.toHexString()
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
      // Nothing is known of these now: the database is asked again.
      setTimeout(() => void this.refill('claim failed'), 500)
      throw error
    } finally {
      this.#claiming -= 1
    }
  }

  #countOverlooked(news: readonly Hint[]): void {
    const { free, serves, reportedUntil, log } = this.#options
    if (free() <= 0 || performance.now() - this.#busyAt < OVERLOOKED_MS) return
    const since = reportedUntil().getTime() - OVERLOOKED_MS
    const overlooked = news.filter((hint) => {
      const waitsSince = Math.max(hint.runAt.getTime(), hint.updatedAt.getTime())
      return waitsSince < since && !this.#taken?.has(hint._id.toHexString()) && serves(hint)
    })
    if (overlooked.length === 0) return
    this.#foundByPoll += overlooked.length
    const task = overlooked[0]!._id.toHexString()
    log.warn(
      { code: 'FOUND_BY_POLL', count: overlooked.length, task },
      'the safety poll found due tasks that nothing had reported',
    )
  }

  /** Asks the database what there is. What is served may change meanwhile: then it is asked once more. */
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
    // A queue that the answer finds to have room has it since a moment ago, as far as anybody knows.
    const openBefore = served().queues
    try {
      await beforeAsking()
      this.#knownSince = losses
      // Whatever becomes due after that is asked for by a later poll, long before.
      const answer = await store.waiting(served(), this.#hints, pollMs * 4)
      const news = answer.due.filter(({ _id }) => !this.#ready.has(_id.toHexString()))
      if (reason === SAFETY_POLL) this.#countOverlooked(news.filter(({ queue }) => openBefore.includes(queue)))
      this.#ready.load(answer, this.#hints)
      for (const id of this.#taken) this.#ready.remove(id)
      // What was due when we came, and what nobody told of.
      for (const hint of news) if (this.#ready.has(hint._id.toHexString())) onDue(hint)
      this.#loadedAt = performance.now()
      // The answer may be older than what the feed told in the meantime.
      for (const hint of this.#newcomers) if (serves(hint)) this.#ready.offer(hint, clock.now())
      log.debug({ reason, due: answer.due.length, next: answer.next.length, now: clock.now() }, 'asked the database')
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

/** Which of the hints of a claim something was said of. */
class Noted {
  readonly #ids = new Set<string>()
  readonly note = (id: Hint['_id']): void => {
    this.#ids.add(id.toHexString())
  }

  of(hints: readonly Hint[]): Hint[] {
    return hints.filter(({ _id }) => this.#ids.has(_id.toHexString()))
  }

  notOf(hints: readonly Hint[]): Hint[] {
    return hints.filter(({ _id }) => !this.#ids.has(_id.toHexString()))
  }
}

const isSuspect = ({ lost }: Hint): boolean => lost >= 1

const byQueue = (hints: readonly Hint[]): Hint[][] => {
  const lanes = new Map<string, Hint[]>()
  for (const hint of hints) lanes.set(hint.queue, [...(lanes.get(hint.queue) ?? []), hint])
  return [...lanes.values()]
}
