import { type ErrorMarkRequest, type ErrorRow, type ErrorState, FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
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

  /** @throws {FleetError} `NOT_FOUND`, `BAD_DATE`, `BAD_VALUE`, `BAD_REQUEST`, `FORBIDDEN` */
  async mark(request: ErrorMarkRequest): Promise<ErrorRow> {
    this.requireUnlimited('change errors')
    const { fingerprint, state, until, resolvedIn, owner, note } = request
    if (state === undefined && owner === undefined && note === undefined) {
      throw new FleetError('BAD_REQUEST', "There is nothing to change. Give 'state', 'owner' or 'note'")
    }
    if (resolvedIn !== undefined && state !== 'resolved') {
      throw new FleetError('BAD_VALUE', "'resolvedIn' is only for the state 'resolved'", { field: 'resolvedIn' })
    }
    const changes = {
      ...given({ state, owner, note }),
      ...(until === undefined ? {} : { until: parseDate(until, 'until') }),
      ...(resolvedIn === undefined ? {} : { resolvedIn: parseType(resolvedIn) }),
    }
    const marked = await this.parts.errors.mark(fingerprint, changes, this.by)
    const reason = [
      resolvedIn === undefined ? [] : [`in ${resolvedIn}`],
      owner === undefined ? [] : [owner === null || owner === '' ? 'no owner' : `owner: ${owner}`],
      note === undefined ? [] : [note === null || note === '' ? 'no note' : `note: ${note}`],
    ]
      .flat()
      .join('; ')
    await this.record(`error ${state ?? 'edit'}`, {
      ...{ target: fingerprint, changed: 1 },
      ...(reason === '' ? {} : { reason: reason.slice(0, 500) }),
    })
    return toRow<ErrorRow>('errors', marked as never)
  }
}

/** @throws {FleetError} `BAD_VALUE` */
function parseType(text: string): { name: string; version: number } {
  const [, name, version] = /^(.+)@([1-9]\d{0,8})$/s.exec(text) ?? []
  if (name !== undefined && version !== undefined) return { name, version: Number(version) }
  throw new FleetError('BAD_VALUE', "'resolvedIn' must be a handler and its version, such as encode@3", {
    field: 'resolvedIn',
  })
}
