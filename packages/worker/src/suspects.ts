import type { Claim } from '@taskfleet/core/internal'

/** The used part of an attempt. `lost` is how many workers have died with its task. */
type Attempt = { readonly claim: { readonly task: Pick<Claim['task'], 'lost'> } }

/** How long a task that was lost once must run before the next suspect may begin, in milliseconds. */
const PROBATION_MS = 3_000

/**
 * Running tasks that workers have died with. One of them may kill its process, so a worker does not run several of them together: the
 * others would be lost with it. A task that was lost once is trusted after a few seconds, since usually just its host failed. A task
 * that was lost more often has one attempt left, and runs without another suspect. A task that saves a new checkpoint is trusted too.
 */
export class Suspects {
  readonly #onRoom: () => void
  readonly #running = new Set<Attempt>()
  /** The suspect that is not trusted yet. */
  #tried: Attempt | undefined
  #probation: NodeJS.Timeout | undefined
  /** Whether a caller was given a limit. */
  #wanted = false

  /** @param onRoom called when a limit that was given has changed */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom
  }

  /** How many workers may have died with a task that begins now; undefined without a limit. `onRoom` is called when the limit changes. */
  maxLost(): number | undefined {
    if (this.#running.size === 0) return undefined
    this.#wanted = true
    return this.#tried === undefined ? 1 : 0
  }

  /** Whether a task with this number of losses may begin now. */
  mayBegin(lost: number): boolean {
    return lost === 0 || lost <= (this.maxLost() ?? lost)
  }

  began(run: Attempt): void {
    const { lost } = run.claim.task
    if (lost < 1) return
    this.#running.add(run)
    this.#tried = run
    clearTimeout(this.#probation)
    if (lost === 1) this.#probation = setTimeout(() => this.#lived(run), PROBATION_MS).unref()
  }

  /** Called when the task has saved a new checkpoint, or has ended. */
  cleared(run: Attempt): void {
    if (!this.#running.delete(run)) return
    if (this.#tried === run) this.#lived(run)
    else this.#notifyRoom()
  }

  #lived(run: Attempt): void {
    if (this.#tried !== run) return
    this.#tried = undefined
    clearTimeout(this.#probation)
    this.#notifyRoom()
  }

  #notifyRoom(): void {
    if (!this.#wanted) return
    this.#wanted = false
    this.#onRoom()
  }
}
