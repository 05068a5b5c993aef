/**
 * A reading compared with a threshold: `over` it, `clear` of it by the margin, or `near` it, in between. `unknown` counts as clear,
 * so that a missing measure does not hold back work for ever.
 */
export type Standing = 'over' | 'near' | 'clear' | 'unknown'

export interface LatchOptions {
  /** How many readings over the threshold in a row close it. */
  closeAfter: number
  /** How many clear readings in a row open it. */
  openAfter: number
  /** Whether the first reading counts at once: right for a level such as free disk, wrong for a rate. */
  eager: boolean
}

/**
 * Hysteresis as in a Schmitt trigger, with a debounce: two thresholds, and several readings in a row before it
 * changes. So a value that moves within the margin, or leaves it for a moment, has no effect.
 */
export class Latch {
  readonly #options: LatchOptions
  #closed = false
  #seen = false
  /** Readings in a row that contradict the present state. */
  #streak = 0

  constructor(options: LatchOptions) {
    this.#options = options
  }

  get closed(): boolean {
    return this.#closed
  }

  update(standing: Standing): void {
    const { closeAfter, openAfter, eager } = this.#options
    const against = this.#closed ? standing === 'clear' || standing === 'unknown' : standing === 'over'
    this.#streak = against ? this.#streak + 1 : 0
    const believed = eager && !this.#seen && standing === 'over'
    if (standing !== 'unknown') this.#seen = true
    if (!believed && this.#streak < (this.#closed ? openAfter : closeAfter)) return
    this.#closed = !this.#closed
    this.#streak = 0
  }
}
