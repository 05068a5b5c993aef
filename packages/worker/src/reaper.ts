import { asError, type TaskDocument } from '@taskfleet/core'
import type { TaskStore } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: TaskStore
  log: Logger
  /** The longest time between two looks, in milliseconds. */
  intervalMs: number
  /** False while this process can't prove that it lives itself: then it looks at nobody. */
  awake: () => boolean
  onReaped: (task: TaskDocument) => void
  /** What else is to be looked at now and then, should a process have died before it could. */
  houseKeeping: () => Promise<unknown>
}

/** How often tasks that wait for a completed one are looked for, in looks of the reaper: a safety net. */
const UNBLOCK_EVERY = 20
/** So that not every worker asks in the same millisecond. */
const SPREAD_MS = 100

/**
 * Takes back tasks whose worker's session has ended. Every worker has one and none leads: each reap is one guarded write. It looks
 * when it hears of an ended session, and now and then for what turns up late, such as a claim that was on its way.
 */
export class Reaper {
  readonly #options: ReaperOptions
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #again = false
  #looks = 0
  #stopped = true

  constructor(options: ReaperOptions) {
    this.#options = options
  }

  start(): void {
    this.#stopped = false
    this.#wakeIn(Math.random() * this.#options.intervalMs)
  }

  /** A session has ended. */
  wake(): void {
    this.#again = this.#looking !== undefined
    if (!this.#again) this.#wakeIn(Math.random() * SPREAD_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#looking
  }

  #wakeIn(ms: number): void {
    clearTimeout(this.#timer)
    if (this.#stopped) return
    this.#timer = setTimeout(() => {
      this.#looking = this.#look().finally(() => {
        this.#looking = undefined
        const { intervalMs } = this.#options
        this.#wakeIn(this.#again ? Math.random() * SPREAD_MS : intervalMs * (0.9 + Math.random() * 0.2))
        this.#again = false
      })
    }, ms)
  }

  async #look(): Promise<void> {
    const { store, log, awake, onReaped, houseKeeping } = this.#options
    if (!awake()) return
    try {
      for (const task of await store.reap()) onReaped(task)
      this.#looks += 1
      if (this.#looks % UNBLOCK_EVERY === 0) {
        await store.unblockAll()
        await houseKeeping()
      }
    } catch (error) {
      log.warn({ err: asError(error) }, 'the reaper could not look')
    }
  }
}
