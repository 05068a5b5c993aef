import type { TaskDocument } from '@taskfleet/core'
import { type ServerClock, type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface DeadlineWatchOptions {
  store: Pick<TaskStore, 'raiseDue'>
  clock: Pick<ServerClock, 'now'>
  log: Logger
  onMissed: (task: TaskDocument) => void
}

/** The longest time between two looks; the store looks a little further ahead. */
const LOOK_EVERY_MS = 8_000

/**
 * Raises tasks whose deadline nears or has come, whoever serves them. Every worker does it and none leads: each step is
 * one guarded write, and the worker that wrote it emits the event.
 */
export class DeadlineWatch extends WatchLoop {
  readonly #clock: Pick<ServerClock, 'now'>

  constructor({ store, clock, log, onMissed }: DeadlineWatchOptions) {
    const look = async (): Promise<number | undefined> => {
      const { raised, nextRaise } = await store.raiseDue()
      for (const task of raised) if (task.deadlineMissedAt !== undefined) onMissed(task)
      return nextRaise === null ? undefined : untilRaise(nextRaise, clock)
    }
    const firstMs = Math.random() * LOOK_EVERY_MS
    super({ look, everyMs: LOOK_EVERY_MS, spread: true, firstMs, log, failed: 'deadlines could not be looked at' })
    this.#clock = clock
  }

  /** A task that was just stored or changed is to be raised then. */
  expect(raiseAt: Date): void {
    this.lookIn(untilRaise(raiseAt, this.#clock))
  }
}

/** In milliseconds. Not every worker asks in the same one. */
const untilRaise = (date: Date, clock: Pick<ServerClock, 'now'>): number =>
  Math.max(20, date.getTime() - clock.now().getTime()) + Math.random() * 50
