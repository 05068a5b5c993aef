export interface RateWatchOptions {
  minBytesPerSecond: number
  /** How long a server may be slower, in milliseconds; what it is kept waiting does not count. */
  windowMs: number
  /** Bytes received so far. */
  received(): number
  onTooSlow(bytesPerSecond: number): void
}

/** Watches that a server sends fast enough whenever it is let: a slow disk or an outage of the database is not its fault. */
export class RateWatch {
  readonly #options: RateWatchOptions
  readonly #timer: NodeJS.Timeout
  #receivedBefore: number
  /** Of the window, how long the server could send, up to `#openSince`. */
  #openMs = 0
  #openSince: number | undefined

  constructor(options: RateWatchOptions) {
    this.#options = options
    this.#receivedBefore = options.received()
    this.#openSince = performance.now()
    this.#timer = setInterval(() => this.#judge(), options.windowMs)
  }

  /** The server is kept waiting until `open`. */
  hold(): void {
    this.#countOpen()
    this.#openSince = undefined
  }

  open(): void {
    this.#openSince ??= performance.now()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #countOpen(): void {
    if (this.#openSince === undefined) return
    const now = performance.now()
    this.#openMs += now - this.#openSince
    this.#openSince = now
  }

  #judge(): void {
    this.#countOpen()
    const { windowMs, minBytesPerSecond, received, onTooSlow } = this.#options
    // A timer may come a little early by the other clock.
    if (this.#openMs < windowMs * 0.9) return
    const rate = ((received() - this.#receivedBefore) / this.#openMs) * 1000
    this.#receivedBefore = received()
    this.#openMs = 0
    if (rate < minBytesPerSecond) onTooSlow(rate)
  }
}
