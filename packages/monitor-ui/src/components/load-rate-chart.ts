import type { ComponentType } from 'react'
import type { RateChartProps } from './rate-chart.tsx'

/**
 * Loads the chart when it is first needed. uPlot passes `navigator.language` to `Intl` when it loads, and some systems have a
 * language that `Intl` refuses (`en-US@posix`). Then the page continues in English. Without a chart the figures stay.
 */
export async function loadRateChart(): Promise<{ default: ComponentType<RateChartProps> }> {
  try {
    Intl.getCanonicalLocales(navigator.language)
  } catch {
    Object.defineProperty(navigator, 'language', { value: 'en', configurable: true })
  }
  try {
    return await import('./rate-chart.tsx')
  } catch {
    return { default: () => null }
  }
}
