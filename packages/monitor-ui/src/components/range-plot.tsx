import { useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { onTheme } from '../shell/theme.ts'
import { formatCountShort } from '../view/counts.ts'
import { formatTick } from '../view/format.ts'
import type { Bar, Bars } from '../view/history.ts'
import { zoneName } from '../view/zone.ts'
import { probe } from './probe.ts'

const HEIGHT = 150
const LEAST_WIDTH = 200
const DAY_S = 86_400
/** Charts with this key show one cursor. */
const SYNC = { key: 'range', scales: ['x', null] as [string, null] }

export interface RangePlotProps extends Bars {
  label: string
  /** In pixels. */
  height?: number
  /** The index of the bar under the cursor, of this chart or of another one. */
  onPoint: (index: number | undefined) => void
  /** Called with the dragged part, in milliseconds. */
  onSelect: (from: number, to: number) => void
}

/** Stacked bars on a canvas, so it reads the colours again when the theme changes. */
export default function RangePlot({ bars, stepMs, label, height = HEIGHT, onPoint, onSelect }: RangePlotProps) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const newest = useRef({ bars, stepMs, height, onPoint, onSelect })
  newest.current = { bars, stepMs, height, onPoint, onSelect }

  useEffect(() => {
    const element = box.current
    // Without a canvas the figures beside the chart stay.
    if (element === null || document.createElement('canvas').getContext('2d') === null) return
    const build = () => {
      plot.current?.destroy()
      plot.current = new uPlot(optionsOf(element, newest), columnsOf(newest.current.bars), element)
    }
    build()
    const resized = new ResizeObserver(() => plot.current?.setSize(sizeOf(element, newest.current.height)))
    resized.observe(element)
    const unlisten = onTheme(build)
    return () => {
      resized.disconnect()
      unlisten()
      plot.current?.destroy()
      plot.current = null
    }
  }, [])

  useEffect(() => plot.current?.setData(columnsOf(bars)), [bars])

  return <div ref={box} role="img" aria-label={label} className="min-w-0 overflow-hidden" style={{ height }} />
}

const sizeOf = ({ clientWidth }: HTMLElement, height = HEIGHT) => ({
  width: Math.max(LEAST_WIDTH, clientWidth),
  height,
})

function optionsOf(element: HTMLElement, newest: { readonly current: Omit<RangePlotProps, 'label'> }): uPlot.Options {
  const colour = (value: string) => probe(element, value)
  const axis = {
    stroke: colour('var(--color-dim)'),
    grid: { stroke: colour('var(--color-line)'), width: 1 },
    ticks: { show: false },
    font: `11px ${getComputedStyle(element).fontFamily}`,
  }
  const stacked = (fill: string): uPlot.Series => ({
    fill: colour(fill),
    width: 0,
    points: { show: false },
    ...(uPlot.paths.bars && { paths: uPlot.paths.bars({ size: [0.86, 400], align: 1 }) }),
  })
  return {
    ...sizeOf(element, newest.current.height),
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), zoneName()),
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 4 },
      // A selection is made in one chart only.
      sync: { ...SYNC, filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave', sub: () => true } },
      // The bar under the cursor is the last one that has begun there.
      dataIdx: (plotted, _, __, x) => indexAt(newest.current, x, plotted.data[0]?.length ?? 0),
    },
    padding: [8, 18, 0, 0],
    scales: {
      x: { range: () => spanOf(newest.current) },
      y: { range: (_, __, most) => [0, Math.max(1, (most ?? 0) * 1.1)] },
    },
    axes: [
      {
        ...axis,
        space: 80,
        size: 24,
        values: (_, seconds) => {
          const [first = 0, last = 0] = [seconds[0], seconds.at(-1)]
          return seconds.map((at) => formatTick(at * 1_000, last - first >= DAY_S))
        },
      },
      {
        ...axis,
        size: 44,
        space: 28,
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8],
        values: (_, counts) => counts.map(formatCountShort),
      },
    ],
    series: [
      {},
      stacked('var(--color-bad)'),
      stacked('color-mix(in srgb, var(--color-dim) 60%, var(--color-panel))'),
      stacked('var(--color-done)'),
    ],
    hooks: {
      setCursor: [
        ({ cursor }) => newest.current.onPoint((cursor.left ?? -1) < 0 ? undefined : (cursor.idx ?? undefined)),
      ],
      setSelect: [
        (plotted) => {
          const { left, width } = plotted.select
          if (width === 0) return
          const at = (place: number) => plotted.posToVal(place, 'x') * 1_000
          newest.current.onSelect(at(left), at(left + width))
          plotted.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
        },
      ],
    },
  }
}

/** From the first bar's start to the last one's end, in seconds. */
function spanOf({ bars, stepMs }: Bars): [number, number] {
  return [(bars[0]?.at ?? 0) / 1_000, ((bars.at(-1)?.at ?? 0) + stepMs) / 1_000]
}

function indexAt({ bars, stepMs }: Bars, seconds: number, most: number): number {
  const index = Math.floor((seconds * 1_000 - (bars[0]?.at ?? 0)) / stepMs)
  return Math.min(Math.max(0, index), most - 1)
}

/** Sums from the bottom: completed, cancelled, failed. The highest is drawn first, so the lower ones cover it. */
function columnsOf(bars: readonly Bar[]): uPlot.AlignedData {
  return [
    bars.map(({ at }) => at / 1_000),
    bars.map(({ completed, cancelled, failed }) => completed + cancelled + failed),
    bars.map(({ completed, cancelled }) => completed + cancelled),
    bars.map(({ completed }) => completed),
  ]
}
