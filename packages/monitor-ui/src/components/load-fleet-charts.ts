import type { FleetChartsProps } from './fleet-charts.tsx'
import { loadChart } from './load-chart.ts'

export const loadFleetCharts = () =>
  loadChart<FleetChartsProps>(async () => ({ default: (await import('./fleet-charts.tsx')).FleetCharts }))
