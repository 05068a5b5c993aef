import {
  type FleetStats,
  type HistoryRow,
  hasEnded,
  STATUSES,
  type TaskRow,
  type TaskStatus,
} from '@taskfleet/protocol'
import type { Counts } from './counts.ts'
import { changedSearch } from './search.ts'
import type { TaskSearch } from './task-search.ts'
import { tokenOf, withToken } from './task-tokens.ts'

/** The fields that have a filter with counts. A label is `label.customer`. */
export type FacetName = 'name' | 'queue' | 'host' | 'error' | 'version' | `label.${string}`

/** A value and how many tasks have it, the most frequent first. */
export type FacetCount = readonly [value: string, count: number]

/**
 * Where the counts of a facet come from without reading a history: the fleet's statistics, what ended in the range, or else only the
 * rows that are shown.
 */
export type FacetSource =
  | { kind: 'stats'; filter: Record<string, unknown>; pick: (stats: FleetStats) => readonly FacetCount[] }
  | { kind: 'history'; pick: (rows: readonly HistoryRow[]) => readonly FacetCount[] }
  | { kind: 'rows' }

/** @param byRange whether a time range is chosen, in which tasks ended */
export function facetSource(facet: FacetName, search: TaskSearch, byRange: boolean): FacetSource {
  const { status, name, queue, host, q, deadline } = search
  if (q !== undefined || deadline !== undefined) return { kind: 'rows' }
  if (byRange) {
    if (!['name', 'queue', 'host'].includes(facet) || status?.every(hasEnded) === false) return { kind: 'rows' }
    const of = facet as 'name' | 'queue' | 'host'
    const others = { name, queue, host, [of]: undefined }
    return {
      kind: 'history',
      pick: (rows) =>
        sumUp(
          rows.flatMap((row) => {
            const isEnd = STATUSES.some((one) => one === row.status && hasEnded(one) && (status?.includes(one) ?? true))
            const isOther = (['name', 'queue', 'host'] as const).some(
              (key) => others[key] !== undefined && others[key] !== row[key],
            )
            const value = row[of]
            return isEnd && !isOther && value !== undefined ? [[value, row.count] as const] : []
          }),
        ),
    }
  }
  if (host !== undefined || (facet !== 'name' && facet !== 'queue')) return { kind: 'rows' }
  const other = facet === 'name' ? queue : name
  const wanted: readonly TaskStatus[] = status ?? STATUSES
  const countOf = (counts: Counts) => wanted.reduce((sum, one) => sum + (counts[one] ?? 0), 0)
  return {
    kind: 'stats',
    filter: other === undefined ? {} : { [facet === 'name' ? 'queue' : 'name']: other },
    pick: ({ byName, byQueue }) =>
      sumUp(Object.entries(facet === 'name' ? byName : byQueue).map(([value, counts]) => [value, countOf(counts)])),
  }
}

/** The values of the rows that are shown. */
export function countRows(facet: FacetName, rows: readonly TaskRow[]): readonly FacetCount[] {
  return sumUp(rows.flatMap((row) => facetValue(facet, row) ?? []).map((value) => [value, 1]))
}

function facetValue(facet: FacetName, { name, queue, host, error, version, labels }: TaskRow): string | undefined {
  switch (facet) {
    case 'name':
      return name
    case 'queue':
      return queue
    case 'host':
      return host
    case 'error':
      return error?.code
    case 'version':
      return String(version)
    default:
      return labels?.[facet.slice('label.'.length)]
  }
}

function sumUp(counts: readonly FacetCount[]): readonly FacetCount[] {
  const sums = new Map<string, number>()
  for (const [value, count] of counts) sums.set(value, (sums.get(value) ?? 0) + count)
  return [...sums].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
}

/** The value that a search asks for. */
export function chosenOf(facet: FacetName, search: TaskSearch): string | undefined {
  if (facet === 'name' || facet === 'queue' || facet === 'host') return search[facet]
  return tokenOf(search.q ?? '', facet)
}

/** The search with one value of a facet, or with any if it was chosen already. */
export function chooseFacet(facet: FacetName, value: string, search: TaskSearch): TaskSearch {
  const next = chosenOf(facet, search) === value ? undefined : value
  if (facet === 'name' || facet === 'queue' || facet === 'host') return changedSearch(search, { [facet]: next })
  return changedSearch(search, { q: withToken(search.q ?? '', facet, next) })
}
