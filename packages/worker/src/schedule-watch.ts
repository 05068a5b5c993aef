import { asError, type ScheduleDocument } from '@taskfleet/core'
import type { ChangeFeed, DueSchedule, Schedules, ServerClock } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ScheduleWatchOptions {
  schedules: Schedules
  clock: ServerClock
  feed: ChangeFeed
  log: Logger
}

/** The longest time between two looks: a safety net, should the feed have told too little. */
const LOOK_EVERY_MS = 30_000
/** How many schedules are seen to at a time. */
const AT_A_TIME = 10

/**
 * Makes the tasks of schedules whose slots have come, whoever runs them. Every worker does it and none leads: see `Schedules`. The
 * feed tells when to look, and a look reads what the schedules say then: an edit or a pause that has been acknowledged counts.
 */
export class ScheduleWatch {
  readonly #options: ScheduleWatchOptions
  readonly #unsubscribe: () => void
  #timer: NodeJS.Timeout | undefined
  #nextLookAt = Number.POSITIVE_INFINITY
  #looking: Promise<void> | undefined
  #stopped = true

  constructor(options: ScheduleWatchOptions) {
    this.#options = options
    this.#unsubscribe = options.feed.subscribe({
      change: ({ collection, doc }) => {
        if (collection === 'schedules') this.#expect((doc as ScheduleDocument | null)?.nextAt)
      },
      lost: () => this.#wakeIn(jittered(0)),
    })
  }

  start(): void {
    this.#stopped = false
    this.#wakeIn(jittered(0))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unsubscribe()
    clearTimeout(this.#timer)
    await this.#looking
  }

  /** Whatever else is in its document may have changed until then. */
  #expect(nextAt: Date | undefined): void {
    if (nextAt instanceof Date) this.#wakeIn(this.#until(nextAt))
  }

  #until(slot: Date): number {
    return jittered(slot.getTime() - this.#options.clock.now().getTime())
  }

  #wakeIn(ms: number): void {
    if (this.#stopped) return
    // No timer of Node's takes more than 24 days, and none is needed.
    const wait = Math.min(ms, LOOK_EVERY_MS)
    const at = performance.now() + wait
    if (at >= this.#nextLookAt) return
    this.#nextLookAt = at
    // A look that is under way sees to it when it is done.
    if (this.#looking !== undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#looking = this.#look()
    }, wait)
  }

  async #look(): Promise<void> {
    this.#nextLookAt = Number.POSITIVE_INFINITY
    let wait = LOOK_EVERY_MS * (0.9 + Math.random() * 0.1)
    try {
      const nextAt = await this.#seeToDue()
      if (nextAt !== null) wait = Math.min(wait, this.#until(nextAt))
    } catch (error) {
      this.#options.log.warn({ err: asError(error) }, 'schedules could not be looked at')
    }
    const asked = this.#nextLookAt - performance.now()
    this.#looking = undefined
    this.#nextLookAt = Number.POSITIVE_INFINITY
    this.#wakeIn(Math.min(wait, asked))
  }

  /** @returns when the next slot of all comes, if it is known */
  async #seeToDue(): Promise<Date | null> {
    // What could not be moved on is somebody else's by now, or broken: never twice in one look.
    const left: string[] = []
    for (;;) {
      const { due, nextAt } = await this.#options.schedules.due(left)
      if (due.length === 0 || this.#stopped) return nextAt
      // Workers that look at the same moment take different ones; all are read anew before the next few are seen to.
      const from = Math.floor(Math.random() * due.length)
      const group = [...due.slice(from), ...due.slice(0, from)].slice(0, AT_A_TIME)
      const moved = await Promise.all(group.map((schedule) => this.#seeTo(schedule)))
      left.push(...group.filter((_, index) => !moved[index]).map(({ _id }) => _id))
    }
  }

  /** One that can't be understood must not keep the others from running. @returns whether this moved it on */
  async #seeTo(schedule: DueSchedule): Promise<boolean> {
    const { schedules, log } = this.#options
    try {
      const firing = await schedules.fire(schedule)
      return await schedules.advance(firing)
    } catch (error) {
      log.warn({ err: asError(error), schedule: schedule._id }, 'a schedule could not be seen to')
      return false
    }
  }
}

/** Not every worker looks in the same millisecond. */
const jittered = (ms: number): number => Math.max(5, ms) + Math.random() * 40
