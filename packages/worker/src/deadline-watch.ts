import type { TaskDocument } from '@taskfleet/core'
import { type ServerClock, Service, type TaskStore, WatchLoop } from '@taskfleet/core/internal'
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
 * one guarded write, and whoever wrote it emits the event.
 */
export class DeadlineWatch extends Service {
  readonly #options: DeadlineWatchOptions
  readonly #loop: WatchLoop

  constructor(options: DeadlineWatchOptions) {
    super()
    this.#options = options
    this.#loop = new WatchLoop({
      look: () => this.#look(),
      everyMs: LOOK_EVERY_MS,
      spread: true,
      firstMs: Math.random() * LOOK_EVERY_MS,
      log: options.log,
      failed: 'deadlines could not be looked at',
    })
  }

  protected override async onStart(): Promise<void> {
    await this.use(this.#loop)
  }

  /** A task that was just stored or changed is to be raised then. */
  expect(raiseAt: Date): void {
    this.#loop.lookIn(this.#until(raiseAt))
  }

  async #look(): Promise<number | undefined> {
    const { store, onMissed } = this.#options
    const { raised, nextRaise } = await store.raiseDue()
    for (const task of raised) if (task.deadlineMissedAt !== undefined) onMissed(task)
    return nextRaise === null ? undefined : this.#until(nextRaise)
  }

  /** Not every worker asks in the same millisecond. */
  #until(date: Date): number {
    return Math.max(20, date.getTime() - this.#options.clock.now().getTime()) + Math.random() * 50
  }
}
