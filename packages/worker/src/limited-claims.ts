import {
  type Claim,
  type Claimant,
  FleetError,
  type Hint,
  type ServerClock,
  type StartGrant,
  type TaskStore,
} from '@taskfleet/core'
import type { QueueLimits } from './queue-limits.ts'
import type { QueueRates } from './queue-rates.ts'

export interface LimitedClaimsOptions {
  store: TaskStore
  limits: QueueLimits
  rates: QueueRates
  claimant: () => Claimant
  clock: ServerClock
  /** Starts were used too late, so that tasks wait of which nothing is known any more. */
  onLate: (queue: string) => void
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
   *
   * @param onEarly as `TaskStore.claim`
   */
  async *claim(hints: readonly Hint[], onEarly: (id: Hint['_id']) => void): AsyncGenerator<Claim> {
    const { limits, rates } = this.#options
    const queue = hints[0]!.queue
    if (limits.place(queue) === null) return
    if (rates.isLimited(queue)) yield* this.#withinRate(hints, onEarly)
    else yield* this.#oneByOne(hints, onEarly)
  }

  async *#withinRate(hints: readonly Hint[], onEarly: (id: Hint['_id']) => void): AsyncGenerator<Claim> {
    const { limits, rates } = this.#options
    const grant = await rates.ask(hints[0]!.queue, hints.length)
    const allowed = hints.slice(0, grant.count)
    if (allowed.length === 0) return
    // Those of a claim whose answer never came may have started.
    let unused = 0
    const claims = limits.isLimited(grant.queue)
      ? this.#oneByOne(allowed, onEarly, grant)
      : this.#together(allowed, onEarly, grant)
    let begun = 0
    let sure = true
    try {
      for await (const claim of claims) {
        begun += 1
        if (claim.adopted === true) sure = false
        yield claim
      }
      unused = sure ? grant.count - begun : 0
      if (unused > 0 && this.#options.clock.now() >= grant.notAfter) this.#options.onLate(grant.queue)
    } finally {
      rates.giveBack(grant, unused)
    }
  }

  async *#together(
    hints: readonly Hint[],
    onEarly: (id: Hint['_id']) => void,
    { notAfter }: StartGrant,
  ): AsyncGenerator<Claim> {
    const { store, claimant } = this.#options
    yield* await store.claim(
      hints.map(({ _id }) => _id),
      { ...claimant(), notAfter },
      onEarly,
    )
  }

  /** In a place of its queue each: which ones are taken is known only when one tries. */
  async *#oneByOne(
    hints: readonly Hint[],
    onEarly: (id: Hint['_id']) => void,
    grant?: StartGrant,
  ): AsyncGenerator<Claim> {
    const { store, limits, claimant } = this.#options
    const until = grant === undefined ? {} : { notAfter: grant.notAfter }
    for (const hint of hints) {
      for (;;) {
        const place = limits.place(hint.queue)
        if (place === null) return
        try {
          yield* await store.claim([hint._id], { ...claimant(), ...place, ...until }, onEarly)
          break
        } catch (error) {
          if (!(error instanceof FleetError) || error.code !== 'SLOT_TAKEN' || place.slot === undefined) throw error
          limits.takenBySomebody(place.slot)
        }
      }
    }
  }
}
