import { setMaxListeners } from 'node:events'
import { type Duration, milliseconds } from '@taskfleet/protocol'

export interface StopOptions {
  /** How long running tasks may go on before they are aborted; 10 seconds by default. */
  grace?: Duration
  /**
   * How long stopping may take in all: the grace, the time for handlers to end, the last writes, and closing connections. 15 seconds
   * more than the grace by default.
   */
  timeout?: Duration
}

const GRACE = '10s'
export const AFTER_GRACE_MS = 15_000
/** The parts of the timeout after which running tasks are aborted at the latest, and after which handlers are not waited for. */
const GIVE_BACK_BY = 0.6
const ABANDON_BY = 0.8
/** Clocks tick differently, and a process takes its time to end. */
const MARGIN_MS = 500
/** Node's timers fire at once when they are given more. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** The time budget that all stages of a shutdown share. It never grows. */
export class StopBudget {
  /** Resolves when it is used up. */
  readonly over: Promise<void>
  readonly #giveBack: () => void
  readonly #abandon = newController()
  readonly #timers = new Set<NodeJS.Timeout>()
  #end!: () => void
  #giveBackAt = Number.POSITIVE_INFINITY
  #until = Number.POSITIVE_INFINITY

  /** @param giveBack called when the grace is over */
  constructor(giveBack: () => void) {
    this.#giveBack = giveBack
    this.over = new Promise((resolve) => {
      this.#end = resolve
    })
  }

  get begun(): boolean {
    return this.#until !== Number.POSITIVE_INFINITY
  }

  /** Aborted when the shutdown no longer waits for handlers that ignore their signals. */
  get abandon(): AbortSignal {
    return this.#abandon.signal
  }

  /** After how long this process has certainly ended, if it ends with the budget. */
  get goneInMs(): number {
    return Math.max(0, this.#until - performance.now()) + MARGIN_MS
  }

  /** @throws {FleetError} `BAD_DURATION` */
  limit({ grace = GRACE, timeout }: StopOptions): void {
    const now = performance.now()
    const graceMs = milliseconds(grace)
    const timeoutMs = timeout === undefined ? graceMs + AFTER_GRACE_MS : milliseconds(timeout)
    this.#until = Math.min(this.#until, now + timeoutMs)
    this.#giveBackAt = Math.min(this.#giveBackAt, now + graceMs, now + timeoutMs * GIVE_BACK_BY)
    this.close()
    this.#at(this.#giveBackAt, this.#giveBack)
    this.#at(now + (this.#until - now) * ABANDON_BY, () => this.#abandon.abort())
    this.#at(this.#until, this.#end)
  }

  /** Stops the timers. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #at(time: number, act: () => void): void {
    this.#timers.add(setTimeout(act, Math.min(LONGEST_TIMER_MS, Math.max(0, time - performance.now()))))
  }
}

/** Every attempt that is aborted listens to it; Node warns of more than ten. */
function newController(): AbortController {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  return controller
}
