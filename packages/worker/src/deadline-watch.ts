import type { TaskDocument } from '@taskfleet/core'
import { type ServerClock, type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface DeadlineWatchOptions {
  store: Pick<TaskStore, 'raiseDue'>
  clock: Pick<ServerClock, 'now'>
  log: Logger
  onMissed: (task: TaskDocument) => void
}

/** The longest time between two checks; the store reads a little further ahead. */
const LOOK_EVERY_MS = 30_000
/** Soon after the start, and after changes that were missed. */
const SOON_MS = 2_000

/**
 * Raises tasks whose deadline is near or has passed, even those that no worker serves. Every worker does it, without a leader:
 * each step is one guarded write, and the worker that wrote it emits the event.
 */
export class DeadlineWatch extends WatchLoop {
  readonly #clock: Pick<ServerClock, 'now'>

  constructor({ store, clock, log, onMissed }: DeadlineWatchOptions) {
    const look = async (): Promise<number | undefined> => {
      const { raised, nextRaise } = await store.raiseDue()
      for (const task of raised) if (task.deadlineMissedAt !== undefined) onMissed(task)
      return nextRaise === null ? undefined : untilRaise(nextRaise, clock)
    }
    const firstMs = Math.random() * SOON_MS
    super({ look, everyMs: LOOK_EVERY_MS, spread: true, firstMs, log, failed: 'deadlines could not be checked' })
    this.#clock = clock
  }

  /** Called with the time at which a stored or changed task must be raised. */
  expect(raiseAt: Date): void {
    this.lookIn(untilRaise(raiseAt, this.#clock))
  }

  /** Called when changes may have been missed. */
  lost(): void {
    this.lookIn(Math.random() * SOON_MS)
  }
}

/** In milliseconds. Random, so that workers don't query at the same moment. */
const untilRaise = (date: Date, clock: Pick<ServerClock, 'now'>): number =>
  Math.max(20, date.getTime() - clock.now().getTime()) + Math.random() * 50
