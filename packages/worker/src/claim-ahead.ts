/** How much work is claimed ahead, in milliseconds of measured handler time per slot. */
const AHEAD_MS = 100
const MOST_AHEAD = 200
/** How many handlers of a name must have ended before its time is known. */
const SAMPLES = 5
/** The weight of the latest handler. */
const SHARE_OF_LATEST = 0.2
/** The least time of a handler, in milliseconds, to avoid a division by zero. */
const LEAST_MS = 0.1
const MOST_NAMES = 500

interface Measured {
  samples: number
  ms: number
}

/**
 * How many tasks a worker claims ahead of its slots: at most 100 ms of work, by the recent times of their handlers here.
 * So short tasks are claimed and ended in groups, and long tasks are left to workers with a free slot.
 */
export class ClaimAhead {
  readonly #byName = new Map<string, Measured>()
  readonly #all: Measured = { samples: 0, ms: 0 }
  #stuck = false

  /** A handler has ended after `ms`. */
  ended(name: string, ms: number): void {
    this.#stuck = false
    const known = this.#byName.get(name) ?? { samples: 0, ms: 0 }
    this.#byName.set(name, known)
    for (const one of [known, this.#all]) {
      one.ms = one.samples === 0 ? ms : one.ms + (ms - one.ms) * SHARE_OF_LATEST
      one.samples += 1
    }
    if (this.#byName.size > MOST_NAMES) this.#byName.delete(this.#byName.keys().next().value!)
  }

  /** A task that was claimed ahead has waited for too long: nothing is claimed ahead until a handler has ended. */
  stuck(): void {
    this.#stuck = true
  }

  /** How many tasks may wait here. */
  most(slots: number): number {
    return this.#stuck ? 0 : fitting(this.#all, slots)
  }

  /** Whether a task of the name may wait here for a slot. */
  mayWait(name: string): boolean {
    const known = this.#byName.get(name)
    return !this.#stuck && known !== undefined && fitting(known, 1) > 0
  }
}

function fitting({ samples, ms }: Measured, slots: number): number {
  if (samples < SAMPLES) return 0
  return Math.min(MOST_AHEAD, Math.floor((AHEAD_MS * slots) / Math.max(ms, LEAST_MS)))
}
