import {
  asError,
  type Claim,
  type Claimant,
  type Hint,
  type Served,
  type ServerClock,
  type TaskStore,
} from '@taskfleet/core'
import type { Logger } from 'pino'
import { faultPoint } from './faults/fault-point.ts'
import type { LimitedClaims } from './limited-claims.ts'
import { ReadyList } from './ready-list.ts'

export interface ClaimLoopOptions {
  store: TaskStore
  clock: ServerClock
  log: Logger
  claimant: () => Claimant
  /** What this worker serves as things are: paused queues and closed gates leave out some. */
  served: () => Served
  /** Whether such a task may be claimed as things are. */
  serves: (hint: Hint) => boolean
  /** How many slots are free; 0 or less for none. */
  free: () => number
  begin: (claim: Claim) => void
  /** Queues of which only so many may run at once or start within a time are claimed each by itself. */
  limited: Pick<LimitedClaims, 'isLimited' | 'claim'>
  onDue: (hint: Hint) => void
  /** Nothing is due; asked for after every round. */
  onNothingDue: () => void
  /** Called when the database has been asked, so that others may ask it too. */
  onRefilled: () => Promise<void>
  /** After how many tasks the database is asked again. */
  refillEvery: number
  /** How often it is asked in any case, in milliseconds. */
  pollMs: number
}

const HINTS = 500
/** A claim of what has been due for less than this and misses is tried again. */
const JUST_DUE_MS = 250
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Fills free slots: knows the next tasks, claims them when they are due, and asks the database when it runs low. */
export class ClaimLoop {
  readonly #options: ClaimLoopOptions
  readonly #ready = new ReadyList(HINTS)
  #open = false
  #claiming = 0
  #filling = false
  #fillAgain = false
  #refilling: Promise<void> | undefined
  #refillAgain = false
  /** Newcomers that came while the database was being asked; null while it isn't. */
  #newcomers: Hint[] | null = null
  #sinceRefill = 0
  #wakeTimer: NodeJS.Timeout | undefined

  constructor(options: ClaimLoopOptions) {
    this.#options = options
  }

  /** Whether an answer to a claim is still on its way. */
  get claiming(): boolean {
    return this.#claiming > 0
  }

  /** How many tasks it knows to be due. */
  get due(): number {
    return this.#ready.size
  }

  async start(): Promise<void> {
    this.#open = true
    await this.refill('boot')
  }

