import type { Progress } from '@taskfleet/protocol'

/** One point of a task's history, for sparklines and charts. */
export interface Sample {
  /** When it was received, in milliseconds of the server's clock. */
  at: number
  done: number | undefined
  ratio: number | undefined
  /** In the progress's own unit a second. */
  rate: number
}

/** The time constant of the estimate: after this long an old rate weighs 37 %. */
const FORGET_MS = 3_000
/** Samples closer than this are one point of the history. */
const POINT_MS = 500
/** Ten minutes of points. */
const POINTS = 1_200
/** Two reports further apart than this give no rate. */
const GAP_MS = 30_000
/** Without a report for this long the estimate starts to fade: a stalled download must not show its old rate. */
const SILENCE_MS = 2_500

/** `ratio`, or `done` divided by `total`, within 0 and 1. */
export function ratioOf(progress: Progress | undefined): number | undefined {
  if (progress === undefined) return undefined
  const { ratio, done, total } = progress
  const value = ratio ?? (done !== undefined && total !== undefined && total > 0 ? done / total : undefined)
  if (value === undefined || !Number.isFinite(value)) return undefined
  return Math.min(1, Math.max(0, value))
}

/**
 * A task's progress over time: the newest report, its rate as an exponentially weighted mean over time, and a ring of
 * points. Reports are ordered by the worker's `at`; a new attempt has another clock and may begin again from zero, so
 * `rebase()` keeps the rate and drops the report to which the next one would be compared.
 */
export class ProgressTrack {
  #latest: Progress | undefined
  #receivedAt = 0
  #base: { at: number; value: number } | undefined
  #rate: number | undefined
  #points: Sample[] = []

  get latest(): Progress | undefined {
    return this.#latest
  }

  /** When the newest report was received, in milliseconds of the server's clock. */
  get receivedAt(): number {
    return this.#receivedAt
  }

  get points(): readonly Sample[] {
    return this.#points
  }

  /**
   * @param now the server's time in milliseconds
   * @returns whether the report was newer than all before it
   */
  push(progress: Progress, now: number): boolean {
    const at = Date.parse(progress.at)
    if (Number.isNaN(at)) return false
    if (this.#latest !== undefined && at <= Date.parse(this.#latest.at)) return false
    this.#latest = progress
    this.#receivedAt = now
    const ratio = ratioOf(progress)
    const value = progress.done ?? ratio
    if (value !== undefined && Number.isFinite(value)) this.#measure(at, value)
    if (this.#rate !== undefined) this.#remember({ at: now, done: progress.done, ratio, rate: this.#rate })
    return true
  }

  /** Called for another attempt: its reports are not compared with earlier ones; the rate stays until there is a new one. */
  rebase(): void {
    this.#latest = undefined
    this.#base = undefined
  }

  /** In the unit of `done` a second (of the whole, if only a ratio is known); `undefined` while unknown. */
  rate(now: number): number | undefined {
    if (this.#rate === undefined) return undefined
    const silence = now - this.#receivedAt - SILENCE_MS
    return silence <= 0 ? this.#rate : this.#rate * Math.exp(-silence / FORGET_MS)
  }

  /** Seconds until the end at the current rate. */
  secondsLeft(now: number): number | undefined {
    const rate = this.rate(now)
    const progress = this.#latest
    if (progress === undefined || rate === undefined) return undefined
    const ratio = ratioOf(progress)
    const left =
      progress.done !== undefined
        ? progress.total === undefined
          ? undefined
          : progress.total - progress.done
        : ratio === undefined
          ? undefined
          : 1 - ratio
    if (left === undefined) return undefined
    if (left <= 0) return 0
    const seconds = left / rate
    return Number.isFinite(seconds) && seconds < 100 * 86_400 ? seconds : undefined
  }

  #measure(at: number, value: number): void {
    const base = this.#base
    if (base === undefined || value < base.value || at - base.at > GAP_MS) {
      this.#base = { at, value }
      return
    }
    const elapsed = at - base.at
    // Reports in one burst are measured together: a few milliseconds make a meaningless rate.
    if (elapsed < 50) return
    this.#base = { at, value }
    const now = ((value - base.value) * 1_000) / elapsed
    const weight = 1 - Math.exp(-elapsed / FORGET_MS)
    this.#rate = this.#rate === undefined ? now : this.#rate + weight * (now - this.#rate)
  }

  #remember(sample: Sample): void {
    const last = this.#points.at(-1)
    const before = this.#points.at(-2)
    if (last !== undefined && before !== undefined && sample.at - before.at < POINT_MS) {
      this.#points[this.#points.length - 1] = sample
      return
    }
    this.#points.push(sample)
    if (this.#points.length > POINTS) this.#points.splice(0, this.#points.length - POINTS)
  }
}
