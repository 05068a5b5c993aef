/** A limited number at the same time, the others in order of arrival. */
export class Places {
  #free: number
  readonly #waiting = new Set<() => void>()

  constructor(most: number) {
    this.#free = most
  }

  /** @returns `ready` resolves when it is this one's turn; `leave` frees the place, or ends the wait for it */
  take(): { ready: Promise<void>; leave: () => void } {
    if (this.#free > 0) {
      this.#free -= 1
      return { ready: Promise.resolve(), leave: () => this.#next() }
    }
    let begin = (): void => {}
    const ready = new Promise<void>((resolve) => {
      begin = resolve
    })
    this.#waiting.add(begin)
    return { ready, leave: () => void (this.#waiting.delete(begin) || this.#next()) }
  }

  #next(): void {
    const [first] = this.#waiting
    if (first === undefined) {
      this.#free += 1
      return
    }
    this.#waiting.delete(first)
    first()
  }
}
