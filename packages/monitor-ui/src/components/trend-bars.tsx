import type { ErrorRow } from '@taskfleet/protocol'

const HOURS = 48
const HOUR_MS = 3_600_000
const STEP = 3
const HEIGHT = 24
const LARGE_HEIGHT = 96

/** Failures in each of the latest 48 hours, the current one last. */
export function hourly(trend: ErrorRow['trend'], now: number): number[] {
  const current = Math.floor(now / HOUR_MS)
  const counts = new Array<number>(HOURS).fill(0)
  for (const { hour, count } of trend) {
    const place = HOURS - 1 - (current - Math.floor(Date.parse(hour) / HOUR_MS))
    if (place >= 0 && place < HOURS) counts[place] = (counts[place] ?? 0) + count
  }
  return counts
}

interface Props {
  trend: ErrorRow['trend']
  now: number
  /** As wide as its place, with the times below. */
  large?: boolean
  /** Moments to mark, in milliseconds. */
  marks?: readonly { at: number; label: string }[]
}

/** The place of a moment from left to right, 0 to the width; undefined outside of the chart. */
function placeOf(at: number, now: number): number | undefined {
  const start = (Math.floor(now / HOUR_MS) - HOURS + 1) * HOUR_MS
  const x = ((at - start) / HOUR_MS) * STEP
  return x >= 0 && x <= HOURS * STEP ? x : undefined
}

/** An error's failures by hour over the last two days. */
export function TrendBars({ trend, now, large = false, marks = [] }: Props) {
  const counts = hourly(trend, now)
  const most = Math.max(1, ...counts)
  const lastDay = counts.slice(-24).reduce((sum, count) => sum + count, 0)
  const words = `${lastDay.toLocaleString('en')} in the last 24 h, ${counts.at(-1) ?? 0} in this hour`
  const chart = (
    <svg
      role="img"
      aria-label={`Trend: ${words}`}
      viewBox={`0 0 ${HOURS * STEP} ${HEIGHT}`}
      preserveAspectRatio="none"
      width={large ? '100%' : HOURS * STEP}
      height={large ? LARGE_HEIGHT : HEIGHT}
      className="shrink-0 text-bad"
    >
      <title>{words}</title>
      <line
        x1="0"
        x2={HOURS * STEP}
        y1={HEIGHT - 0.5}
        y2={HEIGHT - 0.5}
        stroke="var(--color-line)"
        vectorEffect="non-scaling-stroke"
      />
      {counts.map((count, index) => {
        if (count === 0) return null
        const height = Math.max(2, (count / most) * (HEIGHT - 2))
        return (
          <rect
            key={index}
            x={index * STEP}
            y={HEIGHT - height}
            width={STEP - 1}
            height={height}
            fill="currentColor"
            opacity={index === HOURS - 1 ? 1 : 0.7}
          />
        )
      })}
      {marks.map(({ at, label }) => {
        const x = placeOf(at, now)
        if (x === undefined) return null
        return (
          <line
            key={label}
            data-testid="deploy"
            x1={x}
            x2={x}
            y1="0"
            y2={HEIGHT}
            className="text-run"
            stroke="currentColor"
            strokeWidth="1.5"
            strokeDasharray="3 2"
            vectorEffect="non-scaling-stroke"
          >
            <title>{label}</title>
          </line>
        )
      })}
    </svg>
  )
  if (!large) return chart
  return (
    <figure className="min-w-0">
      {chart}
      <figcaption className="mt-1 flex justify-between gap-2 text-xs text-dim">
        <span>48 h ago</span>
        <span>at most {most.toLocaleString('en')} an hour</span>
        <span>now</span>
      </figcaption>
    </figure>
  )
}
