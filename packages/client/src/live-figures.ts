import type { FleetStats, StatsAnswer, StatsDelta } from '@taskfleet/protocol'
import type { LiveStatsHandle } from './api.ts'
import { type Link, LiveSubscription } from './live-subscription.ts'

/** The client's side of statistics: replaces the parts that change. */
export class LiveFigures extends LiveSubscription<StatsAnswer, StatsDelta> implements LiveStatsHandle {
  protected readonly ask: () => Promise<StatsAnswer>
  readonly #listener: (stats: FleetStats) => void
  #stats: FleetStats | undefined
  #seq = 0

  constructor(ask: () => Promise<StatsAnswer>, listener: (stats: FleetStats) => void, link: Link) {
    super(link)
    this.ask = ask
    this.#listener = listener
  }

  /** The latest statistics. */
  get stats(): FleetStats {
    return this.#stats!
  }

  protected answered({ seq, stats }: StatsAnswer): void {
    this.#seq = seq
    this.#publish(stats)
  }

  protected apply({ seq, changes }: StatsDelta): void {
    // Each part is sent whole, so older messages can be skipped.
    if (seq < this.#seq) return
    this.#seq = seq
    this.#publish({ ...this.stats, ...changes })
  }

  protected interrupted(): void {}
  protected forget(): void {}

  #publish(stats: FleetStats): void {
    this.#stats = stats
    this.#listener(stats)
  }
}
