import type { TaskRow } from '@taskfleet/protocol'
import type { ReactElement } from 'react'
import { classes } from './parts/classes.ts'
import { Problem, useOutdated } from './parts/problem.tsx'
import { Row, type TaskSlots } from './parts/task-row.tsx'
import { LIST_FIELDS } from './queries.ts'
import { useLiveQuery } from './use-live-query.ts'
import { useWorkers } from './use-workers.ts'

export interface TaskProgressProps extends TaskSlots {
  /** The task's id, or its row if the page has it from a live query: then no query is needed. */
  task: string | TaskRow
  className?: string
}

/**
 * One task with its live bar: title, state, percentage, amount, message, rate, time left and where these come from. It is watched at its
 * host while it is on the screen, over the connection that all tasks of the host share. Without a task or without the permission it says
 * so; it never throws.
 *
 * @example <TaskProgress task={id} />
 */
export function TaskProgress({ task, ...rest }: TaskProgressProps): ReactElement {
  return typeof task === 'string' ? <ById id={task} {...rest} /> : <ByRow task={task} {...rest} />
}

type Rest = Omit<TaskProgressProps, 'task'>

function ByRow({ task, className, ...slots }: Rest & { task: TaskRow }): ReactElement {
  const workers = useWorkers()
  return (
    <div className={classes('taskfleet taskfleet-progress', className)}>
      <Row task={task} worker={workers.get(task.worker ?? '')} {...slots} />
    </div>
  )
}

function ById({ id, className, ...slots }: Rest & { id: string }): ReactElement {
  const view = useLiveQuery({ filter: { _id: id }, limit: 1, fields: LIST_FIELDS })
  const workers = useWorkers()
  const [task] = view.rows
  return (
    <div
      className={classes('taskfleet taskfleet-progress', className)}
      aria-busy={!view.loaded}
      data-outdated={useOutdated(view)}
    >
      <Problem views={[view]} />
      {task !== undefined && <Row key={id} task={task} worker={workers.get(task.worker ?? '')} {...slots} />}
      {task === undefined && view.loaded && <p className="taskfleet-note">There is no such task.</p>}
    </div>
  )
}
