import { Link } from '@tanstack/react-router'
import { hasEnded, type TaskRow, taskLabels, type WorkerRow } from '@taskfleet/protocol'
import { useLiveTask } from '@taskfleet/react/internal'
import { X } from 'lucide-react'
import { memo } from 'react'
import { isPossible } from '../view/commands.ts'
import { formatAge, formatDuration, formatPercent, formatTime } from '../view/format.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { DeadlineLabel } from './deadline-label.tsx'
import { Foreign } from './foreign.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { SourceMark } from './source-mark.tsx'
import { StatusBadge } from './status-badge.tsx'
import { Amount, endedText, leftText, rateText } from './task-figures.tsx'
import { PriorityMark, waitText } from './waiting-list.tsx'

/** The columns of a line, with or without a box to select it. */
export function lineGrid(selectable: boolean): string {
  return selectable
    ? 'grid grid-cols-[20px_minmax(0,1fr)_auto] gap-x-3 px-3 lg:grid-cols-[20px_118px_minmax(0,1.3fr)_minmax(70px,120px)_minmax(220px,1fr)_64px_44px_96px_28px]'
    : 'grid grid-cols-[minmax(0,1fr)_auto] gap-x-3 px-3 lg:grid-cols-[118px_minmax(0,1.3fr)_minmax(70px,120px)_minmax(220px,1fr)_64px_44px_96px_28px]'
}

interface Props {
  task: TaskRow
  worker: WorkerRow | undefined
  /** It has left the list and only keeps its place. */
  gone: boolean
  visible: boolean
  /** Its place in the list, from 1, for assistive technology. */
  place: number
  onCancel: (task: TaskRow) => void
  /** Whether it is selected; `undefined` if rows can't be selected. */
  selected: boolean | undefined
  /** Called when its box was clicked; with `range`, for all rows from the last one. */
  onSelect: (id: string, range: boolean) => void
}

/** A task as a line of the list; two lines on a narrow screen. */
export const TaskLine = memo(function TaskLine({
  task,
  worker,
  gone,
  visible,
  place,
  onCancel,
  selected,
  onSelect,
}: Props) {
  const live = useLiveTask(task, worker, { watch: visible && !gone && task.status === 'running' })
  const { now } = live
  const title = taskTitle(task)
  const running = task.status === 'running'
  const host = hostOf(task, worker)
  const begun = task.startedAt ?? task.claimedAt
  const lasted = begun && Math.max(0, (task.finishedAt ? Date.parse(task.finishedAt) : now) - Date.parse(begun))
  return (
    <div
      role="row"
      tabIndex={-1}
      aria-rowindex={place + 1}
      data-testid="task-row"
      data-task={task._id}
      data-status={task.status}
      data-source={live.source.kind}
      data-gone={gone || undefined}
      data-selected={selected || undefined}
      className={`dims group relative h-full items-center border-b border-line py-1.5 ${selected === true ? 'bg-run/10' : 'hover:bg-raised/50'} ${lineGrid(selected !== undefined)} ${gone ? 'opacity-40' : ''}`}
    >
      {selected !== undefined && (
        <div role="cell" className="relative z-10 -m-2 self-stretch max-lg:order-0">
          <label
            className="flex h-full w-9 cursor-pointer items-center justify-center"
            // With Shift a browser would also select the text between.
            onMouseDown={(event) => event.shiftKey && event.preventDefault()}
          >
            <input
              type="checkbox"
              className="size-3.5 cursor-pointer accent-solid"
              aria-label={`Select ${visibleLine(title, 60)}`}
              checked={selected}
              disabled={gone}
              // A click event has the Shift key, a change event doesn't.
              onClick={(event) => onSelect(task._id, event.shiftKey)}
              onChange={() => {}}
            />
          </label>
        </div>
      )}
      <div role="cell" className="flex min-w-0 flex-col max-lg:order-2 max-lg:items-end">
        <StatusBadge task={task} />
        <span className="text-[11.5px] leading-tight">
          <SourceMark source={live.source} />
          {!running && <Labels task={task} now={now} />}
          <DeadlineLabel task={task} now={now} />
        </span>
      </div>
      <div role="cell" className="min-w-0 max-lg:order-1">
        <Link
          to="/tasks/$id"
          params={{ id: task._id }}
          data-nav
          className="block truncate font-medium after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-run"
        >
          <Foreign text={title} max={160} />
        </Link>
        <span className="block truncate text-[11.5px] text-dim">
          <Foreign text={`${task.name}@${task.version}`} max={60} /> · <Foreign text={task.queue} max={40} />
          <span className="lg:hidden">
            {host !== undefined && (
              <>
                {' · '}
                <Foreign text={host} max={40} />
              </>
            )}
          </span>
        </span>
      </div>
      <div role="cell" className="hidden min-w-0 truncate lg:block">
        {host === undefined ? <span className="text-dim">–</span> : <Foreign text={host} max={60} />}
      </div>
      <div
        role="cell"
        className={`min-w-0 max-lg:order-3 ${selected === undefined ? 'max-lg:col-span-full' : 'max-lg:col-span-2 max-lg:col-start-2'}`}
      >
        <ProgressCell task={task} live={live} title={title} />
      </div>
      <div role="cell" className="hidden whitespace-nowrap lg:block">
        {attemptsText(task)}
        {task.lost > 0 && <span className="block text-[11.5px] leading-tight text-warn">{task.lost} lost</span>}
      </div>
      <div role="cell" className="hidden lg:block">
        <PriorityMark priority={task.priority} />
      </div>
      <div role="cell" className="hidden text-right whitespace-nowrap lg:block">
        {task.finishedAt === undefined ? (
          <span title={`Created ${formatTime(task.createdAt)}`}>{formatAge(now - Date.parse(task.createdAt))} ago</span>
        ) : (
          <span title={`Ended ${formatTime(task.finishedAt)}, created ${formatTime(task.createdAt)}`}>
            ended {formatAge(now - Date.parse(task.finishedAt))} ago
          </span>
        )}
        {lasted !== undefined && lasted !== '' && (
          <span className="block text-[11.5px] leading-tight text-dim">{formatDuration(lasted)}</span>
        )}
      </div>
      <div role="cell" className="relative z-10 hidden lg:block">
        {selected !== undefined && isPossible('cancel', task) && !gone && (
          <button
            type="button"
            className="rounded p-1.5 text-dim opacity-0 group-focus-within:opacity-100 group-hover:opacity-100 hover:bg-bad/15 hover:text-bad focus-visible:opacity-100"
            aria-label={`Cancel ${visibleLine(title, 60)}`}
            title="Cancel"
            onClick={() => onCancel(task)}
          >
            <X size={14} aria-hidden />
          </button>
        )}
      </div>
    </div>
  )
})

