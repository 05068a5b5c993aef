import type { TaskDocument } from '@taskfleet/core'
import { Service, type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: Pick<TaskStore, 'reap' | 'unblockAll'>
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
export class Reaper extends Service {
  readonly #options: ReaperOptions
  readonly #loop: WatchLoop
  #looks = 0

  constructor(options: ReaperOptions) {
    super()
    this.#options = options
    this.#loop = new WatchLoop({
      look: () => this.#look(),
      everyMs: options.intervalMs,
      spread: true,
      firstMs: Math.random() * options.intervalMs,
      log: options.log,
      failed: 'the reaper could not look',
    })
  }

  protected override async onStart(): Promise<void> {
    await this.use(this.#loop)
  }

  /** A session has ended. */
  wake(): void {
    this.#loop.lookIn(Math.random() * SPREAD_MS)
  }

  async #look(): Promise<void> {
    const { store, awake, onReaped, houseKeeping } = this.#options
    if (!awake()) return
    for (const task of await store.reap()) onReaped(task)
    this.#looks += 1
    if (this.#looks % UNBLOCK_EVERY > 0) return
    await store.unblockAll()
    await houseKeeping()
  }
}
