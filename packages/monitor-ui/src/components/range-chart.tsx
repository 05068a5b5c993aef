import { lazy, type ReactNode, Suspense, useMemo, useState } from 'react'
import { useRange } from '../shell/use-range.ts'
import { formatCount, formatCountShort } from '../view/counts.ts'
import { formatTick } from '../view/format.ts'
import { type Bar, type Bars, type Ends, endsOf, sumOf } from '../view/history.ts'
import { writeRange } from '../view/range.ts'
import { loadRangePlot } from './load-rate-chart.ts'
import type { Intervals, RangePlotProps } from './range-plot.tsx'

const RangePlot = lazy(loadRangePlot)
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const HEIGHT = 150
const COMPACT_HEIGHT = 104

/** A figure beside the heading of a chart. */
interface Figure {
  label: string
  value: string
  /** The class of its mark. */
  mark: string
}

interface TimeChartProps extends Intervals, Pick<RangePlotProps, 'series' | 'scales'> {
  title: string
  /** Lower, and without its range: one of several beside each other. */
  compact?: boolean
  /** The figures of an interval, or of all of them together. */
  figures: (index: number | undefined) => readonly Figure[]
  /** Said in place of an empty chart. */
  nothing: string | undefined
  actions?: ReactNode
}

/**
 * A chart over a range, with the figures under the cursor, or of the whole range. All charts of a page share one cursor. Dragging over a part
 * of it shows that part on every page.
 */
export function TimeChart({ title, compact = false, figures, nothing, actions, ...plot }: TimeChartProps) {
  const height = compact ? COMPACT_HEIGHT : HEIGHT
  const { at, stepMs } = plot
  const { change } = useRange()
  const [pointed, setPointed] = useState<number>()
  const here = pointed === undefined ? undefined : at[pointed]
  const from = at[0] ?? 0
  const to = (at.at(-1) ?? 0) + stepMs
  const withDay = to - from > DAY_MS
  const select = (first: number, last: number) => {
    const start = Math.floor(first / MINUTE_MS) * MINUTE_MS
    change(writeRange(start, Math.max(start + MINUTE_MS, Math.ceil(last / MINUTE_MS) * MINUTE_MS)))
  }
  const words = figures(undefined).map(({ label, value }) => `${value} ${label}`)
  return (
    <section className="panel dims min-w-0 px-3 pt-2.5 pb-1.5" aria-label={title} data-testid="range-chart">
      <div className="mb-1 flex flex-wrap items-baseline gap-x-4 gap-y-0.5">
        <h2 className="heading">{title}</h2>
        <ul className="flex flex-wrap gap-x-3.5 text-xs" aria-label={here === undefined ? 'In all' : 'At the cursor'}>
          {figures(here === undefined ? undefined : pointed).map(({ label, value, mark }) => (
            <li key={label} className="flex items-center gap-1.5 whitespace-nowrap">
              <span className={`h-2.5 w-2 rounded-[1px] ${mark}`} aria-hidden />
              <span>
                <span className="font-medium">{value}</span> <span className="text-dim">{label}</span>
              </span>
            </li>
          ))}
        </ul>
        {actions}
        {(here !== undefined || !compact) && (
          <span className="ml-auto text-xs whitespace-nowrap text-dim">
            {here === undefined
              ? `${formatTick(from, withDay)} – ${formatTick(to, withDay)}`
              : `${formatTick(here, withDay)} – ${formatTick(here + stepMs, false)}`}
          </span>
        )}
      </div>
      <div className="relative" style={{ minHeight: height }}>
        <Suspense fallback={null}>
          <RangePlot
            {...plot}
            height={height}
            label={`${title} from ${formatTick(from, withDay)} to ${formatTick(to, withDay)}: ${words.join(', ')}`}
            onPoint={setPointed}
            onSelect={select}
          />
        </Suspense>
        {nothing !== undefined && (
          <p className="pointer-events-none absolute inset-0 flex items-center justify-center pb-5 text-dim">
            {nothing}
          </p>
        )}
      </div>
    </section>
  )
}

const MARKS: Record<keyof Ends, string> = { completed: 'bg-done', failed: 'bg-bad', cancelled: 'bg-dim/60' }
const OUTCOMES = Object.keys(MARKS) as (keyof Ends)[]

interface Props extends Bars {
  /** The heading. */
  title: string
  compact?: boolean
  /** While nothing is known yet. */
  loading?: boolean
}

/** How tasks ended over a range: stacked bars by outcome. */
export function RangeChart({ title, compact = false, bars, stepMs, loading = false }: Props) {
  const all = useMemo(() => sumBars(bars), [bars])
  const at = useMemo(() => bars.map((bar) => bar.at), [bars])
  const series = useMemo(() => stacked(bars), [bars])
  return (
    <TimeChart
      title={title}
      compact={compact}
      at={at}
      stepMs={stepMs}
      series={series}
      scales={COUNTS}
      figures={(index) => {
        const shown = (index === undefined ? undefined : bars[index]) ?? all
        return OUTCOMES.filter((end) => end !== 'cancelled' || all.cancelled > 0).map((end) => ({
          label: end,
          mark: MARKS[end],
          value: loading ? '…' : formatCount(shown[end]),
        }))
      }}
      nothing={loading ? 'Counting…' : sumOf(all) === 0 ? 'Nothing ended in this time.' : undefined}
    />
  )
}

export const COUNTS = [{ write: formatCountShort, least: 1 }] as const

/** Sums from the bottom: completed, cancelled, failed. The highest is drawn first, so the lower ones cover it. */
const stacked = (bars: readonly Bar[]): RangePlotProps['series'] => [
  {
    kind: 'bars',
    colour: 'var(--color-bad)',
    values: bars.map(({ completed, cancelled, failed }) => completed + cancelled + failed),
  },
  {
    kind: 'bars',
    colour: 'color-mix(in srgb, var(--color-dim) 60%, var(--color-panel))',
    values: bars.map(({ completed, cancelled }) => completed + cancelled),
  },
  { kind: 'bars', colour: 'var(--color-done)', values: bars.map(({ completed }) => completed) },
]

const sumBars = (bars: readonly Bar[]): Ends =>
  endsOf(bars.flatMap((bar) => OUTCOMES.map((status) => ({ status, count: bar[status] }))))
