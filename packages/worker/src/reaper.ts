import type { TaskDocument } from '@taskfleet/core'
import { type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: Pick<TaskStore, 'reap' | 'unblockAll'>
  log: Logger
  /** The longest time between two looks, in milliseconds. */
  intervalMs: number
  /** False while this process can't prove its own session: then the reaper doesn't look. */
  awake: () => boolean
  onReaped: (task: TaskDocument) => void
  /** Finishes now and then what a process that died has left. */
  houseKeeping: () => Promise<unknown>
}

/** One look in so many also looks for blocked tasks whose predecessors have ended: a safety net. */
const UNBLOCK_EVERY = 20
/** Spreads the looks of several workers. */
const SPREAD_MS = 100

/**
 * Takes back the tasks of ended sessions. Every worker has a reaper and none leads: each reap is one guarded write. The reaper looks
 * when a session ends, and now and then for what turns up late, such as a claim that was on its way.
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
    super({ look, everyMs: intervalMs, spread: true, firstMs, log, failed: 'the reaper could not look' })
  }

  /** A session has ended. */
  wake(): void {
    this.lookIn(Math.random() * SPREAD_MS)
  }
}
