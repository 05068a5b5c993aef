import { Link } from '@tanstack/react-router'
import { afterIds, type TaskRow } from '@taskfleet/protocol'
import { useLiveQuery, useServerTime } from '@taskfleet/react'
import { DEPENDANTS_SHOWN, dependantsOf, statusesOf } from '../live/queries.ts'
import { taskTitle } from '../view/task-title.ts'
import { Foreign } from './foreign.tsx'
import { StatusBadge } from './status-badge.tsx'
import { TaskLink } from './task-link.tsx'
import { Time } from './time.tsx'

const IF_FAILED = {
  fail: 'If one fails, this task fails.',
  cancel: 'If one fails, this task is cancelled.',
  run: 'It runs when all have ended, even if they failed.',
  wait: 'If one fails, this task waits for its retry.',
}

/** The tasks that a task waits for, and what happens when one of them fails. */
export function Predecessors({ task }: { task: TaskRow }) {
  const ids = afterIds(task)
  const { rows, loaded } = useLiveQuery(statusesOf(ids))
  return (
    <div data-testid="predecessors">
      <TaskList ids={ids} rows={rows} loaded={loaded} />
      {task.status === 'blocked' && <p className="text-xs text-dim">{IF_FAILED[task.ifFailed ?? 'fail']}</p>}
    </div>
  )
}

/** The tasks that wait for a task, or have waited for it. */
export function useDependants(id: string): readonly TaskRow[] {
  return useLiveQuery(dependantsOf(id)).rows
}

export function Dependants({ rows }: { rows: readonly TaskRow[] }) {
  return (
    <div data-testid="dependants">
      <TaskList ids={rows.map(({ _id }) => _id)} rows={rows} loaded />
      {rows.length === DEPENDANTS_SHOWN && (
        <p className="text-xs text-dim">Only the first {DEPENDANTS_SHOWN} are shown.</p>
      )}
    </div>
  )
}

interface TaskListProps {
  ids: readonly string[]
  /** Those of the tasks that still exist. */
  rows: readonly TaskRow[]
  loaded: boolean
}

function TaskList({ ids, rows, loaded }: TaskListProps) {
  const now = useServerTime()
  const byId = new Map(rows.map((row) => [row._id, row]))
  return (
    <ul className="flex flex-col gap-1">
      {ids.map((id) => {
        const row = byId.get(id)
        if (row === undefined) {
          return (
            <li key={id} className="flex flex-wrap items-baseline gap-x-2">
              <TaskLink id={id} />
              {loaded && <span className="text-dim">removed</span>}
            </li>
          )
        }
        const { status, finishedAt, startedAt, runAt } = row
        const at = finishedAt ?? (status === 'running' ? startedAt : runAt)
        return (
          <li key={id} className="grid grid-cols-[96px_minmax(0,1fr)_auto] items-baseline gap-x-2" data-status={status}>
            <StatusBadge task={row} />
            <Link to="/tasks/$id" params={{ id }} className="truncate text-run hover:underline">
              <Foreign text={row.name === undefined ? id : taskTitle(row)} max={120} />
            </Link>
            {at !== undefined && <Time at={at} now={now} className="text-xs whitespace-nowrap text-dim" />}
          </li>
        )
      })}
    </ul>
  )
}
