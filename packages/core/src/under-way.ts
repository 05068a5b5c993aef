/** Work that runs in the background and is awaited at the end. */
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

  /** Resolves when no work is left, including work that was added in the meantime. */
  async settled(): Promise<void> {
    while (this.#all.size > 0) await Promise.all(this.#all)
  }
}
