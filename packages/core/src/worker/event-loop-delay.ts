import { Service } from '../service.ts'

const TICK_MS = 20

/**
 * How late timers are, by a timer of its own. Node's `monitorEventLoopDelay` would do, but its `reset()` also forgets
 * when it last ticked: what blocks the loop right after a reading is not seen, and a loop that is blocked all the time
 * looks fine at every other reading.
 */
export class EventLoopDelay extends Service {
  #ticked = performance.now()
  #worst = 0

  protected override onStart(): void {
    this.#ticked = performance.now()
    const timer = setInterval(() => this.#tick(), TICK_MS).unref()
    this.defer(() => clearInterval(timer))
  }

  /** The longest delay since it was last asked, in milliseconds, one that still lasts included; 0 when it doesn't run. */
  take(): number {
    if (this.isRunning) this.#note(performance.now())
    const worst = this.#worst
    this.#worst = 0
    return worst
  }

  #tick(): void {
    const now = performance.now()
    this.#note(now)
    this.#ticked = now
  }

  #note(now: number): void {
    this.#worst = Math.max(this.#worst, now - this.#ticked - TICK_MS)
  }
}
