import type { TaskDocument } from '@taskfleet/core'
import { type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: Pick<TaskStore, 'reap' | 'unblockAll'>
  log: Logger
  /** The longest time between two checks of a small fleet, in milliseconds. */
  intervalMs: number
  /** How many processes the fleet has. Many share the checks. */
  processes: () => number
  /** False while this process can't prove its own session: then the reaper does nothing. */
  awake: () => boolean
  onReaped: (task: TaskDocument) => void
  /** From time to time completes the unfinished work of dead processes. */
  houseKeeping: () => Promise<unknown>
}

/** Every so many checks, it also looks for blocked tasks whose predecessors have ended: a safety net. */
const UNBLOCK_EVERY = 20
/** Up to so many processes check as often as `intervalMs` says. With more of them, all together make as many checks as these. */
const FEW = 4
const LONGEST_MS = 30_000
/** Spreads the checks of several workers. */
const SPREAD_MS = 100

/**
 * Takes back the tasks of ended sessions. Every worker has a reaper, without a leader: each reap is one guarded write. It checks
 * when a session ends, and from time to time for tasks that appear late, such as by a claim under way.
 */
export class Reaper extends WatchLoop {
  constructor({ store, log, intervalMs, processes, awake, onReaped, houseKeeping }: ReaperOptions) {
    let looks = 0
    const nextMs = (): number => intervalMs * Math.max(1, processes() / FEW) * (0.9 + Math.random() * 0.2)
    const look = async (): Promise<number> => {
      if (!awake()) return intervalMs
      for (const task of await store.reap()) onReaped(task)
      looks += 1
      if (looks % UNBLOCK_EVERY > 0) return nextMs()
      await store.unblockAll()
      await houseKeeping()
      return nextMs()
    }
    const firstMs = Math.random() * intervalMs
    super({
      look,
      everyMs: LONGEST_MS,
      firstMs,
      retryMs: intervalMs,
      log,
      failed: 'the reaper could not check ended sessions',
    })
  }

  /** Called when a session has ended. */
  wake(): void {
    this.lookIn(Math.random() * SPREAD_MS)
  }
}
