import type { ComponentType } from 'react'
import type { FleetChartsProps } from './fleet-charts.tsx'
import type { RangePlotProps } from './range-plot.tsx'
import type { RateChartProps } from './rate-chart.tsx'

/**
 * Loads a chart when it is first needed. uPlot passes `navigator.language` to `Intl` when it loads, and some systems have a
 * language that `Intl` refuses (`en-US@posix`). Then the page continues in English. Without a chart the figures stay.
 */
async function loadChart<Props>(
  load: () => Promise<{ default: ComponentType<Props> }>,
): Promise<{ default: ComponentType<Props> }> {
  try {
    Intl.getCanonicalLocales(navigator.language)
  } catch {
    Object.defineProperty(navigator, 'language', { value: 'en', configurable: true })
  }
  try {
    return await load()
  } catch {
    return { default: () => null }
  }
}

export const loadRateChart = () => loadChart<RateChartProps>(() => import('./rate-chart.tsx'))
export const loadRangePlot = () => loadChart<RangePlotProps>(() => import('./range-plot.tsx'))
export const loadFleetCharts = () =>
  loadChart<FleetChartsProps>(async () => ({ default: (await import('./fleet-charts.tsx')).FleetCharts }))
