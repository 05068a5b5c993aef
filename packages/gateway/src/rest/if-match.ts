import { FleetError } from '@taskfleet/protocol'

/** The number that an `If-Match` names; undefined for any. @throws {FleetError} `BAD_VALUE` */
export function seenRev(tag: string | undefined): number | undefined {
  if (tag === undefined || tag.trim() === '*') return undefined
  const [, rev] = /^(?:W\/)?"(\d{1,15})"$/.exec(tag.trim()) ?? []
  if (rev === undefined)
    throw new FleetError('BAD_VALUE', 'If-Match must be an ETag from an answer, such as "3"', { field: 'if-match' })
  return Number(rev)
}
