const TICK_MS = 20

/**
 * How late timers are, by a timer of its own. Node's `monitorEventLoopDelay` would do, but its `reset()` also forgets
 * when it last ticked: what blocks the loop right after a reading is not seen, and a loop that is blocked all the time
 * looks fine at every other reading.
 */
export class EventLoopDelay {
  readonly #timer: NodeJS.Timeout
  #ticked = performance.now()
  #worst = 0

  constructor() {
    this.#timer = setInterval(() => this.#tick(), TICK_MS)
    this.#timer.unref()
  }

  /** The longest delay since it was last asked, in milliseconds, one that still lasts included. */
  take(): number {
    this.#note(performance.now())
    const worst = this.#worst
    this.#worst = 0
    return worst
  }

  /** May be called twice. */
  stop(): void {
    clearInterval(this.#timer)
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
