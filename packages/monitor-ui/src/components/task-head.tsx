import type { TaskRow } from '@taskfleet/protocol'
import { formatAge } from '../view/format.ts'
import { Foreign } from './foreign.tsx'

/** The labels of a task, if it has some. */
export function TaskLabels({ task: { labels } }: { task: TaskRow }) {
  if (labels === undefined) return null
  return (
    <ul className="mt-1 flex flex-wrap gap-1.5" aria-label="Labels">
      {Object.entries(labels).map(([name, text]) => (
        <li key={name} className="rounded border border-line px-1.5 text-xs text-dim">
          <Foreign text={`${name}: ${text}`} max={80} />
        </li>
      ))}
    </ul>
  )
}

/** A cancel or pause that is requested and not carried out yet. */
export function RequestedControl({ control, now }: { control: NonNullable<TaskRow['control']>; now: number }) {
  return (
    <p className="mt-1 text-warn">
      {control.action === 'cancel' ? 'Cancel' : 'Pause'} requested by <Foreign text={control.by} max={60} />{' '}
      {formatAge(now - Date.parse(control.at))} ago
      {control.reason !== undefined && (
        <>
          : <Foreign text={control.reason} max={200} />
        </>
      )}
    </p>
  )
}
