import { type RefObject, useEffect, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { onTheme } from '../shell/theme.ts'
import { probe } from './probe.ts'

const LEAST_WIDTH = 200

interface Plot {
  height: number
  /** Called when it is built: at first, when the theme changes, and when `kind` does. */
  options: (look: Look) => Omit<uPlot.Options, 'width' | 'height'>
  data: uPlot.AlignedData
  /** Data that is changed in place has another version. */
  version?: unknown
  /** What the options depend on. */
  kind?: string
}

/** How a chart reads the page's style. */
export interface Look {
  /** A CSS colour for the canvas. */
  colour: (value: string) => string
  axis: uPlot.Axis
}

/** Draws a chart in an element, as wide as that. It is a canvas, so it reads the colours again when the theme changes. */
export function usePlot({ height, options, data, version = data, kind = '' }: Plot): RefObject<HTMLDivElement | null> {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const newest = useRef({ options, data, height })
  newest.current = { options, data, height }

  useEffect(() => {
    const element = box.current
    // Without a canvas the figures beside the chart stay.
    if (element === null || document.createElement('canvas').getContext('2d') === null) return
    const size = () => ({ width: Math.max(LEAST_WIDTH, element.clientWidth), height: newest.current.height })
    const build = () => {
      plot.current?.destroy()
      plot.current = new uPlot({ ...size(), ...newest.current.options(lookOf(element)) }, newest.current.data, element)
    }
    build()
    const resized = new ResizeObserver(() => plot.current?.setSize(size()))
    resized.observe(element)
    const unlisten = onTheme(build)
    return () => {
      resized.disconnect()
      unlisten()
      plot.current?.destroy()
      plot.current = null
    }
  }, [kind])

  // On purpose: data may be changed in place
  useEffect(() => plot.current?.setData(data), [version])
  return box
}

function lookOf(element: HTMLElement): Look {
  const colour = (value: string) => probe(element, value)
  return {
    colour,
    axis: {
      stroke: colour('var(--color-dim)'),
      grid: { stroke: colour('var(--color-line)'), width: 1 },
      ticks: { show: false },
      font: `11px ${getComputedStyle(element).fontFamily}`,
    },
  }
}
