import type { StatsSlot } from '@taskfleet/protocol'
import { memo } from 'react'
import { formatCount } from '../view/counts.ts'
import { formatClock } from '../view/format.ts'

const STEP = 10
const GAP = 1.5
const HEIGHT = 64
/** Space above the highest bar. */
const TOP = 3
/** How tasks end, from the bottom of a bar to its top. */
const ENDS = [
  ['completed', 'var(--color-done)'],
  ['cancelled', 'color-mix(in srgb, var(--color-dim) 60%, transparent)'],
  ['failed', 'var(--color-bad)'],
] as const

/** Bars for the tasks that ended in each interval, and a stepped line for the enqueued ones. It fills its container. */
export const ActivityChart = memo(function ActivityChart({
  slots,
  label,
}: {
  slots: readonly StatsSlot[]
  label: string
}) {
  const most = Math.max(
    1,
    ...slots.map(({ completed, failed, cancelled, enqueued }) => Math.max(completed + failed + cancelled, enqueued)),
  )
  const high = (count: number) => (count === 0 ? 0 : Math.max(1.5, (count / most) * (HEIGHT - TOP)))
  const width = slots.length * STEP
  const any = slots.some((slot) => ENDS.some(([end]) => slot[end] > 0) || slot.enqueued > 0)
  const anyEnqueued = slots.some(({ enqueued }) => enqueued > 0)
  return (
    <div className="relative">
      {any && (
        <span
          className="absolute top-0 left-0 rounded-br bg-panel/80 pr-1 text-[11px] leading-3.5 text-dim"
          aria-hidden
        >
          {formatCount(most)}
        </span>
      )}
      <svg
        role="img"
        aria-label={label}
        viewBox={`0 0 ${width} ${HEIGHT}`}
        preserveAspectRatio="none"
        className="block h-[76px] w-full"
      >
        <line
          x1="0"
          x2={width}
          y1="0.5"
          y2="0.5"
          stroke="var(--color-line)"
          strokeDasharray="3 4"
          vectorEffect="non-scaling-stroke"
        />
        {slots.map((slot, index) => {
          let top = HEIGHT
          return (
            // The last interval is not over yet.
            <g key={slot.at} opacity={index === slots.length - 1 ? 0.6 : 0.9}>
              {ENDS.map(([end, fill]) => {
                const height = high(slot[end])
                top -= height
                return (
                  height > 0 && (
                    <rect key={end} x={index * STEP + GAP / 2} y={top} width={STEP - GAP} height={height} fill={fill} />
                  )
                )
              })}
            </g>
          )
        })}
        {anyEnqueued && (
          <path
            d={steps(slots.map(({ enqueued }) => HEIGHT - 0.75 - high(enqueued)))}
            fill="none"
            stroke="var(--color-run)"
            strokeWidth="1.5"
            strokeLinejoin="round"
            vectorEffect="non-scaling-stroke"
          />
        )}
        <line
          x1="0"
          x2={width}
          y1={HEIGHT - 0.5}
          y2={HEIGHT - 0.5}
          stroke="var(--color-edge)"
          vectorEffect="non-scaling-stroke"
        />
        {slots.map((slot, index) => (
          <rect key={slot.at} x={index * STEP} y="0" width={STEP} height={HEIGHT} fill="transparent">
            <title>{slotText(slot)}</title>
          </rect>
        ))}
      </svg>
    </div>
  )
})

function steps(heights: readonly number[]): string {
  return heights
    .map((y, index) => {
      const [from, to] = [index * STEP, (index + 1) * STEP]
      return `${index === 0 ? 'M' : 'L'}${from} ${y.toFixed(2)}L${to} ${y.toFixed(2)}`
    })
    .join('')
}

function slotText({ at, completed, failed, cancelled, enqueued }: StatsSlot): string {
  const others = cancelled > 0 ? `, ${formatCount(cancelled)} cancelled` : ''
  return `From ${formatClock(at)}, 10 s: ${formatCount(completed)} completed, ${formatCount(failed)} failed${others}, ${formatCount(enqueued)} enqueued`
}
