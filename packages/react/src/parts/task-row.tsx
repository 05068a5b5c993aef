import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { memo, type ReactElement, type ReactNode } from 'react'
import { type LiveTask, useLiveTask } from '../use-live-task.ts'
import { useOnScreen } from '../use-on-screen.ts'
import { taskTitle } from '../words/figures.ts'
import { StateMark, Title } from './marks.tsx'
import { TaskBar, TaskFigures } from './task-figures.tsx'

/** What pages can give to each component that shows tasks. */
export interface TaskSlots {
  /** Called when a task is clicked. Without it, titles are plain text. */
  onOpen?: ((task: TaskRow) => void) | undefined
  /** Renders a task in place of its own row. It is called for this task alone, each time its state changes. */
  renderTask?: ((live: LiveTask) => ReactNode) | undefined
}

interface Props extends TaskSlots {
  task: TaskRow
  worker: WorkerRow | undefined
}

/** The live state of a task that is watched while it is on the screen. */
export function useSeenTask(
  task: TaskRow,
  worker: WorkerRow | undefined,
): [ref: (element: Element | null) => void, live: LiveTask] {
  const [ref, visible] = useOnScreen()
  return [ref, useLiveTask(task, worker, { watch: visible && task.status === 'running' })]
}

/** A task as two or three lines: title and state, bar, figures. */
export const Row = memo(function Row({ task, worker, onOpen, renderTask }: Props): ReactElement {
  const [ref, live] = useSeenTask(task, worker)
  return (
    <div
      ref={ref}
      className="taskfleet-task"
      data-task={task._id}
      data-status={task.status}
      data-source={live.source.kind}
    >
      {renderTask?.(live) ?? (
        <>
          <div className="taskfleet-head">
            <Title text={taskTitle(task)} onOpen={onOpen && (() => onOpen(task))} />
            <StateMark task={task} />
          </div>
          <TaskBar live={live} />
          <TaskFigures live={live} />
        </>
      )}
    </div>
  )
})
