/**
 * Limits how many handlers run at once. A worker that claims ahead holds more tasks: the others wait here for their turn, in order.
 */
export class HandlerSlots {
  readonly #most: () => number
  readonly #waiting = new Set<() => void>()
  #busy = 0

  /** @param most how many may run now */
  constructor(most: () => number) {
    this.#most = most
  }

  /**
   * Resolves when the handler may begin, or at once when its attempt was aborted. The returned function is called when the handler has
   * ended.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (this.#busy >= this.#most() && !signal.aborted) await this.#turn(signal)
    if (signal.aborted) return () => undefined
    this.#busy += 1
    let left = false
    return () => {
      if (left) return
      left = true
      this.#busy -= 1
      this.#next()
    }
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const go = (): void => {
        this.#waiting.delete(go)
        signal.removeEventListener('abort', go)
        resolve()
      }
      this.#waiting.add(go)
      signal.addEventListener('abort', go, { once: true })
    })
  }

  #next(): void {
    let room = this.#most() - this.#busy
    for (const go of this.#waiting) {
      if (room <= 0) return
      room -= 1
      go()
    }
  }
}
