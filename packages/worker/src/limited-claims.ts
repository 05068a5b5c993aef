import type { Claim, Claimant, Hint, ServerClock, StartGrant, TaskStore } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { QueueLimits } from './queue-limits.ts'
import type { QueueRates } from './queue-rates.ts'

export interface LimitedClaimsOptions {
  store: TaskStore
  limits: QueueLimits
  rates: QueueRates
  claimant: (hint: Pick<Hint, 'lost'>) => Claimant
  clock: ServerClock
  /** Called when starts were used too late: the hints of waiting tasks were dropped. */
  onLate: (queue: string) => void
}

/** Collects ids of hints, in hex. */
export interface ClaimNotes {
  /** Tasks that were still waiting and not due, or for which the claim came after the start could be used. */
  early: Set<string>
  /** Tasks that the worker tried to claim. */
  tried: Set<string>
}

/** Claims from queues that limit how many of their tasks run at once or start within a time. */
export class LimitedClaims {
  readonly #options: LimitedClaimsOptions

  constructor(options: LimitedClaimsOptions) {
    this.#options = options
  }

  isLimited(queue: string): boolean {
    return this.#options.limits.isLimited(queue) || this.#options.rates.isLimited(queue)
  }

  /** Claims the hints that may start, all of one queue. Each claim must begin before the next one is requested. */
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
    // If the answer to a claim never came, its tasks may have started.
    let unused = 0
    const earlyBefore = notes.early.size
    const claims = limits.isLimited(grant.queue)
      ? this.#oneByOne(allowed, notes, grant)
      : this.#together(allowed, notes, grant)
    let begun = 0
    let sure = true
    try {
      for await (const claim of claims) {
        begun += 1
        if (claim.adopted === true) sure = false
        yield claim
      }
      unused = sure ? grant.count - begun : 0
      if (notes.early.size > earlyBefore) this.#options.onLate(grant.queue)
    } finally {
      rates.giveBack(grant, unused)
    }
  }

  async *#together(hints: readonly Hint[], notes: ClaimNotes, { notAfter }: StartGrant): AsyncGenerator<Claim> {
    yield* await this.#claim(hints, notes, { notAfter })
  }

  /** Claims each in a place of its queue. Only the claim shows whether a place is free. */
  async *#oneByOne(hints: readonly Hint[], notes: ClaimNotes, grant?: StartGrant): AsyncGenerator<Claim> {
    const { limits } = this.#options
    const until = given({ notAfter: grant?.notAfter })
    for (const hint of hints) {
      for (;;) {
        const place = limits.place(hint.queue)
        if (place === null) return
        try {
          yield* await this.#claim([hint], notes, { ...place, ...until })
          break
        } catch (error) {
          if (!(error instanceof FleetError) || error.code !== 'SLOT_TAKEN' || place.slot === undefined) throw error
          limits.takenByOther(place.slot)
        }
      }
    }
  }

  async #claim(hints: readonly Hint[], { early, tried }: ClaimNotes, more: Partial<Claimant>): Promise<Claim[]> {
    const { store, claimant } = this.#options
    const ids = hints.map(({ _id }) => _id)
    const claims = await store.claim(ids, { ...claimant(hints[0]!), ...more }, (id) => early.add(id.toHexString()))
    for (const id of ids) tried.add(id.toHexString())
    return claims
  }
}
