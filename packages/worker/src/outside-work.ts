import { asError } from '@taskfleet/core'
import { AttemptAborted, FleetError } from '@taskfleet/protocol'
import type { RunningTask } from './running-task.ts'

interface Waiting {
  resolve: (output: unknown) => void
  reject: (error: Error) => void
}

/** Attempts that the program around the runner carries out. Each waits until the program reports its result. */
export class OutsideWork {
  readonly #waiting = new Map<string, Waiting>()

  /** Resolves with the output, or rejects with the error or the reason of the abort. */
  async wait(run: RunningTask): Promise<unknown> {
    const { id, signal } = run
    const mine = new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      const abort = (): void => reject(signal.reason instanceof AttemptAborted ? signal.reason : asError(signal.reason))
      signal.addEventListener('abort', abort, { once: true })
      if (signal.aborted) abort()
    })
    const { resolve } = this.#waiting.get(id)!
    try {
      return await mine
    } finally {
      // The next attempt of the task may already wait.
      if (this.#waiting.get(id)?.resolve === resolve) this.#waiting.delete(id)
    }
  }

  /** @throws {FleetError} `NOT_RUNNING` */
  complete(id: string, output: unknown): void {
    this.#take(id).resolve(output ?? null)
  }

  /** @throws {FleetError} `NOT_RUNNING` */
  fail(id: string, error: unknown): void {
    this.#take(id).reject(asError(error))
  }

  #take(id: string): Waiting {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) {
      throw new FleetError('NOT_RUNNING', `The task ${id} does not wait for a result here`, { field: 'id' })
    }
    this.#waiting.delete(id)
    return waiting
  }
}
