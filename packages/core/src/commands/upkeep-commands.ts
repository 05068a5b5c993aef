import { durationText, type Pruned, type PruneRequest, type Retention } from '@taskfleet/protocol'
import { type Principal, requireUnlimited } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { prune } from './prune.ts'

/** How long the past is kept, for somebody: it is of no one queue or name. */
export class UpkeepCommands {
  readonly #fleet: Fleet
  readonly #principal: Principal

  constructor(fleet: Fleet, principal: Principal) {
    this.#fleet = fleet
    this.#principal = principal
  }

  /** @throws {FleetError} `FORBIDDEN` */
  async retention(): Promise<Retention> {
    requireUnlimited(this.#principal, 'read the retention')
    return this.#fleet.retention.get()
  }

  /** For tasks that end from now on. @throws {FleetError} `OUT_OF_RANGE`, `FORBIDDEN` */
  async setRetention(changes: Partial<Retention>): Promise<Retention> {
    requireUnlimited(this.#principal, 'change the retention')
    const policy = await this.#fleet.retention.set(changes)
    const target = Object.entries(changes).map(([status, kept]) => `${status} ${keptText(kept)}`)
    const by = this.#principal.id
    await this.#fleet.audit.record({ by, action: 'retention', target: target.join(', '), changed: 1 })
    return policy
  }

  /** Removes ended tasks and their log lines for good. @throws {FleetError} `FORBIDDEN` */
  async prune(request: PruneRequest = {}): Promise<Pruned> {
    requireUnlimited(this.#principal, 'remove what has ended')
    return prune(this.#fleet, { ...request, by: this.#principal.id })
  }
}

const keptText = (kept: number | null): string => (kept === null ? 'forever' : durationText(kept, { parts: 5 }))
