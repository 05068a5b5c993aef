import type { HistoryRow, TaskRow } from '@taskfleet/protocol'
import { formatLatency } from './format.ts'
import { mixedPercentile, mixedShare } from './history.ts'

/** How long tasks of one handler run. Times in milliseconds, estimated. */
export interface UsualRun {
  /** How many attempts completed. */
  count: number
  p50: number
  p95: number
  /** The share of them that ended within a time, from 0 to 1. */
  within: (ms: number) => number
}

/** Of the attempts that completed; undefined if none did. */
export function usualRun(rows: readonly HistoryRow[]): UsualRun | undefined {
  const groups = rows.filter(({ outcome }) => outcome === 'completed').map(({ runMs }) => runMs)
  const p50 = mixedPercentile(groups, 0.5)
  const p95 = mixedPercentile(groups, 0.95)
  if (p50 === undefined || p95 === undefined) return undefined
  const count = groups.reduce((sum, group) => sum + group.count, 0)
  return { count, p50, p95, within: (ms) => mixedShare(groups, ms) ?? 0 }
}

/** How long the latest attempt of a task took or takes, in milliseconds. Undefined before the first one. */
export function latestRun({ status, claimedAt, attempts = [] }: TaskRow, now: number): number | undefined {
  if (status === 'running') return claimedAt === undefined ? undefined : Math.max(0, now - Date.parse(claimedAt))
  const last = attempts.at(-1)
  return last?.endedAt === undefined ? undefined : Date.parse(last.endedAt) - Date.parse(last.claimedAt)
}

/**
 * Where a run lies among those like it: `Slower than 95 % of encode`.
 * @param open it still runs, so it can only be slower
 */
export function placeText({ within }: UsualRun, ms: number, name: string, open: boolean): string {
  const share = within(ms)
  const percent = (part: number): number => Math.min(99, Math.floor(part * 100 + 1e-6))
  if (share >= 0.5) return `${open ? 'Already slower' : 'Slower'} than ${percent(share)}\u00a0% of ${name}`
  return open ? `Within the usual time of ${name}` : `Faster than ${percent(1 - share)}\u00a0% of ${name}`
}

/** When a running task may end, as others like it did; undefined if it already runs longer than 95 % of them. */
export function usualEnd({ p50, p95 }: UsualRun, ms: number): { text: string; leftMs: number } | undefined {
  if (ms < p50) return { text: `Half of them end within ${formatLatency(p50)}`, leftMs: p50 - ms }
  if (ms < p95) return { text: `95\u00a0% of them end within ${formatLatency(p95)}`, leftMs: p95 - ms }
  return undefined
}
