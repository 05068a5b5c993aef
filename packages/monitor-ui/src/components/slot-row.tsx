import { Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useLiveTask, useOnScreen } from '@taskfleet/react/internal'
import { memo } from 'react'
import { formatDuration, formatPercent } from '../view/format.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { Foreign } from './foreign.tsx'
import { ProgressBar } from './progress-bar.tsx'
import { SourceMark } from './source-mark.tsx'
import { Sparkline } from './sparkline.tsx'
import { StatusBadge } from './status-badge.tsx'
import { Amount, endedText, leftText, rateText } from './task-figures.tsx'

/** A running task in its slot, with its progress, its rate and the source of both. */
export const SlotRow = memo(function SlotRow({ task, worker }: { task: TaskRow; worker: WorkerRow | undefined }) {
  const [ref, visible] = useOnScreen()
  const { points, progress, ratio, rate, secondsLeft, source, now } = useLiveTask(task, worker, { watch: visible })
  const title = taskTitle(task)
  return (
    <div
      ref={ref}
      data-testid="task-row"
      data-task={task._id}
      data-status={task.status}
      data-source={source.kind}
      className="dims relative h-[60px] rounded-md px-2 py-1.5 hover:bg-raised/60"
    >
      <div className="flex items-center gap-2">
        <Link
          to="/tasks/$id"
          params={{ id: task._id }}
          data-nav
          className="min-w-0 flex-1 truncate font-medium after:absolute after:inset-0 after:rounded-md focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:outline-run"
        >
          <Foreign text={title} max={120} />
        </Link>
        {task.control !== undefined && <StatusBadge task={task} />}
        <Sparkline points={points} now={now} />
        <span className="min-w-[76px] shrink-0 text-right font-medium whitespace-nowrap">
          {rateText(rate, progress) || '–'}
        </span>
      </div>
      <div className="mt-1 mb-1.5">
        <ProgressBar
          ratio={ratio}
          label={`Progress of ${title.slice(0, 80)}`}
          tone={source.kind === 'silent' ? 'text-bad' : 'text-run'}
        />
      </div>
      <div className="flex items-center gap-2 text-[11.5px] leading-none whitespace-nowrap text-dim">
        {ratio !== undefined && <span className="w-[42px] text-text">{formatPercent(ratio)}</span>}
        <Amount progress={progress} />
        <SourceMark source={source} />
        <span className="ml-auto truncate">{leftText(secondsLeft)}</span>
      </div>
    </div>
  )
})

/** An ended task, shown in its slot until another task takes the slot or some time has passed. */
export function EndedSlot({ task }: { task: TaskRow }) {
  const begun = task.startedAt ?? task.claimedAt
  const tone = STATUS_LOOK[task.status].tone
  return (
    <div className="dims relative h-[60px] rounded-md px-2 py-1.5 text-dim hover:bg-raised/60">
      <div className="flex items-center gap-2">
        <Link
          to="/tasks/$id"
          params={{ id: task._id }}
          className="min-w-0 flex-1 truncate after:absolute after:inset-0 after:rounded-md"
        >
          <Foreign text={taskTitle(task)} max={120} />
        </Link>
        <span className="text-xs">
          <StatusBadge task={task} />
        </span>
      </div>
      <div className={`mt-1 mb-1.5 h-1.5 rounded-full bg-current opacity-35 ${tone}`} aria-hidden />
      <div className="flex items-center gap-2 text-[11.5px] leading-none whitespace-nowrap">
        <span className="truncate">
          {task.status === 'failed' ? visibleLine(task.error?.message ?? '', 80) : endedText(task)}
        </span>
        {begun !== undefined && task.finishedAt !== undefined && (
          <span className="ml-auto">in {formatDuration(Date.parse(task.finishedAt) - Date.parse(begun))}</span>
        )}
      </div>
    </div>
  )
}
