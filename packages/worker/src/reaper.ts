import type { TaskDocument } from '@taskfleet/core'
import { type TaskStore, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface ReaperOptions {
  store: Pick<TaskStore, 'reap' | 'unblockAll'>
  log: Logger
  /** The time between two checks of a small fleet shortly after a session has ended, in milliseconds. */
  intervalMs: number
  /** How many processes the fleet has. Many share the checks. */
  processes: () => number
  /** False while this process can't prove its own session: then the reaper does nothing. */
  awake: () => boolean
  onReaped: (task: TaskDocument) => void
  /** From time to time completes the unfinished work of dead processes. */
  houseKeeping: () => Promise<unknown>
}

/** After so many times `intervalMs`, it also looks for blocked tasks whose predecessors have ended: a safety net. */
const HOUSE_KEEPING_EVERY = 20
/** Up to so many processes check as often as they would alone. With more of them, all together make as many checks as these. */
const FEW = 4
const LONGEST_MS = 30_000
/** For how long after the end of a session, and after a reaped task, a claim that was under way may still appear. */
const ALERT_MS = 30_000
/** How much longer it waits at other times. The end of a session wakes it, so these checks are a safety net. */
const CALM = 10 / 3
/** Spreads the checks of several workers. */
const SPREAD_MS = 100

/**
 * Takes back the tasks of ended sessions. Every worker has a reaper, without a leader: each reap is one guarded write. It checks
 * when a session ends, and from time to time for tasks that appear late, such as by a claim under way.
 */
export class Reaper extends WatchLoop {
  readonly #alert: () => void

  constructor({ store, log, intervalMs, processes, awake, onReaped, houseKeeping }: ReaperOptions) {
    const share = (): number => Math.max(1, processes() / FEW)
    let alertUntil = Number.NEGATIVE_INFINITY
    const alert = (): void => {
      alertUntil = performance.now() + ALERT_MS
    }
    const nextMs = (): number => {
      const calm = performance.now() < alertUntil ? 1 : CALM
      return intervalMs * calm * share() * (0.9 + Math.random() * 0.2)
    }
    let housekeptAt = performance.now()
    const look = async (): Promise<number> => {
      if (!awake()) return intervalMs
      for (const task of await store.reap()) {
        alert()
        onReaped(task)
      }
      if (performance.now() - housekeptAt < HOUSE_KEEPING_EVERY * intervalMs * share()) return nextMs()
      housekeptAt = performance.now()
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
    this.#alert = alert
  }

  /** Called when a session has ended. */
  wake(): void {
    this.#alert()
    this.lookIn(Math.random() * SPREAD_MS)
  }
}
