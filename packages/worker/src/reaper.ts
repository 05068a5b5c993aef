import type { TaskDocument } from '@taskfleet/core'
import { type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: Pick<TaskStore, 'reap' | 'unblockAll'>
  log: Logger
  /** The longest time between two checks, in milliseconds. */
  intervalMs: number
  /** False while this process can't prove its own session: then the reaper does nothing. */
  awake: () => boolean
  onReaped: (task: TaskDocument) => void
  /** From time to time completes the unfinished work of dead processes. */
  houseKeeping: () => Promise<unknown>
}

/** Every so many checks, it also looks for blocked tasks whose predecessors have ended: a safety net. */
const UNBLOCK_EVERY = 20
/** Spreads the checks of several workers. */
const SPREAD_MS = 100

/**
 * Takes back the tasks of ended sessions. Every worker has a reaper, without a leader: each reap is one guarded write. It checks
 * when a session ends, and from time to time for tasks that appear late, such as by a claim under way.
 */
export class Reaper extends WatchLoop {
  constructor({ store, log, intervalMs, awake, onReaped, houseKeeping }: ReaperOptions) {
    let looks = 0
    const look = async (): Promise<void> => {
      if (!awake()) return
      for (const task of await store.reap()) onReaped(task)
      looks += 1
      if (looks % UNBLOCK_EVERY > 0) return
      await store.unblockAll()
      await houseKeeping()
    }
    const firstMs = Math.random() * intervalMs
    super({
      look,
      everyMs: intervalMs,
      spread: true,
      firstMs,
      log,
      failed: 'the reaper could not check ended sessions',
    })
  }

  /** Called when a session has ended. */
  wake(): void {
    this.lookIn(Math.random() * SPREAD_MS)
  }
}
