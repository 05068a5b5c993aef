/**
 * The database's time, kept as an offset to this process's monotonic clock, so that a change of the host's clock moves
 * nothing. It only pre-selects: what decides is always `$$NOW` inside the write.
 */
export class ServerClock {
  #offset = Date.now() - performance.now()

  /**
   * @param serverTime what the server said
   * @param sentAt `performance.now()` when it was asked
   * @param receivedAt `performance.now()` when the answer came
   */
  observe(serverTime: Date, sentAt: number, receivedAt: number): void {
    this.#offset = serverTime.getTime() - (sentAt + receivedAt) / 2
  }

  now(): Date {
    return new Date(performance.now() + this.#offset)
  }
}
