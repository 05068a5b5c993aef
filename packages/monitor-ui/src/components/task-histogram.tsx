import { hasEnded } from '@taskfleet/protocol'
import { useMemo } from 'react'
import { useHistory } from '../live/use-history.ts'
import type { TaskSearch } from '../view/task-search.ts'
import { EndedChart } from './ended-chart.tsx'

/** How tasks ended over the range, which a drag over it sets. It knows handlers, queues, hosts and outcomes, and no other filter. */
export function TaskHistogram({ search }: { search: TaskSearch }) {
  const { name, queue, host, status, q, deadline } = search
  const ended = useHistory({ ...(name !== undefined && { name }), ...(queue !== undefined && { queue }) })
  const { history } = ended
  const outcomes = status?.filter(hasEnded).join()
  const rows = useMemo(
    () =>
      history?.rows.filter(
        (row) => (host === undefined || row.host === host) && (!outcomes || outcomes.split(',').includes(row.status)),
      ),
    [history, host, outcomes],
  )
  const isWider = q !== undefined || deadline !== undefined
  return (
    <EndedChart
      title={isWider ? 'Ended, whatever the text' : 'Ended'}
      ended={ended}
      compact
      {...(rows !== undefined && { rows })}
    />
  )
}
