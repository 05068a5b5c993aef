import { Link } from '@tanstack/react-router'
import type { AuditEntry, WireError } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { useState } from 'react'
import { LinkButton } from '../components/button.tsx'
import { Foreign } from '../components/foreign.tsx'
import { Listing } from '../components/listing.tsx'
import { EmptyNote } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { Refresh } from '../components/refresh.tsx'
import { type Column, Table } from '../components/table.tsx'
import { TaskLink } from '../components/task-link.tsx'
import { Time } from '../components/time.tsx'
import { useWorkers } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { deedOf } from '../view/deed.ts'

const AGAIN_MS = 10_000
const PAGE = 100
/** The most that a gateway returns. */
const MOST = 1_000

/** The audit log of the whole fleet, the newest first. */
export function HistoryPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const [limit, setLimit] = useState(PAGE)
  const {
    answer = [],
    at,
    error,
    tryAgain,
  } = useAsked(() => client.audit.list({ limit }), {
    key: `audit ${limit}`,
    everyMs: AGAIN_MS,
  })
  if (error?.code === 'FORBIDDEN') return <Forbidden error={error} />
  const full = answer.length >= limit
  const columns: Column<AuditEntry>[] = [
    { title: 'When', className: 'align-top whitespace-nowrap', cell: (entry) => <Time at={entry.at} now={now} /> },
    { title: 'Who', className: 'align-top min-w-24 font-medium', cell: ({ by }) => <Foreign text={by} max={60} /> },
    {
      title: 'What',
      className: 'align-top min-w-32',
      cell: ({ action }) => <Foreign text={deedOf(action)} max={60} />,
    },
    { title: 'Target', className: 'align-top min-w-44', cell: (entry) => <Subject entry={entry} /> },
    { title: 'Reason and details', className: 'align-top min-w-40', cell: (entry) => <Reason entry={entry} /> },
  ]
  return (
    <Page
      title="History"
      head={
        <>
          <p className="text-dim">Who did what, newest first. Entries are kept for a year.</p>
          <Refresh at={at} now={now} onRefresh={tryAgain} />
        </>
      }
    >
      <Listing views={[{ error, tryAgain }]} loaded={at !== undefined} count={answer.length} empty={NONE}>
        <Table
          label="Audit"
          columns={columns}
          rows={answer}
          keyOf={({ _id }) => _id}
          attributes={({ action }) => ({ 'data-testid': 'audit-row', 'data-action': action })}
        />
        <div className="flex min-h-8 items-center gap-4 px-1 text-xs text-dim">
          <p role="status">
            {answer.length === 1 ? '1 entry' : `${formatCount(answer.length)}${full ? '+' : ''} entries`}
          </p>
          {full && limit < MOST && (
            <LinkButton className="px-1.5 py-1" onClick={() => setLimit(Math.min(MOST, limit + PAGE))}>
              Load more
            </LinkButton>
          )}
          {full && limit >= MOST && <p>Only the latest {formatCount(MOST)} are shown.</p>}
        </div>
      </Listing>
    </Page>
  )
}

const NONE = {
  title: 'There are no entries yet',
  hint: 'Commands from the monitor, the API and the command line are listed here.',
}

function Forbidden({ error }: { error: WireError }) {
  return (
    <Page title="History">
      <EmptyNote title="This key may not read the audit log of the fleet">
        <Foreign text={error.message} max={300} />
        <br />
        The page of a task lists what was done to that task.
      </EmptyNote>
    </Page>
  )
}

function Reason({ entry: { refused, reason, filter } }: { entry: AuditEntry }) {
  return (
    <>
      {refused !== undefined && <Foreign text={`refused: ${refused}`} max={80} className="text-bad" />}
      {reason !== undefined && <Foreign text={reason} max={300} />}
      {filter !== undefined && (
        <code className="block font-mono text-[11px] break-all text-dim">
          <Foreign text={filter} max={300} />
        </code>
      )}
    </>
  )
}

const LINKS = 10

/** The object of the action: links to the tasks, or another name. */
function Subject({ entry: { action, tasks, matched, changed, target, refused } }: { entry: AuditEntry }) {
  if (refused !== undefined)
    return <span className="text-dim">{matched === 1 ? 'once' : `${formatCount(matched)} times`}</span>
  const [only] = tasks
  if (target !== undefined) return <Target action={action} target={target} />
  if (tasks.length === 1 && only !== undefined && matched <= 1) return <TaskLink id={only} />
  // An entry of an earlier version: its number counts no tasks.
  if (tasks.length === 0 && matched === 0 && changed > 0) return <span className="text-dim">–</span>
  const amount = matched > changed ? `${formatCount(changed)} of ${countOf(matched, 'task')}` : countOf(changed, 'task')
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
