import type { ErrorRow } from '@taskfleet/protocol'

const HOURS = 48
const HOUR_MS = 3_600_000
const STEP = 3
const HEIGHT = 24

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

/** An error's failures by hour over the last two days. */
export function TrendBars({ trend, now }: { trend: ErrorRow['trend']; now: number }) {
  const counts = hourly(trend, now)
  const most = Math.max(1, ...counts)
  const lastDay = counts.slice(-24).reduce((sum, count) => sum + count, 0)
  const words = `${lastDay.toLocaleString('en')} in the last 24 h, ${counts.at(-1) ?? 0} in this hour`
  return (
    <svg
      role="img"
      aria-label={`Trend: ${words}`}
      viewBox={`0 0 ${HOURS * STEP} ${HEIGHT}`}
      width={HOURS * STEP}
      height={HEIGHT}
      className="shrink-0 text-bad"
    >
      <title>{words}</title>
      <line x1="0" x2={HOURS * STEP} y1={HEIGHT - 0.5} y2={HEIGHT - 0.5} stroke="var(--color-line)" />
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
    </svg>
  )
}
