import type { ErrorRow, ErrorState } from '@taskfleet/protocol'
import { toRow } from '../live/wire.ts'
import { parseDate } from '../task/parse-value.ts'
import { Commands } from './commands.ts'

/** Recurring errors. They belong to many queues and names, so they are not for limited keys. */
export class ErrorCommands extends Commands<'errors'> {
  /** The latest first. @throws {FleetError} `FORBIDDEN` */
  async list(request: { state?: ErrorState; limit?: number }): Promise<ErrorRow[]> {
    this.requireUnlimited('read errors')
    return (await this.parts.errors.list(request)).map((found) => toRow<ErrorRow>('errors', found as never))
  }

  /** @throws {FleetError} `NOT_FOUND`, `BAD_DATE`, `FORBIDDEN` */
  async mark(request: { fingerprint: string; state: ErrorState; until?: string }): Promise<ErrorRow> {
    this.requireUnlimited('change errors')
    const { fingerprint, state, until } = request
    const date = until === undefined ? undefined : parseDate(until, 'until')
    const marked = await this.parts.errors.mark(fingerprint, state, this.by, date)
    await this.record(`error ${state}`, { target: fingerprint, changed: 1 })
    return toRow<ErrorRow>('errors', marked as never)
  }
}
