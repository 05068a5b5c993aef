import { Link } from '@tanstack/react-router'
import type { TaskRow } from '@taskfleet/protocol'
import { waitText } from '@taskfleet/react/internal'
import type { ReactNode } from 'react'
import { formatAge } from '../view/format.ts'
import { priorityName } from '../view/priority.ts'
import { taskTitle } from '../view/task-title.ts'
import { DeadlineLabel } from './deadline-label.tsx'
import { Foreign } from './foreign.tsx'
import { StatusBadge } from './status-badge.tsx'

export { waitText } from '@taskfleet/react/internal'

const rowLink =
  'min-w-0 flex-1 truncate after:absolute after:inset-0 after:rounded-md focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:outline-run'

interface RowProps {
  task: TaskRow
  now: number
  /** It has left the list and only keeps its place under the mouse. */
  gone: boolean
}

type PanelRowProps = Omit<RowProps, 'now'> & { id: string; mark: ReactNode; children: ReactNode }

function PanelRow({ id, task, gone, mark, children }: PanelRowProps) {
  return (
    <li
      data-testid={id}
      data-task={task._id}
      data-status={task.status}
      className={`dims relative flex items-center gap-2 rounded-md px-2 py-1 hover:bg-raised/60 ${gone ? 'opacity-40' : ''}`}
    >
      {mark}
      <Link to="/tasks/$id" params={{ id: task._id }} data-nav className={rowLink}>
        <Foreign text={taskTitle(task)} max={100} />
      </Link>
      {children}
    </li>
  )
}

export function WaitingRow({ task, now, gone }: RowProps) {
  const wait = waitText(task, now)
  return (
    <PanelRow id="waiting-row" task={task} gone={gone} mark={<PriorityMark priority={task.priority} />}>
      <span className="text-[11.5px]">
        <DeadlineLabel task={task} now={now} />
      </span>
      <span className="shrink-0 text-[11.5px] text-dim">
        {wait === '' ? `waits ${formatAge(now - Date.parse(task.runAt))}` : wait}
      </span>
    </PanelRow>
  )
}

export function EndedRow({ task, now, gone }: RowProps) {
  return (
    <PanelRow id="ended-row" task={task} gone={gone} mark={<StatusBadge task={task} iconOnly />}>
      {task.status === 'failed' && task.error !== undefined && (
        <span className="max-w-[40%] shrink truncate font-mono text-[11px] text-bad">
          <Foreign text={task.error.code} max={40} />
        </span>
      )}
      <span className="shrink-0 text-[11.5px] text-dim">
        {task.finishedAt === undefined ? '' : `${formatAge(now - Date.parse(task.finishedAt))} ago`}
      </span>
    </PanelRow>
  )
}

/** A priority as its number; the higher, the stronger. */
export function PriorityMark({ priority }: { priority: number }) {
  const tone = priority >= 8 ? 'text-warn font-semibold' : priority >= 4 ? 'text-text' : 'text-dim'
  return (
    <span
      className={`inline-block w-4 shrink-0 text-right text-xs whitespace-nowrap ${tone}`}
      title={`Priority ${priority} (${priorityName(priority)})`}
    >
      <span className="sr-only">Priority </span>
      {priority}
    </span>
  )
}