  /** Claims nothing from now on. A claim that is under way still comes. */
  close(): void {
    this.#open = false
    clearTimeout(this.#wakeTimer)
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
  }

  /** An attempt has ended: a slot is free, and every so often the database is asked. */
  freed(): void {
    this.#sinceRefill += 1
    if (this.#sinceRefill >= this.#options.refillEvery) void this.refill('every so many')
    this.wake()
  }

  wake(): void {
    if (this.#filling) this.#fillAgain = true
    else void this.#fill()
  }

  /** One at a time; a wake-up in between makes it go round once more. */
  async #fill(): Promise<void> {
    this.#filling = true
    try {
      do {
        this.#fillAgain = false
        await this.#fillSlots()
      } while (this.#fillAgain)
    } catch (error) {
      this.#options.log.warn({ err: asError(error) }, 'claiming failed; trying again')
      setTimeout(() => this.wake(), 500)
    } finally {
      this.#filling = false
    }
  }

  async #fillSlots(): Promise<void> {
    const { clock, free: freeSlots, serves, begin, limited, onDue, onNothingDue } = this.#options
    while (this.#open) {
      for (const hint of this.#ready.promote(clock.now())) onDue(hint)
      const room = freeSlots()
      const hints = room > 0 ? this.#ready.take(room, serves) : []
      if (this.#ready.low) void this.refill('low')
      if (hints.length === 0) break
      const free = hints.filter(({ queue }) => !limited.isLimited(queue))
      const claims = await this.#claim(free)
      for (const claim of claims) begin(claim)
      this.#offerAgain(free, claims)
      for (const lane of byQueue(hints.filter((hint) => !free.includes(hint)))) await this.#claimLimited(lane)
    }
    this.#armTimer()
    if (this.#open) onNothingDue()
  }

  /** Due by our idea of the server's time may be a moment too early for the server itself. */
  #offerAgain(hints: readonly Hint[], claims: readonly Claim[]): void {
    if (claims.length === hints.length) return
    const claimed = new Set(claims.map(({ task }) => task._id.toHexString()))
    const now = this.#options.clock.now().getTime()
    const justDue = hints.filter(
      (hint) => !claimed.has(hint._id.toHexString()) && now - hint.runAt.getTime() < JUST_DUE_MS,
    )
    if (justDue.length === 0) return
    setTimeout(() => {
      for (const hint of justDue) this.#ready.offer(hint, this.#options.clock.now())
      this.wake()
    }, 50)
  }

  async #claimLimited(hints: readonly Hint[]): Promise<void> {
    const claims: Claim[] = []
    await this.#whileClaiming(async () => {
      for await (const claim of this.#options.limited.claim(hints)) {
        this.#options.begin(claim)
        claims.push(claim)
      }
    })
    this.#offerAgain(hints, claims)
  }

  #claim(hints: readonly Hint[]): Promise<Claim[]> {
    return this.#whileClaiming(async () => {
      faultPoint('claim', 'before')
      const claims = await this.#options.store.claim(
        hints.map(({ _id }) => _id),
        this.#options.claimant(),
      )
      if (claims.length > 0) faultPoint('claim', 'acked')
      return claims
    })
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

  /** One timer, for the next task that isn't due yet. */
  #armTimer(): void {
    clearTimeout(this.#wakeTimer)
    const next = this.#ready.nextDate
    if (next === null || !this.#open) return
    const wait = next.getTime() - this.#options.clock.now().getTime()
    this.#wakeTimer = setTimeout(() => this.wake(), Math.min(LONGEST_TIMER_MS, Math.max(1, wait)))
  }

  /** Asks the database what there is. What is served may change meanwhile: then it is asked once more. */
  async refill(reason: string): Promise<void> {
    if (this.#refilling !== undefined) {
      this.#refillAgain = true
      return this.#refilling
    }
    this.#refilling = this.#refillUntilCurrent(reason).finally(() => {
      this.#refilling = undefined
    })
    return this.#refilling
  }

  async #refillUntilCurrent(reason: string): Promise<void> {
    do {
      this.#refillAgain = false
      await this.#refillNow(reason)
    } while (this.#refillAgain)
  }

  async #refillNow(reason: string): Promise<void> {
    if (!this.#open) return
    const { store, clock, log, served, serves, onRefilled, pollMs } = this.#options
    this.#sinceRefill = 0
    this.#newcomers = []
    try {
      // Whatever becomes due after that is asked for by a later poll, long before.
      const answer = await store.waiting(served(), HINTS, pollMs * 4)
      this.#ready.load(answer, HINTS)
      // The answer may be older than what the feed told in the meantime.
      for (const hint of this.#newcomers) if (serves(hint)) this.#ready.offer(hint, clock.now())
      await onRefilled()
      log.debug({ reason, due: answer.due.length, next: answer.next.length, now: clock.now() }, 'asked the database')
    } catch (error) {
      log.warn({ err: asError(error), reason }, 'the database could not be asked; trying again')
      setTimeout(() => void this.refill(reason), 1_000)
    } finally {
      this.#newcomers = null
    }
    this.wake()
  }
}

const byQueue = (hints: readonly Hint[]): Hint[][] => {
  const lanes = new Map<string, Hint[]>()
  for (const hint of hints) lanes.set(hint.queue, [...(lanes.get(hint.queue) ?? []), hint])
  return [...lanes.values()]
}
