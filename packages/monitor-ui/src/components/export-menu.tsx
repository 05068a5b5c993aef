import type { TaskRow } from '@taskfleet/protocol'
import { toCsv } from '../view/csv.ts'
import { taskTitle } from '../view/task-title.ts'
import { LinkButton } from './button.tsx'
import { saveFile } from './save-file.ts'

const COLUMNS = [
  'id',
  'title',
  'name',
  'version',
  'status',
  'queue',
  'priority',
  'host',
  'attempt',
  'failures',
] as const
const DATES = ['createdAt', 'runAt', 'startedAt', 'finishedAt'] as const

/** Saves the rows of a list as a file. */
export function ExportMenu({ rows }: { rows: readonly TaskRow[] }) {
  const asCsv = () =>
    toCsv(
      [...COLUMNS, ...DATES, 'error', 'labels'],
      rows.map((task) => [
        ...[task._id, taskTitle(task), task.name, task.version, task.status, task.queue, task.priority],
        ...[task.host, task.attempt, task.failures],
        ...DATES.map((date) => task[date]),
        ...[task.error?.code, task.labels],
      ]),
    )
  if (rows.length === 0) return null
  return (
    <span className="ml-auto flex items-center gap-1">
      Save as
      <LinkButton className="px-1 py-1" onClick={() => saveFile('tasks.csv', 'text/csv;charset=utf-8', asCsv())}>
        CSV
      </LinkButton>
      <LinkButton
        className="px-1 py-1"
        onClick={() => saveFile('tasks.json', 'application/json', `${JSON.stringify(rows, null, 2)}\n`)}
      >
        JSON
      </LinkButton>
    </span>
  )
}
