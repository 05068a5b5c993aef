import { Link } from '@tanstack/react-router'
import type { AuditEntry, WireError } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { useState } from 'react'
import { Ago } from '../components/ago.tsx'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Refresh } from '../components/refresh.tsx'
import { CELL, Table } from '../components/table.tsx'
import { TaskLink } from '../components/task-link.tsx'
import { useWorkers } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { formatCount } from '../view/counts.ts'

const AGAIN_MS = 10_000
const PAGE = 100
/** A gateway tells no more than this. */
const MOST = 1_000

const COLUMNS = [{ title: 'When' }, { title: 'Who' }, { title: 'What' }, { title: 'To what' }, { title: 'Why and how' }]

/** Who did what in the whole fleet, the newest first. */
export function AuditPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const [limit, setLimit] = useState(PAGE)
  const { answer, at, error, tryAgain } = useAsked(() => client.audit.list({ limit }), {
    key: `audit ${limit}`,
    everyMs: AGAIN_MS,
  })
  const forbidden = error?.code === 'FORBIDDEN'
  const full = answer !== undefined && answer.length >= limit
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-base font-semibold">Audit</h1>
        <p className="text-dim">Who did what, the newest first; kept for a year.</p>
        {!forbidden && <Refresh at={at} now={now} onRefresh={tryAgain} />}
      </div>
      {forbidden ? <Forbidden error={error} /> : <RowsProblem views={[{ error, tryAgain }]} />}
      {answer === undefined && error === undefined && <EmptyNote title="Asking the gateway…" />}
      {!forbidden && answer?.length === 0 && (
        <EmptyNote title="Nobody has done anything yet">
          Commands from the monitor, the API and the command line show up here.
        </EmptyNote>
      )}
      {!forbidden && answer !== undefined && answer.length > 0 && (
        <>
          <Table label="Audit" columns={COLUMNS}>
            {answer.map((entry) => (
              <AuditRow key={entry._id} entry={entry} now={now} />
            ))}
          </Table>
          <div className="flex min-h-8 items-center gap-4 px-1 text-xs text-dim">
            <p role="status">
              {answer.length === 1 ? '1 entry' : `${formatCount(answer.length)}${full ? '+' : ''} entries`}
            </p>
            {full && limit < MOST && (
              <button
                type="button"
                className="rounded px-1.5 py-1 font-medium text-run hover:underline"
                onClick={() => setLimit(Math.min(MOST, limit + PAGE))}
              >
                Load more
              </button>
            )}
            {full && limit >= MOST && <p>Only the latest {formatCount(MOST)} are shown.</p>}
          </div>
        </>
      )}
    </div>
  )
}

function Forbidden({ error }: { error: WireError }) {
  return (
    <EmptyNote title="This key may not read the fleet’s audit log">
      <Foreign text={error.message} max={300} />
      <br />
      What was done to one task stands on that task’s page.
    </EmptyNote>
  )
}

const DID: Record<string, string> = {
  enqueue: 'enqueued',
  cancel: 'cancelled',
  pause: 'paused',
  resume: 'resumed',
  retry: 'retried',
  replay: 'replayed',
  reprioritise: 'changed the priority',
  edit: 'edited',
  prune: 'pruned',
  retention: 'set the retention',
  'worker drain': 'drained a host',
  'worker resume': 'resumed a host',
  'queue pause': 'paused a queue',
  'queue resume': 'resumed a queue',
  'queue limit': 'limited a queue',
  'event remove': 'removed an event',
  'callback create': 'registered a callback',
  'callback edit': 'edited a callback',
  'callback remove': 'removed a callback',
  'key create': 'made a key',
  'key edit': 'changed a key',
  'key revoke': 'revoked a key',
  'error open': 'reopened an error',
  'error resolved': 'resolved an error',
  'error ignored': 'ignored an error',
}

function AuditRow({ entry, now }: { entry: AuditEntry; now: number }) {
  const { at, by, action, reason, filter, refused } = entry
  const cell = `${CELL} align-top`
  return (
    <tr data-testid="audit-row" data-action={action}>
      <td className={`${cell} whitespace-nowrap`}>
        <Ago at={at} now={now} />
      </td>
      <td className={`${cell} min-w-24 font-medium`}>
        <Foreign text={by} max={60} />
      </td>
      <td className={`${cell} min-w-32`}>
        <Foreign text={Object.hasOwn(DID, action) ? (DID[action] ?? action) : action} max={60} />
      </td>
      <td className={`${cell} min-w-44`}>
        <Subject entry={entry} />
      </td>
      <td className={`${cell} min-w-40`}>
        {refused !== undefined && <Foreign text={`refused: ${refused}`} max={80} className="text-bad" />}
        {reason !== undefined && <Foreign text={reason} max={300} />}
        {filter !== undefined && (
          <code className="block font-mono text-[11px] break-all text-dim">
            <Foreign text={filter} max={300} />
          </code>
        )}
      </td>
    </tr>
  )
}

const LINKS = 10

/** What it was done to: tasks with ways to them, or what else the entry names. */
function Subject({ entry: { action, tasks, matched, changed, target, refused } }: { entry: AuditEntry }) {
  if (refused !== undefined)
    return <span className="text-dim">{matched === 1 ? 'once' : `${formatCount(matched)} times`}</span>
  const [only] = tasks
  if (target !== undefined) return <Target action={action} target={target} />
  if (tasks.length === 1 && only !== undefined && matched <= 1) return <TaskLink id={only} />
  // A deed on none that names nothing else, such as one of an earlier version: its number counts no tasks.
  if (tasks.length === 0 && matched === 0 && changed > 0) return <span className="text-dim">–</span>
  const left = matched > changed ? ` of ${formatCount(matched)}` : ''
  const amount = `${formatCount(changed)}${left} ${(left === '' ? changed : matched) === 1 ? 'task' : 'tasks'}`
  if (tasks.length === 0) return <span className={changed === 0 ? 'text-dim' : ''}>{amount}</span>
  return (
    <details>
      <summary>{amount}</summary>
      <ul className="mt-1">
        {tasks.slice(0, LINKS).map((id) => (
          <li key={id}>
            <TaskLink id={id} />
          </li>
        ))}
        {changed > LINKS && <li className="text-xs text-dim">and {formatCount(changed - LINKS)} more</li>}
      </ul>
    </details>
  )
}

function Target({ action, target }: { action: string; target: string }) {
  const workers = useWorkers()
  const [kind] = action.split(' ')
  if (kind === 'queue') {
    return (
      <Link to="/tasks" search={{ queue: target }} className="text-run hover:underline">
        <Foreign text={target} max={80} />
      </Link>
    )
  }
  const name = kind === 'worker' ? workers.get(target)?.name : undefined
  if (name !== undefined) return <Foreign text={name} max={60} />
  return (
    <code className="font-mono text-xs break-all">
      <Foreign text={target} max={120} />
    </code>
  )
}
