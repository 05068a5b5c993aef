import type { Sample } from '@taskfleet/react/internal'
import { memo } from 'react'

const WIDTH = 64
const HEIGHT = 16
/** How much of the past it shows. */
const SPAN_MS = 60_000

/**
 * The points of a line through rates, newest at the right edge.
 * @param now the server's time in milliseconds
 */
export function sparkPath(points: readonly Sample[], now: number): string {
  const shown = points.filter(({ at }) => now - at <= SPAN_MS)
  if (shown.length < 2) return ''
  const top = Math.max(...shown.map(({ rate }) => rate)) || 1
  // A new task fills the width too: at least half a minute is spread over it.
  const span = Math.max(15_000, now - (shown[0]?.at ?? now))
  return shown
    .map(({ at, rate }, index) => {
      const x = WIDTH - ((now - at) / span) * WIDTH
      const y = HEIGHT - 1.5 - (rate / top) * (HEIGHT - 3)
      return `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`
    })
    .join('')
}

/** The rate in the last minute. Decoration: the rate itself is beside it. */
export const Sparkline = memo(function Sparkline({ points, now }: { points: readonly Sample[]; now: number }) {
  const line = sparkPath(points, now)
  return (
    <svg
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      aria-hidden="true"
      className="shrink-0 text-run"
    >
      {line !== '' && (
        <path
          d={line}
          fill="none"
          stroke="currentColor"
          strokeWidth="1.3"
          strokeLinejoin="round"
          strokeLinecap="round"
        />
      )}
    </svg>
  )
})
