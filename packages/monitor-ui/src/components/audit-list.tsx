import type { AuditEntry, TaskRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { useOnScreen } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { countOf } from '../view/counts.ts'
import { deedOf } from '../view/deed.ts'
import { visibleText } from '../view/text.ts'
import { Foreign } from './foreign.tsx'
import { Time } from './time.tsx'

const AGAIN_MS = 10_000
const SHOWN = 50

/** Who did what to a task, the newest first. */
export function AuditList({ task }: { task: TaskRow }) {
  const client = useFleetClient()
  const now = useServerTime()
  const [ref, visible] = useOnScreen()
  const { status, control, attempt, basePriority, queue, runAt, deadline } = task
  const { answer, error } = useAsked(() => client.audit.list({ id: task._id, limit: SHOWN }), {
    // Not the revision: a running task saves a checkpoint every second.
    key: JSON.stringify([task._id, status, control?.at, attempt, basePriority, queue, runAt, deadline]),
    everyMs: AGAIN_MS,
    active: visible,
  })
  return (
    <div ref={ref}>
      {answer === undefined && error === undefined && <p className="text-dim">Loading…</p>}
      {error !== undefined && <p className="text-dim">{visibleText(error.message, 200)}</p>}
      {answer?.length === 0 && <p className="text-dim">Nobody has changed this task.</p>}
      {answer !== undefined && answer.length > 0 && (
        <ul className="flex max-h-72 flex-col gap-1.5 overflow-auto">
          {answer.map((entry) => (
            <Entry key={entry._id} entry={entry} now={now} />
          ))}
        </ul>
      )}
      {answer?.length === SHOWN && <p className="mt-1 text-xs text-dim">Only the latest {SHOWN} are shown.</p>}
    </div>
  )
}

function Entry({ entry, now }: { entry: AuditEntry; now: number }) {
  return (
    <li className="flex items-baseline gap-2" data-testid="audit-entry">
      <span className="min-w-0 flex-1">
        <Foreign text={entry.by} max={40} className="font-medium" /> <Foreign text={deedOf(entry.action)} max={60} />
        {entry.changed > 1 && <span className="text-dim"> with {countOf(entry.changed - 1, 'other')}</span>}
        {entry.reason !== undefined && (
          <span className="text-dim">
            : <Foreign text={entry.reason} max={200} />
          </span>
        )}
      </span>
      <Time at={entry.at} now={now} className="shrink-0 text-xs text-dim" />
    </li>
  )
}
