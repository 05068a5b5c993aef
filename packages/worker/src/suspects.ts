import type { Claim } from '@taskfleet/core/internal'

/** An attempt, of which no more need be known than how many workers have died with its task. */
type Attempt = { readonly claim: { readonly task: Pick<Claim['task'], 'lost'> } }

/** How long a task that was lost once must live before the next suspect may begin, in milliseconds. */
const PROBATION_MS = 3_000

/**
 * Tasks that workers have died with. One of them may be what kills its process, so a worker is careful with them: then it can't take
 * the others along until they are given up as well. A task that was lost once is trusted when it has lived for a few seconds, since
 * most often it was just there when its host failed. One that was lost more often has one chance left, and runs with no other
 * suspect beside it. None is a suspect any more whose checkpoint has moved.
 */
export class Suspects {
  readonly #onRoom: () => void
  readonly #running = new Set<Attempt>()
  /** The one that has not lived long enough yet. */
  #tried: Attempt | undefined
  #probation: NodeJS.Timeout | undefined
  /** Whether somebody was given a limit. */
  #wanted = false

  /** @param onRoom told when the limit has changed, if anybody was given one */
  constructor(onRoom: () => void) {
    this.#onRoom = onRoom
  }

  /** The most workers that may have died with a task that begins now. Whoever is given a limit is told when it has changed. */
  maxLost(): number | undefined {
    if (this.#running.size === 0) return undefined
    this.#wanted = true
    return this.#tried === undefined ? 1 : 0
  }

  /** Whether a task that so many workers have died with may begin. */
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

  /** It gets on, or it has ended without harm. */
  cleared(run: Attempt): void {
    if (!this.#running.delete(run)) return
    if (this.#tried === run) this.#lived(run)
    else this.#tellRoom()
  }

  #lived(run: Attempt): void {
    if (this.#tried !== run) return
    this.#tried = undefined
    clearTimeout(this.#probation)
    this.#tellRoom()
  }

  #tellRoom(): void {
    if (!this.#wanted) return
    this.#wanted = false
    this.#onRoom()
  }
}
