import type { Claim, Claimant, Hint, ServerClock, StartGrant, TaskStore } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import type { QueueLimits } from './queue-limits.ts'
import type { QueueRates } from './queue-rates.ts'

export interface LimitedClaimsOptions {
  store: TaskStore
  limits: QueueLimits
  rates: QueueRates
  claimant: (hint: Pick<Hint, 'lost'>) => Claimant
  clock: ServerClock
  /** Starts were used too late, so that tasks wait of which nothing is known any more. */
  onLate: (queue: string) => void
}

/** What becomes of hints that bring no claim. */
export interface ClaimNotes {
  /** Of a task that was still waiting and not due, or that came after its start could be used. */
  onEarly: (id: Hint['_id']) => void
  /** Of each task for which the server was asked. */
  onTried: (id: Hint['_id']) => void
}

/** Claims tasks of queues of which only so many may run at once or start within a time. */
export class LimitedClaims {
  readonly #options: LimitedClaimsOptions

  constructor(options: LimitedClaimsOptions) {
    this.#options = options
  }

  isLimited(queue: string): boolean {
    return this.#options.limits.isLimited(queue) || this.#options.rates.isLimited(queue)
  }

  /**
   * Claims what may start of these, which are all of one queue. Each claim must have begun before the next one is asked for.
   */
  async *claim(hints: readonly Hint[], notes: ClaimNotes): AsyncGenerator<Claim> {
    const { limits, rates } = this.#options
    const queue = hints[0]!.queue
    if (limits.place(queue) === null) return
    if (rates.isLimited(queue)) yield* this.#withinRate(hints, notes)
    else yield* this.#oneByOne(hints, notes)
  }

  async *#withinRate(hints: readonly Hint[], notes: ClaimNotes): AsyncGenerator<Claim> {
    const { limits, rates } = this.#options
    const grant = await rates.ask(hints[0]!.queue, hints.length)
    const allowed = hints.slice(0, grant.count)
    if (allowed.length === 0) return
    // Those of a claim whose answer never came may have started.
    let unused = 0
    let late = false
    const lateNotes: ClaimNotes = {
      ...notes,
      onEarly: (id) => {
        late = true
        notes.onEarly(id)
      },
    }
    const claims = limits.isLimited(grant.queue)
      ? this.#oneByOne(allowed, lateNotes, grant)
      : this.#together(allowed, lateNotes, grant)
    let begun = 0
    let sure = true
    try {
      for await (const claim of claims) {
        begun += 1
        if (claim.adopted === true) sure = false
        yield claim
      }
      unused = sure ? grant.count - begun : 0
      if (late) this.#options.onLate(grant.queue)
    } finally {
      rates.giveBack(grant, unused)
    }
  }

  async *#together(
    hints: readonly Hint[],
    { onEarly, onTried }: ClaimNotes,
    { notAfter }: StartGrant,
  ): AsyncGenerator<Claim> {
    const { store, claimant } = this.#options
    const ids = hints.map(({ _id }) => _id)
    const claims = await store.claim(ids, { ...claimant(hints[0]!), notAfter }, onEarly)
    for (const id of ids) onTried(id)
    yield* claims
  }

  /** In a place of its queue each: which ones are taken is known only when one tries. */
  async *#oneByOne(
    hints: readonly Hint[],
    { onEarly, onTried }: ClaimNotes,
    grant?: StartGrant,
  ): AsyncGenerator<Claim> {
    const { store, limits, claimant } = this.#options
    const until = grant === undefined ? {} : { notAfter: grant.notAfter }
    for (const hint of hints) {
      for (;;) {
        const place = limits.place(hint.queue)
        if (place === null) return
        try {
          const claims = await store.claim([hint._id], { ...claimant(hint), ...place, ...until }, onEarly)
          onTried(hint._id)
          yield* claims
          break
        } catch (error) {
          if (!(error instanceof FleetError) || error.code !== 'SLOT_TAKEN' || place.slot === undefined) throw error
          limits.takenBySomebody(place.slot)
        }
      }
    }
  }
}
