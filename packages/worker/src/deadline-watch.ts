import { asError, type TaskDocument } from '@taskfleet/core'
import type { ServerClock, TaskStore } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface DeadlineWatchOptions {
  store: TaskStore
  clock: ServerClock
  log: Logger
  onMissed: (task: TaskDocument) => void
}

/** The longest time between two looks; the store looks a little further ahead. */
const LOOK_EVERY_MS = 8_000

/**
 * Raises tasks whose deadline nears or has come, whoever serves them. Every worker does it and none leads: each step is
 * one guarded write, and whoever wrote it tells of it.
 */
export class DeadlineWatch {
  readonly #options: DeadlineWatchOptions
  #timer: NodeJS.Timeout | undefined
  #nextLookAt = Number.POSITIVE_INFINITY
  #looking: Promise<void> | undefined
  #stopped = true

  constructor(options: DeadlineWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#wakeIn(Math.random() * LOOK_EVERY_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#looking
  }

  /** A task that was just stored or changed is to be raised then. */
  expect(raiseAt: Date): void {
    const wait = raiseAt.getTime() - this.#options.clock.now().getTime()
    if (wait < LOOK_EVERY_MS) this.#wakeIn(jittered(wait))
  }

  #wakeIn(ms: number): void {
    if (this.#stopped) return
    const at = performance.now() + ms
    if (at >= this.#nextLookAt) return
    this.#nextLookAt = at
    // A look that is under way sees to it when it is done.
    if (this.#looking !== undefined) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#looking = this.#look()
    }, ms)
  }

  async #look(): Promise<void> {
    const { store, clock, log, onMissed } = this.#options
    this.#nextLookAt = Number.POSITIVE_INFINITY
    let wait = LOOK_EVERY_MS * (0.9 + Math.random() * 0.2)
    try {
      const { raised, nextRaise } = await store.raiseDue()
      for (const task of raised) if (task.deadlineMissedAt !== undefined) onMissed(task)
      if (nextRaise !== null) wait = Math.min(wait, jittered(nextRaise.getTime() - clock.now().getTime()))
    } catch (error) {
      log.warn({ err: asError(error) }, 'deadlines could not be looked at')
    }
    const asked = this.#nextLookAt - performance.now()
    this.#looking = undefined
    this.#nextLookAt = Number.POSITIVE_INFINITY
    this.#wakeIn(Math.min(wait, asked))
  }
}

/** Not every worker asks in the same millisecond. */
const jittered = (ms: number): number => Math.max(20, ms) + Math.random() * 50
