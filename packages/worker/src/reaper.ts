import { asError, type ServerClock, type TaskDocument, type TaskStore } from '@taskfleet/core'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: TaskStore
  clock: ServerClock
  log: Logger
  /** The longest time between two looks, in milliseconds. */
  intervalMs: number
  onReaped: (task: TaskDocument) => void
  /** What else is to be looked at now and then, should a process have died before it could. */
  houseKeeping: () => Promise<unknown>
}

/** How often tasks that wait for a completed one are looked for, in looks of the reaper: a safety net. */
const UNBLOCK_EVERY = 20

/**
 * Takes back tasks whose lease has expired. Every worker has one and none leads: each reap is one guarded write. It
 * looks ahead, so that it wakes when a lease expires and not a period later.
 */
export class Reaper {
  readonly #options: ReaperOptions
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #looks = 0
  #stopped = true

  constructor(options: ReaperOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#wakeIn(Math.random() * this.#options.intervalMs)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#looking
  }

  #wakeIn(ms: number): void {
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#looking = this.#look()
    }, ms)
  }

  async #look(): Promise<void> {
    const { store, clock, log, intervalMs, onReaped, houseKeeping } = this.#options
    let wait = intervalMs * (0.9 + Math.random() * 0.2)
    try {
      const { reaped, nextExpiry } = await store.reap()
      for (const task of reaped) onReaped(task)
      this.#looks += 1
      if (this.#looks % UNBLOCK_EVERY === 0) {
        await store.unblockAll()
        await houseKeeping()
      }
      // Jitter, so that not every worker asks in the same millisecond.
      if (nextExpiry !== null)
        wait = Math.min(wait, Math.max(50, nextExpiry.getTime() - clock.now().getTime()) + Math.random() * 100)
    } catch (error) {
      log.warn({ err: asError(error) }, 'the reaper could not look')
    }
    this.#wakeIn(wait)
  }
}
