import type { HistoryRow, Percentiles, StatsSlot, WaitingRow } from '@taskfleet/protocol'
import type { Range } from './range.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Longer ranges are counted by the hour. */
const MINUTES_UP_TO_MS = 6 * HOUR_MS
/** Minutes are kept for 48 hours. One hour less, since a request is made a moment later. */
const MINUTES_KEPT_MS = 47 * HOUR_MS
const MOST_BARS = 90

export type HistoryUnit = 'minute' | 'hour'
const UNIT_MS: Record<HistoryUnit, number> = { minute: MINUTE_MS, hour: HOUR_MS }
/** How many units a bar may cover. */
const STEPS: Record<HistoryUnit, readonly number[]> = { minute: [1, 2, 5, 10, 15], hour: [1, 2, 3, 6, 12, 24] }

/** Tasks that ended, by how. */
export interface Ends {
  completed: number
  failed: number
  cancelled: number
}

/** One bar of a chart: what ended from `at`, in milliseconds, until the next bar. */
export interface Bar extends Ends {
  at: number
}

/** Bars without a gap, the oldest first. */
export interface Bars {
  bars: Bar[]
  stepMs: number
}

/**
 * The unit in which a range is counted: minutes for short ranges of the last two days, else hours.
 * @param now the server's time in milliseconds
 */
export function unitOf({ from, to }: Pick<Range, 'from' | 'to'>, now: number): HistoryUnit {
  return to - from <= MINUTES_UP_TO_MS && now - from <= MINUTES_KEPT_MS ? 'minute' : 'hour'
}

/** Empty bars for a range: at most 90, each of whole units. */
function emptyBars({ from, to }: Pick<Range, 'from' | 'to'>, unit: HistoryUnit): Bars {
  const units = STEPS[unit]
  const step = units.find((one) => (to - from) / (one * UNIT_MS[unit]) <= MOST_BARS) ?? units.at(-1) ?? 1
  const stepMs = step * UNIT_MS[unit]
  const first = Math.floor(from / stepMs) * stepMs
  const count = Math.max(1, Math.ceil((to - first) / stepMs))
  const bars = Array.from({ length: count }, (_, index) => ({ at: first + index * stepMs, ...none() }))
  return { bars, stepMs }
}

/** What ended in a range, as bars. */
export function barsOf(
  rows: readonly Pick<HistoryRow, 'at' | 'status' | 'count'>[],
  range: Pick<Range, 'from' | 'to'>,
  unit: HistoryUnit,
): Bars {
  const { bars, stepMs } = emptyBars(range, unit)
  const first = bars[0]?.at ?? 0
  for (const row of rows) {
    const bar = bars[Math.floor((Date.parse(row.at) - first) / stepMs)]
    if (bar !== undefined) count(bar, row)
  }
  return { bars, stepMs }
}

/**
 * The bars of the last minutes with what is known by the second: history arrives later.
 *
 * @param slots intervals of ten seconds without a gap, the oldest first
 */
export function withSlots({ bars, stepMs }: Bars, slots: readonly StatsSlot[]): Bars {
  const first = Date.parse(slots[0]?.at ?? '')
  if (stepMs > MINUTE_MS || Number.isNaN(first)) return { bars, stepMs }
  const counted = bars.map((bar) => {
    if (bar.at < first) return bar
    const within = slots.filter(({ at }) => Date.parse(at) >= bar.at && Date.parse(at) < bar.at + stepMs)
    const sum = (end: keyof Ends): number => within.reduce((all, slot) => all + slot[end], 0)
    return { at: bar.at, completed: sum('completed'), failed: sum('failed'), cancelled: sum('cancelled') }
  })
  return { bars: counted, stepMs }
}

/** What waited from `at`, in milliseconds, until the next one; undefined where nobody counted. */
export interface WaitingBar {
  at: number
  count: number | undefined
  oldestMs: number | undefined
}

/** The most that waited, and the longest wait, in each part of a range. */
export function waitingBars(
  rows: readonly WaitingRow[],
  range: Pick<Range, 'from' | 'to'>,
  unit: HistoryUnit,
): { bars: WaitingBar[]; stepMs: number } {
  const { bars: empty, stepMs } = emptyBars(range, unit)
  const bars: WaitingBar[] = empty.map(({ at }) => ({ at, count: undefined, oldestMs: undefined }))
  for (const { at, count, oldestMs } of rows) {
    const bar = bars[Math.floor((Date.parse(at) - (bars[0]?.at ?? 0)) / stepMs)]
    if (bar === undefined) continue
    bar.count = Math.max(bar.count ?? 0, count)
    bar.oldestMs = Math.max(bar.oldestMs ?? 0, oldestMs)
  }
  return { bars, stepMs }
}

/** How long the tasks of one bar took, in milliseconds; undefined where none ended. */
export interface SpreadBar {
  at: number
  p50: number | undefined
  p95: number | undefined
}

