/** Work that goes on by itself, and that somebody waits for in the end. */
export class UnderWay {
  readonly #all = new Set<Promise<void>>()
  readonly #onError: (error: unknown) => void

  constructor(onError: (error: unknown) => void) {
    this.#onError = onError
  }

  add(work: Promise<unknown>): void {
    const done = work.then(
      () => void this.#all.delete(done),
      (error: unknown) => {
        this.#all.delete(done)
        this.#onError(error)
      },
    )
    this.#all.add(done)
  }

  /** Resolves when nothing is under way, also nothing that was added meanwhile. */
  async settled(): Promise<void> {
    while (this.#all.size > 0) await Promise.all(this.#all)
  }
}
