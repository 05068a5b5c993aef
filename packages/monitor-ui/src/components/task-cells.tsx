import { Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useLiveTask, useOnScreen } from '@taskfleet/react/internal'
import { memo, useState } from 'react'
import { formatPercent } from '../view/format.ts'
import type { UsualRuns } from '../view/history.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { SlotRow } from './slot-row.tsx'

interface Props {
  tasks: readonly TaskRow[]
  worker: WorkerRow
  /** Tasks that run for longer than is usual are amber. */
  usual: UsualRuns
}

/** The tasks of a host that has many, as small cells. The cell under the mouse, the finger or the focus is shown as a row. */
export function TaskCells({ tasks, worker, usual }: Props) {
  const [opened, setOpened] = useState<string>()
  const shown = tasks.find(({ _id }) => _id === opened) ?? tasks[0]
  return (
    <div className="flex flex-col gap-2 px-2">
      <ul className="flex flex-wrap gap-1" aria-label={`Tasks of ${visibleLine(worker.name, 60)}`}>
        {tasks.map((task) => (
          <li key={task._id}>
            <Cell task={task} worker={worker} usual={usual} opened={task._id === opened} onOpen={setOpened} />
          </li>
        ))}
      </ul>
      <div className="-mx-2">{shown !== undefined && <SlotRow key={shown._id} task={shown} worker={worker} />}</div>
    </div>
  )
}

interface CellProps {
  task: TaskRow
  worker: WorkerRow
  usual: UsualRuns
  opened: boolean
  onOpen: (id: string) => void
}

const Cell = memo(function Cell({ task, worker, usual, opened, onOpen }: CellProps) {
  const [ref, visible] = useOnScreen()
  const { ratio, source, now } = useLiveTask(task, worker, { watch: visible })
  const begun = task.claimedAt === undefined ? now : Date.parse(task.claimedAt)
  const isSlow = now - begun > (usual.get(task.name) ?? Number.POSITIVE_INFINITY)
  const words = [
    visibleLine(taskTitle(task), 120),
    ratio === undefined ? 'no progress yet' : formatPercent(ratio),
    ...(isSlow ? ['slower than 95 % of its kind'] : []),
    ...(source.kind === 'silent' ? ['its host is silent'] : []),
  ].join(', ')
  const open = () => onOpen(task._id)
  return (
    <Link
      ref={ref}
      to="/tasks/$id"
      params={{ id: task._id }}
      data-nav
      data-testid="task-cell"
      data-task={task._id}
      data-status={task.status}
      data-source={source.kind}
      data-slow={isSlow}
      aria-label={words}
      title={words}
      className={`relative block size-6 overflow-hidden rounded ${toneOf(task, source.kind, isSlow)} ${opened ? 'ring-2 ring-current' : ''}`}
      onPointerEnter={(event) => event.pointerType !== 'touch' && open()}
      onFocus={open}
      onClick={(event) => {
        // The first tap shows the row; what is shown already is opened.
        if (opened) return
        event.preventDefault()
        open()
      }}
    >
      <span className="absolute inset-0 bg-current opacity-20" />
      <span
        className="absolute inset-0 origin-bottom bg-current"
        style={{ transform: `scaleY(${ratio ?? 0})` }}
        aria-hidden
      />
    </Link>
  )
})

function toneOf(task: TaskRow, source: string, isSlow: boolean): string {
  if (source === 'silent') return 'text-bad'
  return isSlow || task.control !== undefined ? 'text-warn' : 'text-run'
}
