/** How fast two clocks may drift apart: 200 parts in a million. */
const DRIFT = 0.000_2

/**
 * The database's time, kept as an offset to this process's monotonic clock, so that a change of the host's clock has no effect.
 * It is used to pre-select tasks and to date new ones. Decisions about a task always use `$$NOW` within the write.
 *
 * A fast response gives a more precise measurement than a slow one. So an earlier measurement is kept while it is more precise
 * and the new one doesn't contradict it, as in NTP's clock filter (RFC 5905, section 10).
 */
export class ServerClock {
  #offset = Date.now() - performance.now()
  /** The maximum error of the offset, in milliseconds. */
  #error = Number.POSITIVE_INFINITY
  #observedAt = performance.now()

  /**
   * @param serverTime the time in the server's response
   * @param sentAt `performance.now()` when the request was sent
   * @param receivedAt `performance.now()` when the response arrived
   */
  observe(serverTime: Date, sentAt: number, receivedAt: number): void {
    // The server's time is rounded down to whole milliseconds.
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
