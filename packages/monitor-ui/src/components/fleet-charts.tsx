import type { HistoryRow, StatsSlot } from '@taskfleet/protocol'
import { useServerTime } from '@taskfleet/react'
import { useMemo, useState } from 'react'
import { useHistory, useWaiting } from '../live/use-history.ts'
import { useRange } from '../shell/use-range.ts'
import { lastSlots } from '../view/activity.ts'
import { formatCount } from '../view/counts.ts'
import { formatLatency } from '../view/format.ts'
import { barsOf, mixedPercentile, spreadBars, waitingBars, withSlots } from '../view/history.ts'
import type { RangeName } from '../view/range.ts'
import { COUNTS, RangeChart, TimeChart } from './range-chart.tsx'

const USUAL: RangeName = '15m'
const NO_ROWS: readonly HistoryRow[] = []
const SLOT_MS = 10_000
const LEAST_MS = 1_000
const AGES = [COUNTS[0], { write: formatLatency, least: LEAST_MS }] as const
const SPREADS = [{ write: formatLatency, least: LEAST_MS }] as const
const known = (ms: number | undefined): string => (ms === undefined ? '–' : formatLatency(ms))
const most = (values: readonly (number | undefined)[]): number | undefined => {
  const found = values.filter((value) => value !== undefined)
  return found.length === 0 ? undefined : Math.max(...found)
}

export interface FleetChartsProps {
  /** The last five minutes by ten seconds. */
  slots: readonly StatsSlot[] | undefined
}

/** What ended, what waited, and how long tasks took, in the chosen range or the last quarter of an hour, with one cursor. */
export function FleetCharts({ slots }: FleetChartsProps) {
  const range = useRange(USUAL)
  const { history } = useHistory({}, USUAL)
  const { answer: waiting } = useWaiting(USUAL)
  const [which, setWhich] = useState<'waitMs' | 'runMs'>('waitMs')
  const { from, to } = history ?? range
  const unit = history?.unit ?? 'minute'
  const rows = history?.rows ?? NO_ROWS
  const now = useServerTime((ms) => Math.floor(ms / SLOT_MS) * SLOT_MS)
  const ended = useMemo(() => {
    const bars = barsOf(rows, { from, to }, unit)
    return slots === undefined ? bars : withSlots(bars, lastSlots(slots, now))
  }, [rows, from, to, unit, slots, now])
  const spread = useMemo(() => spreadBars(rows, { from, to }, unit, which), [rows, from, to, unit, which])
  const queued = useMemo(
    () => waitingBars(waiting?.rows ?? [], { from, to }, waiting?.unit ?? unit),
    [waiting, from, to, unit],
  )
  const took = rows.map((row) => row[which])
  const counted = queued.bars.some(({ count }) => count !== undefined)
  const ran = which === 'runMs'
  return (
    <div className="grid grid-cols-[minmax(0,1fr)] gap-3 lg:grid-cols-[repeat(3,minmax(0,1fr))]">
      <RangeChart title="Ended" compact {...ended} loading={history === undefined} />
      <TimeChart
        title="Waiting"
        compact
        at={queued.bars.map(({ at }) => at)}
        stepMs={queued.stepMs}
        scales={AGES}
        series={[
          {
            kind: 'bars',
            colour: 'color-mix(in srgb, var(--color-dim) 55%, var(--color-panel))',
            values: queued.bars.map(({ count }) => count),
          },
          {
            kind: 'line',
            colour: 'var(--color-warn)',
            right: true,
            values: queued.bars.map(({ oldestMs }) => oldestMs),
          },
        ]}
        figures={(index) => {
          const bar = index === undefined ? undefined : queued.bars[index]
          const count = bar === undefined ? most(queued.bars.map((one) => one.count)) : bar.count
          const oldest = bar === undefined ? most(queued.bars.map((one) => one.oldestMs)) : bar.oldestMs
          const all = bar === undefined ? 'at most' : 'due'
          return [
            { label: all, value: count === undefined ? '–' : formatCount(count), mark: 'bg-dim/55' },
            { label: 'the oldest', value: known(oldest), mark: 'bg-warn' },
          ]
        }}
        nothing={waiting === undefined ? 'Counting…' : counted ? undefined : 'Not counted yet: once a minute.'}
      />
      <TimeChart
        title={ran ? 'Ran' : 'Waited'}
        compact
        at={spread.bars.map(({ at }) => at)}
        stepMs={spread.stepMs}
        scales={SPREADS}
        series={[
          { kind: 'line', colour: 'var(--color-warn)', values: spread.bars.map(({ p95 }) => p95) },
          { kind: 'line', colour: 'var(--color-run)', values: spread.bars.map(({ p50 }) => p50) },
        ]}
        figures={(index) => {
          const bar = index === undefined ? undefined : spread.bars[index]
          const at = (part: number) => mixedPercentile(took, part)
          return [
            { label: 'p50', value: known(bar === undefined ? at(0.5) : bar.p50), mark: 'bg-run' },
            { label: 'p95', value: known(bar === undefined ? at(0.95) : bar.p95), mark: 'bg-warn' },
          ]
        }}
        nothing={history === undefined ? 'Counting…' : noneOf(took) ? 'Nothing ended in this time.' : undefined}
        actions={
          <button
            type="button"
            className="text-xs text-run hover:underline"
            title={ran ? 'Show how long tasks waited' : 'Show how long tasks ran'}
            onClick={() => setWhich(ran ? 'waitMs' : 'runMs')}
          >
            {ran ? 'Waits' : 'Runs'}
          </button>
        }
      />
    </div>
  )
}

const noneOf = (took: readonly { count: number }[]): boolean => took.every(({ count }) => count === 0)
