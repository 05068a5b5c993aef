/** How far two clocks may run apart: 200 parts in a million. */
const DRIFT = 0.000_2

/**
 * The database's time, kept as an offset to this process's monotonic clock, so that a change of the host's clock moves
 * nothing. It pre-selects, and it dates new tasks; what decides about a task is always `$$NOW` inside the write.
 *
 * An answer that came quickly is more precise than one that took its time: an earlier measurement is kept while it is still the
 * better one and the new one doesn't contradict it, as NTP's clock filter does (RFC 5905, section 10).
 */
export class ServerClock {
  #offset = Date.now() - performance.now()
  /** How wrong the offset may be, in milliseconds. */
  #error = Number.POSITIVE_INFINITY
  #observedAt = performance.now()

  /**
   * @param serverTime what the server said
   * @param sentAt `performance.now()` when it was asked
   * @param receivedAt `performance.now()` when the answer came
   */
  observe(serverTime: Date, sentAt: number, receivedAt: number): void {
    // The server's time is cut to whole milliseconds.
    const offset = serverTime.getTime() + 0.5 - (sentAt + receivedAt) / 2
    const error = (receivedAt - sentAt) / 2 + 1
    const known = this.#error + (receivedAt - this.#observedAt) * DRIFT
    if (error > known && Math.abs(offset - this.#offset) <= error + known) return
    this.#offset = offset
    this.#error = error
    this.#observedAt = receivedAt
  }

  now(): Date {
    return new Date(performance.now() + this.#offset)
  }

  /** The latest moment that has certainly come at the server; the present one before it was asked for the first time. */
  past(): Date {
    const now = performance.now()
    const error = this.#error + (now - this.#observedAt) * DRIFT
    return new Date(now + this.#offset - (Number.isFinite(error) ? error : 0))
  }
}
