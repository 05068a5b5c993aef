import { type ErrorRow, type ErrorState, FleetError, type WorkerRow } from '@taskfleet/protocol'
import { type Principal, requireUnlimited } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { toRow } from '../live/wire.ts'

/** Workers and recurring errors, within what a key may see. */
export class ReportCommands {
  readonly #fleet: Fleet
  readonly #principal: Principal

  constructor(fleet: Fleet, principal: Principal) {
    this.#fleet = fleet
    this.#principal = principal
  }

  async workers(): Promise<WorkerRow[]> {
    return (await this.#fleet.workers.list()).map((found) => toRow<WorkerRow>('workers', found as never))
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async worker(id: string): Promise<WorkerRow> {
    const found = await this.#fleet.workers.find(id)
    if (found === null) throw new FleetError('NOT_FOUND', 'There is no such worker, or it has stopped', { field: 'id' })
    return toRow<WorkerRow>('workers', found as never)
  }

  /** The latest first. @throws {FleetError} `FORBIDDEN` */
  async errors(request: { state?: ErrorState; limit?: number } = {}): Promise<ErrorRow[]> {
    requireUnlimited(this.#principal, 'read errors')
    return (await this.#fleet.errors.list(request)).map((found) => toRow<ErrorRow>('errors', found as never))
  }
}
