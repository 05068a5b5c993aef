import { useRef } from 'react'
import uPlot from 'uplot'
import { formatTick } from '../view/format.ts'
import { zoneName } from '../view/zone.ts'
import { type Look, usePlot } from './use-plot.ts'

const DAY_S = 86_400
/** Charts with this key show one cursor. */
const SYNC = { key: 'range', scales: ['x', null] as [string, null] }
const STEPS = [1, 2, 5]
  .flatMap((one) => Array.from({ length: 9 }, (_, power) => one * 10 ** power))
  .sort((a, b) => a - b)

/** One line, or the bars of one kind. Values that are not known leave a gap. */
interface PlotSeries {
  values: readonly (number | undefined)[]
  /** A CSS colour. */
  colour: string
  kind: 'bars' | 'line'
  /** The second scale, at the right side. */
  right?: boolean
}

/** How values are written, and the least that a scale reaches to. */
interface PlotScale {
  write: (value: number) => string
  least: number
}

/** The intervals of a chart without a gap, the oldest first. */
export interface Intervals {
  /** Where each begins, in milliseconds. */
  at: readonly number[]
  stepMs: number
}

export interface RangePlotProps extends Intervals {
  /** The first one is drawn first, so later ones cover it. Their number and kinds stay the same. */
  series: readonly PlotSeries[]
  height: number
  /** The values at the left and at the right side. */
  scales: readonly [left: PlotScale, right?: PlotScale]
  label: string
  /** The index of the interval under the cursor, of this chart or of another one. */
  onPoint: (index: number | undefined) => void
  /** Called with the dragged part, in milliseconds. */
  onSelect: (from: number, to: number) => void
}

/** A chart over a time range. */
export default function RangePlot(props: RangePlotProps) {
  const newest = useRef(props)
  newest.current = props
  const { at, series, height, label } = props
  const box = usePlot({
    height,
    options: (look) => optionsOf(look, newest),
    data: [
      at.map((ms) => ms / 1_000),
      ...series.map(({ values }) => values.map((value) => value ?? null)),
    ] as uPlot.AlignedData,
    version: series,
  })
  return <div ref={box} role="img" aria-label={label} className="min-w-0 overflow-hidden" style={{ height }} />
}

function optionsOf(
  { colour, axis }: Look,
  newest: { readonly current: RangePlotProps },
): Omit<uPlot.Options, 'width' | 'height'> {
  const { series, scales } = newest.current
  const scale = (right: boolean): uPlot.Scale => ({
    range: (_, __, most) => [0, Math.max(scales[right ? 1 : 0]?.least ?? 1, (most ?? 0) * 1.1)],
  })
  const side = (right: boolean): uPlot.Axis => ({
    ...axis,
    size: 48,
    space: 28,
    ...(right ? { side: 1, scale: 'right', grid: { show: false } } : { incrs: STEPS }),
    values: (_, values) => values.map(scales[right ? 1 : 0]?.write ?? String),
  })
  const hasRight = series.some(({ right }) => right)
  return {
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1_000), zoneName()),
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false, dist: 4 },
      // A selection is made in one chart only.
      sync: { ...SYNC, filters: { pub: (type) => type === 'mousemove' || type === 'mouseleave', sub: () => true } },
      // The interval under the cursor is the last one that has begun there.
      dataIdx: (plotted, _, __, x) => indexAt(newest.current, x, plotted.data[0]?.length ?? 0),
    },
    padding: [8, hasRight ? 0 : 18, 0, 0],
    scales: { x: { range: () => spanOf(newest.current) }, y: scale(false), ...(hasRight && { right: scale(true) }) },
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
      side(false),
      ...(hasRight ? [side(true)] : []),
    ],
    series: [{}, ...series.map((one) => drawn(one, colour(one.colour)))],
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

function drawn({ kind, right }: PlotSeries, colour: string): uPlot.Series {
  const scale = right ? 'right' : 'y'
  if (kind === 'bars') {
    const paths = uPlot.paths.bars?.({ size: [0.86, 400], align: 1 })
    return { scale, fill: colour, width: 0, points: { show: false }, ...(paths && { paths }) }
  }
  const paths = uPlot.paths.stepped?.({ align: 1 })
  return { scale, stroke: colour, width: 1.6, points: { size: 3, fill: colour }, ...(paths && { paths }) }
}

/** From the start of the first interval to the end of the last one, in seconds. */
function spanOf({ at, stepMs }: Intervals): [number, number] {
  return [(at[0] ?? 0) / 1_000, ((at.at(-1) ?? 0) + stepMs) / 1_000]
}

function indexAt({ at, stepMs }: Intervals, seconds: number, most: number): number {
  const index = Math.floor((seconds * 1_000 - (at[0] ?? 0)) / stepMs)
  return Math.min(Math.max(0, index), most - 1)
}
