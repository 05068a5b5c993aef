import { loadChart } from './load-chart.ts'
import type { RangePlotProps } from './range-plot.tsx'
import type { RateChartProps } from './rate-chart.tsx'

export const loadRateChart = () => loadChart<RateChartProps>(() => import('./rate-chart.tsx'))
export const loadRangePlot = () => loadChart<RangePlotProps>(() => import('./range-plot.tsx'))
