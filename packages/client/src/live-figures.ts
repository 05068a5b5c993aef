import type { FleetStats, StatsAnswer, StatsDelta } from '@taskfleet/protocol'
import type { LiveStatsHandle } from './api.ts'
import { mayPass } from './may-pass.ts'
import { retryDelay } from './retry-delay.ts'

interface Link {
  ask(): Promise<StatsAnswer>
  isLive(): boolean
  /** @param subscription to be given up at the gateway, if there is one */
  closed(subscription: string | undefined): void
  /** What was open once is refused for good, and closed. */
  refused(error: unknown): void
}

/** The client's end of statistics: asks again after a lost connection, and replaces the parts that change. */
export class LiveFigures implements LiveStatsHandle {
  readonly #listener: (stats: FleetStats) => void
  readonly #link: Link
  #stats: FleetStats | undefined
  #subscription: string | undefined
  #seq = 0
  #early: StatsDelta[] = []
  #asking = false
  /** In a row. */
  #failures = 0
  #closed = false
  #retry: ReturnType<typeof setTimeout> | undefined

  constructor(listener: (stats: FleetStats) => void, link: Link) {
    this.#listener = listener
    this.#link = link
  }

  /** As they were last told. */
  get stats(): FleetStats {
    return this.#stats!
  }

  async open(): Promise<void> {
    this.#asking = true
    try {
      const { subscription, seq, stats } = await this.#link.ask()
      if (this.#closed) {
        this.#link.closed(subscription)
        return
      }
      this.#subscription = subscription
      this.#failures = 0
      this.#seq = seq
      this.#tell(stats)
    } finally {
      this.#asking = false
      for (const delta of this.#early.splice(0)) this.delta(delta)
    }
  }

  /** The connection is new: what the gateway knew of us is gone. */
  reconnected(): void {
    if (this.#subscription === undefined) return
    this.open().catch((error: unknown) => {
      if (this.#closed || !this.#link.isLive()) return
      if (mayPass(error)) {
        this.#failures += 1
        this.#retry = setTimeout(() => this.reconnected(), retryDelay(this.#failures))
        return
      }
      this.#closed = true
      this.#link.closed(undefined)
      this.#link.refused(error)
    })
  }

  delta(delta: StatsDelta): void {
    if (this.#asking) {
      this.#early.push(delta)
      return
    }
    if (this.#closed || delta.subscription !== this.#subscription || this.#stats === undefined) return
    // Each part comes whole, so that an older one can be passed over and a newer one needs none before it.
    if (delta.seq < this.#seq) return
    this.#seq = delta.seq
    this.#tell({ ...this.#stats, ...delta.changes })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#retry)
    this.#link.closed(this.#asking ? undefined : this.#subscription)
  }

  #tell(stats: FleetStats): void {
    this.#stats = stats
    this.#listener(stats)
  }
}
