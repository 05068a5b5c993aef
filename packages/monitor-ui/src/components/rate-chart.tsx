import type { Sample } from '@taskfleet/react/internal'
import type uPlot from 'uplot'
import { formatAmount } from '../view/format.ts'
import { type Look, usePlot } from './use-plot.ts'

const HEIGHT = 170

export interface RateChartProps {
  points: readonly Sample[]
  unit: string | undefined
}

/** The rate over time. */
export default function RateChart({ points, unit }: RateChartProps) {
  const box = usePlot({
    height: HEIGHT,
    options: (look) => optionsOf(look, unit),
    data: [points.map(({ at }) => at / 1_000), points.map(({ rate }) => rate)],
    // Points are added in place.
    version: `${points.length} ${points.at(-1)?.at}`,
    kind: unit ?? '',
  })
  return (
    <div
      ref={box}
      role="img"
      aria-label="Rate over time"
      className="min-w-0 overflow-hidden"
      style={{ height: HEIGHT }}
    />
  )
}

function optionsOf({ colour, axis }: Look, unit: string | undefined): Omit<uPlot.Options, 'width' | 'height'> {
  const run = colour('var(--color-run)')
  return {
    legend: { show: false },
    cursor: { y: false, points: { size: 7 } },
    padding: [8, 8, 0, 0],
    scales: { y: { range: (_, __, most) => [0, Math.max(1, most * 1.15)] } },
    axes: [
      {
        ...axis,
        space: 90,
        size: 26,
        values: (_, seconds) => seconds.map((at) => new Date(at * 1_000).toLocaleTimeString('en-GB')),
      },
      {
        ...axis,
        size: 76,
        values: (_, rates) => rates.map((rate) => (rate === 0 ? '0' : `${formatAmount(rate, unit)}/s`)),
      },
    ],
    series: [
      {},
      { stroke: run, width: 1.6, fill: `color-mix(in srgb, ${run} 14%, transparent)`, points: { show: false } },
    ],
  }
}
