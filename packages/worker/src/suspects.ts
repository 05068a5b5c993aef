import type { RunningTask } from './running-task.ts'

/** How long a task that was lost once must live before the next suspect may begin, in milliseconds. */
const PROBATION_MS = 3_000

/**
 * Tasks that workers have died with. One of them may be what kills its process, so a worker runs them one at a time: then it can't
 * take the others along until they are given up as well. A task that was lost once is trusted again when it has lived for a few
 * seconds, since most often it was just there when its host failed; one that was lost twice, when its checkpoint has moved.
 */
export class Suspects {
  readonly #onRoom: () => void
  #now: RunningTask | undefined
  #probation: NodeJS.Timeout | undefined
  /** Whether something was passed over because of it. */
  #wanted = false

  /** @param onRoom told when the next one may begin, if any was passed over */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom
  }

  /** Whether one may begin. Whoever asks in vain hears of it when there is room. */
  get room(): boolean {
    if (this.#now !== undefined) this.#wanted = true
    return this.#now === undefined
  }

  began(run: RunningTask): void {
    const { lost } = run.claim.task
    if (lost < 1) return
    this.#now = run
    clearTimeout(this.#probation)
    if (lost === 1) this.#probation = setTimeout(() => this.cleared(run), PROBATION_MS).unref()
  }

  /** It gets on, or it has ended without harm. */
  cleared(run: RunningTask): void {
    if (this.#now !== run) return
    this.#now = undefined
    clearTimeout(this.#probation)
    if (!this.#wanted) return
    this.#wanted = false
    this.#onRoom()
  }
}
