/**
 * Limits how often a view may emit: a few times at once after a pause, then once in each frame.
 *
 * It is a token bucket that gains one token in each frame. It is pure: the time is passed in, in milliseconds, and never goes back.
 */
export class Frames {
  readonly #frameMs: number
  readonly #burst: number
  #left: number
  /** The time for which `#left` is valid. */
  #at = 0

  constructor(frameMs: number, burst: number) {
    this.#frameMs = frameMs
    this.#burst = burst
    this.#left = burst
  }

  /** How long the next message has to wait, in milliseconds. */
  wait(now: number): number {
    this.#fill(now)
    return this.#left >= 1 ? 0 : (1 - this.#left) * this.#frameMs
  }

  /** Counts a message that is sent now. If it did not wait, the next one waits longer. */
  take(now: number): void {
    this.#fill(now)
    this.#left = Math.max(0, this.#left - 1)
  }

  #fill(now: number): void {
    const filled = this.#frameMs > 0 ? (now - this.#at) / this.#frameMs : Number.POSITIVE_INFINITY
    this.#left = Math.min(this.#burst, this.#left + filled)
    this.#at = now
  }
}
