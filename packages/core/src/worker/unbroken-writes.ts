/** The most gaps that are kept. */
const KEPT = 1_000

/**
 * For how long this process's own writes have been acknowledged without a break. A process that lost the database itself can't
 * know whether others did too, so it must not end their sessions.
 *
 * It keeps only the last gap of each length: a stack of gaps that become shorter. It is pure: times are passed in, in
 * milliseconds on a monotonic clock.
 */
export class UnbrokenWrites {
  #last: number | undefined
  /** When each gap ended, the longest first. */
  #gaps: { length: number; end: number }[] = []

  acknowledged(now: number): void {
    const length = this.#last === undefined ? Number.POSITIVE_INFINITY : now - this.#last
    while ((this.#gaps.at(-1)?.length ?? Number.POSITIVE_INFINITY) <= length && this.#gaps.length > 0) this.#gaps.pop()
    this.#gaps.push({ length, end: now })
    if (this.#gaps.length > KEPT) this.#gaps.splice(1, 1)
    this.#last = now
  }

  /**
   * @param gapMs a gap of this length counts as a break
   * @returns milliseconds; 0 when the last acknowledged write is longer ago than that
   */
  lastFor(gapMs: number, now: number): number {
    if (this.#last === undefined || now - this.#last > gapMs) return 0
    const since = this.#gaps.findLast(({ length }) => length > gapMs)
    return now - (since?.end ?? this.#last)
  }
}
