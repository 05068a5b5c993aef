import type { AuditEntry } from '@taskfleet/protocol'
import { toCsv } from './csv.ts'
import { deedOf } from './deed.ts'
import type { HistorySearch } from './search.ts'

/** The name of a key, or its id. */
export type NameOf = (id: string) => string

/** The entries that match the filters. Upper and lower case are equal. */
export function auditMatches(
  entries: readonly AuditEntry[],
  { who, did, about }: HistorySearch,
  within: { from: number; to: number } | undefined,
  nameOf: NameOf,
): AuditEntry[] {
  const has = (part: string | undefined, texts: readonly (string | undefined)[]): boolean =>
    part === undefined || texts.some((text) => text?.toLowerCase().includes(part.toLowerCase()))
  return entries.filter((entry) => {
    const at = Date.parse(entry.at)
    if (within !== undefined && (at < within.from || at >= within.to)) return false
    if (did !== undefined && entry.action !== did) return false
    const { by, target, reason, refused, filter, tasks } = entry
    return (
      has(who, [by, nameOf(by)]) && has(about, [target, target && nameOf(target), reason, refused, filter, ...tasks])
    )
  })
}

const HEAD = ['at', 'by', 'key', 'action', 'target', 'matched', 'changed', 'reason', 'refused', 'filter', 'tasks']

/** The entries as CSV, the names of keys beside their ids. */
export function auditCsv(entries: readonly AuditEntry[], nameOf: NameOf): string {
  const rows = entries.map(({ at, by, action, target, matched, changed, reason, refused, filter, tasks }) => [
    ...[at, nameOf(by), by, deedOf(action), target, matched, changed],
    ...[reason, refused, filter, tasks.join(' ')],
  ])
  return toCsv(HEAD, rows)
}