/** The host that runs a task, or that ran an ended one last. A waiting task has none: the next claim decides. */
function hostOf({ status, host, worker: id }: TaskRow, worker: WorkerRow | undefined): string | undefined {
  return status === 'running' || hasEnded(status) ? (host ?? worker?.name ?? id) : undefined
}

/** The current or last attempt, and how many failures are allowed. */
export function attemptsText(task: Pick<TaskRow, 'attempt' | 'maxAttempts'>): string {
  return task.attempt === 0 ? '–' : `${task.attempt} / ${task.maxAttempts}`
}

function Labels({ task, now }: { task: TaskRow; now: number }) {
  // The deadline's own label shows that it is overdue.
  const labels = taskLabels(task, now).filter((label) => label !== 'overdue')
  if (labels.length === 0) return null
  return <span className="mr-1.5 text-dim">{labels.join(', ')}</span>
}

function ProgressCell({ task, live, title }: { task: TaskRow; live: ReturnType<typeof useLiveTask>; title: string }) {
  const { progress, ratio, rate, secondsLeft, source, now } = live
  if (task.status === 'running') {
    return (
      <>
        <ProgressBar
          ratio={ratio}
          label={`Progress of ${title.slice(0, 80)}`}
          tone={source.kind === 'silent' ? 'text-bad' : 'text-run'}
        />
        <div className="mt-1 flex items-center gap-2 text-[11.5px] leading-tight whitespace-nowrap text-dim">
          {ratio !== undefined && <span className="w-[42px] text-text">{formatPercent(ratio)}</span>}
          <Amount progress={progress} className="truncate" />
          <span className="ml-auto text-text">{rateText(rate, progress)}</span>
          <span className="w-[84px] truncate text-right max-sm:hidden">{leftText(secondsLeft)}</span>
        </div>
      </>
    )
  }
  if (task.status === 'failed' && task.error !== undefined) {
    return (
      <p className="truncate text-bad">
        <Foreign text={task.error.message} max={160} />
      </p>
    )
  }
  if (!hasEnded(task.status)) {
    const wait = waitText(task, now)
    return (
      <p className="truncate text-dim">{wait === '' ? `waits ${formatAge(now - Date.parse(task.runAt))}` : wait}</p>
    )
  }
  return (
    <p data-testid="task-bytes" className="truncate text-dim">
      {endedText(task)}
    </p>
  )
}
