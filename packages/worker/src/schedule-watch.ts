import { asError, type ScheduleDocument } from '@taskfleet/core'
import {
  type DueSchedule,
  type Feed,
  type Schedules,
  type ServerClock,
  Service,
  WatchLoop,
} from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ScheduleWatchOptions {
  schedules: Pick<Schedules, 'due' | 'fire' | 'advance'>
  clock: Pick<ServerClock, 'now'>
  feed: Pick<Feed, 'subscribe'>
  log: Logger
}

/** The longest time between two checks, in case the feed missed a change. */
const LOOK_EVERY_MS = 30_000
/** How many schedules are handled at a time. */
const AT_A_TIME = 10

/**
 * Creates the tasks of schedules whose time has come. Every worker does it, without a leader: see `Schedules`. The feed triggers a
 * check, and each check reads the schedules again, so that it respects every acknowledged edit or pause.
 */
export class ScheduleWatch extends Service {
  readonly #options: ScheduleWatchOptions
  readonly #loop: WatchLoop

  constructor(options: ScheduleWatchOptions) {
    super()
    this.#options = options
    this.#loop = new WatchLoop({
      look: () => this.#look(),
      everyMs: LOOK_EVERY_MS,
      spread: true,
      firstMs: jittered(0),
      log: options.log,
      failed: 'schedules could not be checked',
    })
  }

  protected override async onStart(): Promise<void> {
    this.defer(
      this.#options.feed.subscribe({
        change: ({ collection, doc }) => {
          if (collection === 'schedules') this.#expect((doc as ScheduleDocument | null)?.nextAt)
        },
        lost: () => this.#loop.lookIn(jittered(0)),
      }),
    )
    await this.use(this.#loop)
  }

  #expect(nextAt: Date | undefined): void {
    if (nextAt instanceof Date) this.#loop.lookIn(this.#until(nextAt))
  }

  #until(scheduledTime: Date): number {
    return jittered(scheduledTime.getTime() - this.#options.clock.now().getTime())
  }

  async #look(): Promise<number | undefined> {
    const nextAt = await this.#fireDue()
    return nextAt === null ? undefined : this.#until(nextAt)
  }

  /** @returns the next scheduled time of all schedules, if it is known */
  async #fireDue(): Promise<Date | null> {
    // Schedules that another worker has moved on, or that fail. Each is tried only once in a check.
    const left: string[] = []
    for (;;) {
      const { due, nextAt } = await this.#options.schedules.due(left)
      if (due.length === 0 || !this.isRunning) return nextAt
      // Workers that check at the same moment begin with different schedules. All are read again before the next group.
      const from = Math.floor(Math.random() * due.length)
      const group = [...due.slice(from), ...due.slice(0, from)].slice(0, AT_A_TIME)
      const moved = await Promise.all(group.map((schedule) => this.#fire(schedule)))
      left.push(...group.filter((_, index) => !moved[index]).map(({ _id }) => _id))
    }
  }

  /** A schedule that fails must not keep the others from running. @returns whether this worker moved it on */
  async #fire(schedule: DueSchedule): Promise<boolean> {
    const { schedules, log } = this.#options
    try {
      const firing = await schedules.fire(schedule)
      return await schedules.advance(firing)
    } catch (error) {
      log.warn({ err: asError(error), schedule: schedule._id }, 'a schedule could not be carried out')
      return false
    }
  }
}

/** Random, so that workers don't check at the same moment. */
const jittered = (ms: number): number => Math.max(5, ms) + Math.random() * 40
