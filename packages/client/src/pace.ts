/** A token bucket for messages: a burst at once, then a fixed number a second, in order. */
export class Pace {
  readonly #perSecond: number
  readonly #burst: number
  readonly #now: () => number
  readonly #waiting: (() => void)[] = []
  #tokens: number
  #at: number
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(perSecond: number, burst: number, now: () => number = () => performance.now()) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#now = now
    this.#tokens = burst
    this.#at = now()
  }

  /** Resolves when it is this message's turn; undefined if it may be sent now. */
  turn(): Promise<void> | undefined {
    this.#refill()
    if (this.#waiting.length === 0 && this.#tokens >= 1) {
      this.#tokens -= 1
      return undefined
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.#wakeInTime()
    })
  }

  /** The receiver counts from zero again, for example on a new connection. */
  restart(): void {
    this.#tokens = this.#burst
    this.#at = this.#now()
    this.#letGo()
  }

  #refill(): void {
    const now = this.#now()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond)
    this.#at = now
  }

  #letGo(): void {
    this.#refill()
    while (this.#waiting.length > 0 && this.#tokens >= 1) {
      this.#tokens -= 1
      this.#waiting.shift()?.()
    }
    this.#wakeInTime()
  }

  #wakeInTime(): void {
    clearTimeout(this.#timer)
    if (this.#waiting.length === 0) return
    const missing = Math.max(0, 1 - this.#tokens)
    this.#timer = setTimeout(() => this.#letGo(), Math.ceil((missing / this.#perSecond) * 1_000))
  }
}