/** How long attempts waited for a claim, or ran, in each part of a range. */
export function spreadBars(
  rows: readonly HistoryRow[],
  range: Pick<Range, 'from' | 'to'>,
  unit: HistoryUnit,
  which: 'waitMs' | 'runMs',
): { bars: SpreadBar[]; stepMs: number } {
  const { bars: empty, stepMs } = emptyBars(range, unit)
  const groups = empty.map((): Percentiles[] => [])
  for (const row of rows) groups[Math.floor((Date.parse(row.at) - (empty[0]?.at ?? 0)) / stepMs)]?.push(row[which])
  const bars = empty.map(({ at }, index) => {
    const group = groups[index] ?? []
    return { at, p50: mixedPercentile(group, 0.5), p95: mixedPercentile(group, 0.95) }
  })
  return { bars, stepMs }
}

/** How many tasks ended. An attempt that is tried again ends no task. */
export function endsOf(rows: readonly Pick<HistoryRow, 'status' | 'count'>[]): Ends {
  const ends = none()
  for (const row of rows) count(ends, row)
  return ends
}

/** What ended, by a key of the rows. */
export function groupEnds<Row extends Pick<HistoryRow, 'status' | 'count'>>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
): ReadonlyMap<string, Ends> {
  const groups = new Map<string, Ends>()
  for (const row of rows) {
    const key = keyOf(row)
    const ends = groups.get(key) ?? none()
    groups.set(key, ends)
    count(ends, row)
  }
  return groups
}

export const sumOf = ({ completed, failed, cancelled }: Ends): number => completed + failed + cancelled

/** The share of tasks that ended as failed, 0..1. Undefined if none ended. */
export function failedShare(ends: Ends): number | undefined {
  const all = sumOf(ends)
  return all === 0 ? undefined : ends.failed / all
}

const none = (): Ends => ({ completed: 0, failed: 0, cancelled: 0 })

function count(into: Ends, { status, count: added }: Pick<HistoryRow, 'status' | 'count'>): void {
  if (status === 'completed' || status === 'failed' || status === 'cancelled') into[status] += added
}

/**
 * A percentile of several groups together, estimated: each group is spread evenly between its own percentiles, and weighs as much
 * as it counts. Undefined without any durations.
 *
 * @param part 0.5 for the median
 */
export function mixedPercentile(groups: readonly Percentiles[], part: number): number | undefined {
  const curves = curvesOf(groups)
  const all = curves.reduce((sum, curve) => sum + curve.count, 0)
  if (all === 0) return undefined
  const below = (ms: number): number =>
    curves.reduce((sum, curve) => sum + curve.count * shareBelow(curve, ms), 0) / all
  let [low, high] = [0, Math.max(...curves.map(({ p99 }) => p99))]
  // Each round halves the interval: forty are more than enough for a day in milliseconds.
  for (let round = 0; round < 40 && high - low > 0.5; round += 1) {
    const middle = (low + high) / 2
    if (below(middle) >= part) high = middle
    else low = middle
  }
  return Math.round(high)
}

/** Which share of several groups' durations, from 0 to 1, is at most `ms`; estimated as `mixedPercentile`. */
export function mixedShare(groups: readonly Percentiles[], ms: number): number | undefined {
  const curves = curvesOf(groups)
  const all = curves.reduce((sum, curve) => sum + curve.count, 0)
  return all === 0 ? undefined : curves.reduce((sum, curve) => sum + curve.count * shareBelow(curve, ms), 0) / all
}

const curvesOf = (groups: readonly Percentiles[]): Required<Percentiles>[] =>
  groups.flatMap(({ count, p50, p95, p99 }) =>
    count > 0 && p50 !== undefined && p95 !== undefined && p99 !== undefined ? [{ count, p50, p95, p99 }] : [],
  )

/** The share of a group's durations that are at most `ms`. */
function shareBelow({ p50, p95, p99 }: Required<Omit<Percentiles, 'count'>>, ms: number): number {
  const corners = [
    [0, 0],
    [p50, 0.5],
    [p95, 0.95],
    [p99, 1],
  ] as const
  let [from, low] = corners[0] as readonly [number, number]
  for (const [to, high] of corners.slice(1)) {
    if (ms < to) return low + ((high - low) * (ms - from)) / (to - from)
    from = to
    low = high
  }
  return 1
}

/** How long 95 % of the tasks of each name run at most, in milliseconds. */
export type UsualRuns = ReadonlyMap<string, number>

/**
 * Of the tasks that completed.
 * @param enough names with fewer tasks are left out
 */
export function usualRuns(rows: readonly HistoryRow[], enough = 1): UsualRuns {
  const groups = new Map<string, Percentiles[]>()
  for (const { name, outcome, runMs } of rows) {
    if (outcome === 'completed') groups.set(name, [...(groups.get(name) ?? []), runMs])
  }
  return new Map(
    [...groups].flatMap(([name, runs]) => {
      const p95 = mixedPercentile(runs, 0.95)
      const count = runs.reduce((sum, run) => sum + run.count, 0)
      return p95 === undefined || count < enough ? [] : [[name, p95] as const]
    }),
  )
}
