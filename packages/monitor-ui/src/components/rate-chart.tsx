import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import type { Sample } from '@taskfleet/react/internal'
import { onTheme } from '../shell/theme.ts'
import { formatAmount } from '../view/format.ts'
import { probe } from './probe.ts'

const HEIGHT = 170

export interface RateChartProps {
  points: readonly Sample[]
  unit: string | undefined
}

/** The rate over time. It is drawn on a canvas, so it reads the colours again when the theme changes. */
export default function RateChart({ points, unit }: RateChartProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const newest = useRef(points)
  newest.current = points

  useEffect(() => {
    const element = box.current
    if (element === null) return
    const build = () => {
      plot.current?.destroy()
      const style = getComputedStyle(element)
      const colour = (name: string) => probe(element, `var(${name})`)
      const run = colour('--color-run')
      const axis = {
        stroke: colour('--color-dim'),
        grid: { stroke: colour('--color-line'), width: 1 },
        ticks: { show: false },
        font: `11px ${style.fontFamily}`,
      }
      plot.current = new uPlot(
        {
          width: Math.max(200, element.clientWidth),
          height: HEIGHT,
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
        },
        columns(newest.current),
        element,
      )
    }
    build()
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: Math.max(200, element.clientWidth), height: HEIGHT }),
    )
    resized.observe(element)
    const unlisten = onTheme(build)
    return () => {
      resized.disconnect()
      unlisten()
      plot.current?.destroy()
      plot.current = null
    }
  }, [unit])

  // On purpose: points are added in place; a changed last point means new data
  useEffect(() => plot.current?.setData(columns(points)), [points, points.length, points.at(-1)?.at])

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

function columns(points: readonly Sample[]): uPlot.AlignedData {
  return [points.map(({ at }) => at / 1_000), points.map(({ rate }) => rate)]
}
