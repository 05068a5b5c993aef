import type { QueryRequest, TaskRow, WorkerRow } from '@taskfleet/protocol'
import { memo, type ReactElement, type ReactNode } from 'react'
import { classes } from './parts/classes.ts'
import { Foreign, StateMark, Title } from './parts/marks.tsx'
import { Problem, useOutdated } from './parts/problem.tsx'
import { TaskBar, TaskFigures } from './parts/task-figures.tsx'
import { Row, type TaskSlots, useSeenTask } from './parts/task-row.tsx'
import { LIST_FIELDS } from './queries.ts'
import { useLiveQuery } from './use-live-query.ts'
import type { LiveTask } from './use-live-task.ts'
import { useWorkers } from './use-workers.ts'
import { taskTitle } from './words/figures.ts'

/** A column of a list: one of its own, or one of the page's. */
export type TaskColumn =
  | 'task'
  | 'state'
  | 'progress'
  | 'queue'
  | 'host'
  | {
      /** Unique among the columns. */
      key: string
      title: string
      /** The content of a cell, for the live state of its task. */
      cell: (live: LiveTask) => ReactNode
    }

export interface TaskListProps extends TaskSlots {
  /** Which tasks, in which order, and how many: a live query, 100 rows without a `limit`. The fields that the rows need are added. */
  query: QueryRequest & { collection?: 'tasks' }
  /** `task`, `state`, `progress` and `host` by default. With `renderTask` there are none. Give the same array each time. */
  columns?: readonly TaskColumn[]
  /** Shown when no task matches. */
  empty?: ReactNode
  /** The name of the list for screen readers. */
  label?: string
  className?: string
}

const COLUMNS: readonly TaskColumn[] = ['task', 'state', 'progress', 'host']

const TITLE = { task: 'Task', state: 'State', progress: 'Progress', queue: 'Queue', host: 'Host' } as const

/**
 * The tasks of a live query, each with its bar. Rows on the screen are watched at their hosts, over one connection a host. A row is
 * rendered again when its own task changes and once a second for its times, and no other row with it.
 *
 * @example <TaskList query={{ filter: { queue: 'video', status: 'running' }, sort: { claimedAt: 1 }, limit: 50 }} />
 */
export function TaskList({
  query,
  columns = COLUMNS,
  empty = 'No tasks match.',
  label = 'Tasks',
  className,
  ...slots
}: TaskListProps): ReactElement {
  const fields = [...new Set([...LIST_FIELDS, ...(query.fields ?? [])])]
  const view = useLiveQuery<'tasks'>({ ...query, fields })
  const workers = useWorkers()
  const workerOf = (task: TaskRow) => workers.get(task.worker ?? '')
  const { rows } = view
  return (
    <div
      className={classes('taskfleet taskfleet-list', className)}
      aria-busy={!view.loaded}
      data-outdated={useOutdated(view)}
    >
      <Problem views={[view]} />
      {view.loaded && rows.length === 0 && <div className="taskfleet-note">{empty}</div>}
      {rows.length > 0 &&
        (slots.renderTask === undefined ? (
          <table aria-label={label}>
            <thead>
              <tr>
                {columns.map((column) => (
                  <th key={keyOf(column)} scope="col">
                    {titleOf(column)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((task) => (
                <Line key={task._id} task={task} worker={workerOf(task)} columns={columns} onOpen={slots.onOpen} />
              ))}
            </tbody>
          </table>
        ) : (
          <ul aria-label={label}>
            {rows.map((task) => (
              <li key={task._id}>
                <Row task={task} worker={workerOf(task)} {...slots} />
              </li>
            ))}
          </ul>
        ))}
    </div>
  )
}

interface LineProps extends Pick<TaskSlots, 'onOpen'> {
  task: TaskRow
  worker: WorkerRow | undefined
  columns: readonly TaskColumn[]
}

const Line = memo(function Line({ task, worker, columns, onOpen }: LineProps): ReactElement {
  const [ref, live] = useSeenTask(task, worker)
  return (
    <tr ref={ref} data-task={task._id} data-status={task.status} data-source={live.source.kind}>
      {columns.map((column) => (
        <td key={keyOf(column)} data-column={keyOf(column)} data-title={titleOf(column)}>
          {cellOf(column, live, worker, onOpen)}
        </td>
      ))}
    </tr>
  )
})

const keyOf = (column: TaskColumn): string => (typeof column === 'string' ? column : column.key)
const titleOf = (column: TaskColumn): string => (typeof column === 'string' ? TITLE[column] : column.title)

function cellOf(
  column: TaskColumn,
  live: LiveTask,
  worker: WorkerRow | undefined,
  onOpen: TaskSlots['onOpen'],
): ReactNode {
  const { task } = live
  if (typeof column !== 'string') return column.cell(live)
  switch (column) {
    case 'task':
      return <Title text={taskTitle(task)} onOpen={onOpen && (() => onOpen(task))} />
    case 'state':
      return <StateMark task={task} />
    case 'progress':
      return (
        <>
          <TaskBar live={live} />
          <TaskFigures live={live} />
        </>
      )
    case 'queue':
      return <Foreign text={task.queue} max={60} />
    case 'host': {
      const host = task.host ?? worker?.name
      return host === undefined ? '–' : <Foreign text={host} max={60} />
    }
  }
}
