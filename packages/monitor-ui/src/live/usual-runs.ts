import type { HistoryRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useMemo } from 'react'
import { useAsked } from './use-asked.ts'

/** How long 95 % of the tasks of each name ran at most, in milliseconds. */
export type UsualRuns = ReadonlyMap<string, number>

const AGAIN_MS = 120_000
const DAY_MS = 86_400_000
/** Fewer tasks than this say nothing about what is usual. */
const ENOUGH = 20

/** Of the last day, from the roll-ups by hour. Empty until it is known, and for keys that may not read them. */
export function useUsualRuns(): UsualRuns {
  const client = useFleetClient()
  const ask = () =>
    client.tasks.history({ unit: 'hour', since: new Date(Date.now() + client.clockOffset - DAY_MS).toISOString() })
  const { answer } = useAsked(ask, { key: 'usual runs', everyMs: AGAIN_MS })
  return useMemo(() => usualRuns(answer ?? []), [answer])
}

/** The p95 of several hours together is estimated by their mean, each hour weighed by its tasks. */
export function usualRuns(rows: readonly HistoryRow[]): UsualRuns {
  const sums = new Map<string, { count: number; ms: number }>()
  for (const { name, outcome, runMs } of rows) {
    if (outcome !== 'completed' || runMs.p95 === undefined) continue
    const sum = sums.get(name) ?? { count: 0, ms: 0 }
    sums.set(name, { count: sum.count + runMs.count, ms: sum.ms + runMs.count * runMs.p95 })
  }
  const known = [...sums].filter(([, { count }]) => count >= ENOUGH)
  return new Map(known.map(([name, { count, ms }]) => [name, ms / count]))
}
