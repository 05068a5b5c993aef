import { EventEmitter } from 'node:events'

/** Transactions run one after the other. */
export interface Turns {
  last: Promise<unknown>
}

/** A session whose transaction is undone when it fails. Operations outside of it see its writes before it ends. */
export class MemorySession extends EventEmitter {
  readonly operationTime = undefined
  readonly clusterTime = undefined
  readonly #turns: Turns
  #open: { tell: () => void; undo: () => void }[] | undefined

  constructor(turns: Turns) {
    super()
    this.#turns = turns
  }

  inTransaction(): boolean {
    return this.#open !== undefined
  }

  /** @param undo restores the previous document */
  wrote(tell: () => void, undo: () => void): void {
    this.#open?.push({ tell, undo })
  }

  withTransaction<T>(act: (session: this) => Promise<T>): Promise<T> {
    const mine = this.#turns.last.then(() => this.#transaction(act))
    this.#turns.last = mine.catch(() => undefined)
    return mine
  }

  async #transaction<T>(act: (session: this) => Promise<T>): Promise<T> {
    this.#open = []
    try {
      const answer = await act(this)
      const done = this.#open
      this.#open = undefined
      for (const { tell } of done) tell()
      return answer
    } catch (error) {
      for (const { undo } of this.#open?.toReversed() ?? []) undo()
      this.#open = undefined
      throw error
    }
  }

  advanceClusterTime(): void {}
  advanceOperationTime(): void {}

  async endSession(): Promise<void> {
    this.emit('ended', this)
  }
}
