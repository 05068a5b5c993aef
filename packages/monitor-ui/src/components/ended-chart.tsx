import type { HistoryRow } from '@taskfleet/protocol'
import { useMemo } from 'react'
import type { HistoryView } from '../live/use-history.ts'
import { useRange } from '../shell/use-range.ts'
import { barsOf } from '../view/history.ts'
import { RangeChart } from './range-chart.tsx'

interface Props {
  title: string
  ended: HistoryView
  /** Those of its rows that are shown; all by default. */
  rows?: readonly HistoryRow[]
  /** Lower, above a list. */
  compact?: boolean
}

/** What ended in the chosen range. Nothing while the history is refused. */
export function EndedChart({ title, ended: { history, error }, rows, compact = false }: Props) {
  const range = useRange()
  const bars = useMemo(
    () => (history === undefined ? undefined : barsOf(rows ?? history.rows, history, history.unit)),
    [history, rows],
  )
  if (bars === undefined && error !== undefined) return null
  const shown = bars ?? barsOf([], range, 'minute')
  return <RangeChart title={title} compact={compact} {...shown} loading={bars === undefined} />
}
