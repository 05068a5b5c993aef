import { isDeepStrictEqual } from 'node:util'
import { runAfter } from '@taskfleet/protocol/internal'
import type { ProgressUpdate } from './handler.ts'

/**
 * Ends an attempt that reports nothing new. `noticed` is cheap: only the timer compares times, and is set again for the rest.
 */
export class StallWatch {
  readonly #limitMs: number
  readonly #onStalled: () => void
  #newsAt = performance.now()
  /** A copy, since handlers change an object and report it again. */
  #latest: ProgressUpdate | undefined
  #held = 0
  #undo: () => void

  constructor(limitMs: number, onStalled: () => void) {
    this.#limitMs = limitMs
    this.#onStalled = onStalled
    this.#undo = runAfter(limitMs, () => this.#look())
  }

  /** Called when something new was reported. */
  noticed(): void {
    this.#newsAt = performance.now()
  }

  /** Called with reported progress. The same progress again is not new. */
  reported(update: ProgressUpdate): void {
    if (isDeepStrictEqual(update, this.#latest)) return
    this.#latest = { ...update }
    this.noticed()
  }

  /** Time spent waiting for the database does not count. */
  async hold<T>(work: Promise<T>): Promise<T> {
    const heldAt = performance.now()
    this.#held += 1
    try {
      return await work
    } finally {
      this.#held -= 1
      this.#newsAt = Math.min(performance.now(), this.#newsAt + (performance.now() - heldAt))
    }
  }

  stop(): void {
    this.#undo()
  }

  #look(): void {
    const left = this.#held > 0 ? this.#limitMs : this.#newsAt + this.#limitMs - performance.now()
    if (left <= 0) this.#onStalled()
    else this.#undo = runAfter(left, () => this.#look())
  }
}
