import { Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { ChevronDown, RotateCcw } from 'lucide-react'
import { formatAge } from '../view/format.ts'
import { hostOf } from '../view/task-columns.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { ErrorText } from './error-text.tsx'
import { Foreign } from './foreign.tsx'
import { HostLink } from './host-link.tsx'
import { IconButton } from './icon-button.tsx'
import { OriginLink } from './origin-link.tsx'
import { Segments } from './segments.tsx'
import { SlotRow } from './slot-row.tsx'
import { StatusBadge } from './status-badge.tsx'

interface RunningProps {
  task: TaskRow
  worker: WorkerRow | undefined
  /** Whether its segments are shown. */
  open: boolean
  onToggle: (id: string) => void
}

/** A running download as on the board, with its host and origin; open, also with its segments. */
export function RunningDownload({ task, worker, open, onToggle }: RunningProps) {
  const host = hostOf(task, worker)
  return (
    <li data-testid="running-download" data-task={task._id} data-open={open || undefined}>
      <SlotRow task={task} worker={worker} />
      <div className="-mt-1 flex items-center gap-x-3 px-2 text-[11.5px] text-dim">
        {host !== undefined && (
          <span className="flex min-w-0 gap-1 whitespace-nowrap">
            on <HostLink name={host} className="min-w-0 truncate" />
          </span>
        )}
        <From task={task} />
        <button
          type="button"
          aria-expanded={open}
          aria-label={`Segments of ${visibleLine(taskTitle(task), 60)}`}
          className="ml-auto inline-flex min-h-7 shrink-0 items-center gap-1 rounded px-1 font-medium hover:text-text"
          onClick={() => onToggle(task._id)}
        >
          Segments
          <ChevronDown size={13} aria-hidden className={open ? 'rotate-180' : ''} />
        </button>
      </div>
      {open && (
        <div className="p-2 pt-1">
          <Segments task={task} />
        </div>
      )}
    </li>
  )
}

function From({ task: { labels } }: { task: TaskRow }) {
  const origin = labels?.origin
  if (origin === undefined) return null
  return (
    <span className="flex min-w-0 gap-1 whitespace-nowrap">
      from
      <OriginLink origin={origin} className="min-w-0 truncate" />
    </span>
  )
}

interface FailedProps {
  task: TaskRow
  now: number
  /** It has left the list and only keeps its place under the mouse. */
  gone: boolean
  /** Undefined if the key may not change tasks. */
  onRetry: ((task: TaskRow) => void) | undefined
}

/** A download that failed: why, when, and a button that tries it again. */
export function FailedDownload({ task, now, gone, onRetry }: FailedProps) {
  const title = visibleLine(taskTitle(task), 60)
  return (
    <li
      data-testid="failed-download"
      data-task={task._id}
      className={`dims flex items-start gap-2 rounded-md px-2 py-1 hover:bg-raised/60 ${gone ? 'opacity-40' : ''}`}
    >
      <span>
        <StatusBadge task={task} iconOnly />
      </span>
      <div className="min-w-0 flex-1">
        <div className="flex items-baseline gap-2">
          <Link
            to="/tasks/$id"
            params={{ id: task._id }}
            data-nav
            className="min-w-0 flex-1 truncate font-medium hover:underline"
          >
            <Foreign text={taskTitle(task)} max={100} />
          </Link>
          {task.finishedAt !== undefined && (
            <span className="shrink-0 text-[11.5px] text-dim">{formatAge(now - Date.parse(task.finishedAt))} ago</span>
          )}
        </div>
        {task.error !== undefined && (
          <p className="line-clamp-2 text-[11.5px] text-dim">
            <ErrorText error={task.error} max={200} />
          </p>
        )}
      </div>
      {onRetry !== undefined && !gone && (
        <IconButton
          icon={RotateCcw}
          label={`Retry ${title}`}
          title="Retry"
          className="-my-1"
          onClick={() => onRetry(task)}
        />
      )}
    </li>
  )
}
