/**
 * How often a view may speak: at once while it is idle, a few times in a row, then once in a frame.
 *
 * A token bucket that fills by one in each frame. Pure: the time, in milliseconds, is passed in and never goes back.
 */
export class Frames {
  readonly #frameMs: number
  readonly #burst: number
  #left: number
  /** As of when `#left` is true. */
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

  /** A message goes out now. One that did not wait makes the next wait longer. */
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
