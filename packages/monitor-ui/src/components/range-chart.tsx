import { lazy, Suspense, useMemo, useState } from 'react'
import { useRange } from '../shell/use-range.ts'
import { formatCount } from '../view/counts.ts'
import { formatTick } from '../view/format.ts'
import { type Bar, type Bars, type Ends, endsOf, sumOf } from '../view/history.ts'
import { writeRange } from '../view/range.ts'
import { loadRangePlot } from './load-rate-chart.ts'

const RangePlot = lazy(loadRangePlot)
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

const MARKS: Record<keyof Ends, string> = { completed: 'bg-done', failed: 'bg-bad', cancelled: 'bg-dim/60' }

interface Props extends Bars {
  /** The heading. */
  title: string
  /** While nothing is known yet. */
  loading?: boolean
  /** In pixels. */
  height?: number
}

/**
 * How tasks ended over a range: stacked bars by outcome, with the counts under the cursor, or of the whole range. All charts of a
 * page share one cursor. Dragging over a part of it shows that part on every page.
 */
export function RangeChart({ title, bars, stepMs, loading = false, height = 150 }: Props) {
  const { change } = useRange()
  const [pointed, setPointed] = useState<number>()
  const all = useMemo(() => sumBars(bars), [bars])
  const bar = pointed === undefined ? undefined : bars[pointed]
  const shown = bar ?? all
  const from = bars[0]?.at ?? 0
  const to = (bars.at(-1)?.at ?? 0) + stepMs
  const withDay = to - from > DAY_MS
  const select = (first: number, last: number) => {
    const start = Math.floor(first / MINUTE_MS) * MINUTE_MS
    change(writeRange(start, Math.max(start + MINUTE_MS, Math.ceil(last / MINUTE_MS) * MINUTE_MS)))
  }
  const outcomes = (Object.keys(MARKS) as (keyof Ends)[]).filter((end) => end !== 'cancelled' || all.cancelled > 0)
  const words = outcomes.map((end) => `${formatCount(all[end])} ${end}`).join(', ')
  return (
    <section className="panel dims min-w-0 px-3 pt-2.5 pb-1.5" aria-label={title} data-testid="range-chart">
      <div className="mb-1 flex flex-wrap items-baseline gap-x-4 gap-y-0.5">
        <h2 className="heading">{title}</h2>
        <ul className="flex flex-wrap gap-x-3.5 text-xs" aria-label={bar === undefined ? 'In all' : 'At the cursor'}>
          {outcomes.map((end) => (
            <li key={end} className="flex items-center gap-1.5 whitespace-nowrap">
              <span className={`h-2.5 w-2 rounded-[1px] ${MARKS[end]}`} aria-hidden />
              <span>
                <span className="font-medium">{loading ? '…' : formatCount(shown[end])}</span>{' '}
                <span className="text-dim">{end}</span>
              </span>
            </li>
          ))}
        </ul>
        <span className="ml-auto text-xs whitespace-nowrap text-dim">
          {bar === undefined
            ? `${formatTick(from, withDay)} – ${formatTick(to, withDay)}`
            : `${formatTick(bar.at, withDay)} – ${formatTick(bar.at + stepMs, false)}`}
        </span>
      </div>
      <div className="relative" style={{ minHeight: height }}>
        <Suspense fallback={null}>
          <RangePlot
            bars={bars}
            stepMs={stepMs}
            height={height}
            label={`${title} from ${formatTick(from, withDay)} to ${formatTick(to, withDay)}: ${words}`}
            onPoint={setPointed}
            onSelect={select}
          />
        </Suspense>
        {(loading || sumOf(all) === 0) && (
          <p className="pointer-events-none absolute inset-0 flex items-center justify-center pb-5 text-dim">
            {loading ? 'Counting…' : 'Nothing ended in this time.'}
          </p>
        )}
      </div>
    </section>
  )
}

const sumBars = (bars: readonly Bar[]): Ends =>
  endsOf(
    bars.flatMap((bar) => (Object.keys(MARKS) as (keyof Ends)[]).map((status) => ({ status, count: bar[status] }))),
  )
