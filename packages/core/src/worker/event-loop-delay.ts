import { Service } from '../service.ts'

const TICK_MS = 20

/**
 * Measures how late timers are, with its own timer. Node's `monitorEventLoopDelay` is not used, because its `reset()` also
 * drops the time of the last tick. It would miss a block right after a reading, and a loop that is always blocked would look
 * fine at every other reading.
 */
export class EventLoopDelay extends Service {
  #ticked = performance.now()
  #worst = 0

  protected override onStart(): void {
    this.#ticked = performance.now()
    const timer = setInterval(() => this.#tick(), TICK_MS).unref()
    this.defer(() => clearInterval(timer))
  }

  /** The longest delay since the last reading, in milliseconds, including one that still lasts; 0 when not running. */
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
