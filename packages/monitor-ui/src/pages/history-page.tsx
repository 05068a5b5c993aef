import { getRouteApi, Link } from '@tanstack/react-router'
import { type AuditEntry, COMMANDS, type WireError } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { Download } from 'lucide-react'
import { useState } from 'react'
import { Button, LinkButton } from '../components/button.tsx'
import { Foreign } from '../components/foreign.tsx'
import { Listing } from '../components/listing.tsx'
import { EmptyNote } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { Refresh } from '../components/refresh.tsx'
import { saveFile } from '../components/save-file.ts'
import { SettledInput } from '../components/settled-input.tsx'
import { type Column, Table } from '../components/table.tsx'
import { TaskLink } from '../components/task-link.tsx'
import { Time } from '../components/time.tsx'
import { useWorkers } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { useKeyNames } from '../live/use-key-names.ts'
import { useRange } from '../shell/use-range.ts'
import { auditCsv, auditMatches, type NameOf } from '../view/audit.ts'
import { countOf, formatCount } from '../view/counts.ts'
import { deedOf } from '../view/deed.ts'
import { changedSearch, type HistorySearch } from '../view/search.ts'
import { visibleLine } from '../view/text.ts'

const AGAIN_MS = 10_000
const PAGE = 100
/** The most that a gateway returns. */
const MOST = 1_000

const route = getRouteApi('/history')

/** The audit log of the whole fleet, the newest first. */
export function HistoryPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const range = useRange()
  const names = useKeyNames()
  const nameOf: NameOf = (id) => names.get(id) ?? id
  const filtered = Object.keys(filtersIn(search)).length > 0 || range.chosen !== undefined
  const [wanted, setWanted] = useState(PAGE)
  // A filter looks at all that the gateway returns.
  const limit = filtered ? MOST : wanted
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
  const shown = auditMatches(answer, search, range.chosen === undefined ? undefined : range, nameOf)
  const actions = [...new Set(answer.map(({ action }) => action))].sort()
  const change = (changes: HistorySearch) =>
    void navigate({ search: (before) => changedSearch<HistorySearch>(before, changes), replace: true })
  const columns: Column<AuditEntry>[] = [
    { title: 'When', className: 'align-top sm:whitespace-nowrap', cell: (entry) => <Time at={entry.at} now={now} /> },
    {
      title: 'Who',
      className: 'align-top sm:min-w-24 font-medium',
      cell: ({ by }) => <Who by={by} name={names.get(by)} />,
    },
    {
      title: 'What',
      className: 'align-top sm:min-w-32',
      cell: ({ action }) => <Foreign text={deedOf(action)} max={60} />,
    },
    {
      title: 'Target',
      className: 'align-top sm:min-w-44',
      cell: (entry) => <Subject entry={entry} nameOf={nameOf} />,
    },
    { title: 'Details', className: 'align-top sm:min-w-40', cell: (entry) => <Reason entry={entry} /> },
  ]
  return (
    <Page
      title="History"
      head={
        <>
          <p className="text-dim">
            Who did what {range.chosen === undefined ? 'in the last year' : 'in the chosen time'}, newest first.
          </p>
          <Link to="/operations" className={link}>
            Operations on many tasks
          </Link>
          <Refresh at={at} now={now} onRefresh={tryAgain} />
        </>
      }
    >
      <div role="group" aria-label="Filters" className="grid grid-cols-2 gap-2 sm:flex sm:flex-wrap sm:items-center">
        <SettledInput
          label="Who"
          value={search.who ?? ''}
          onSettled={(who) => change({ who })}
          placeholder="Who"
          className="field min-w-0 sm:w-40"
        />
        <select
          aria-label="What"
          className="field min-w-0"
          value={search.did ?? ''}
          onChange={(event) => change({ did: event.target.value })}
        >
          <option value="">Any action</option>
          {[...new Set([...actions, ...(search.did === undefined ? [] : [search.did])])].map((action) => (
            <option key={action} value={action}>
              {visibleLine(deedOf(action), 60)}
            </option>
          ))}
        </select>
        <SettledInput
          label="Target, reason or filter"
          value={search.about ?? ''}
          onSettled={(about) => change({ about })}
          placeholder="Target, reason or filter"
          className="field col-span-2 min-w-0 sm:w-56"
        />
        {filtered && (
          <LinkButton
            className="p-1 text-left"
            onClick={() => void navigate({ search: { range: undefined } as never, replace: true })}
          >
            Clear filters
          </LinkButton>
        )}
        <Button
          icon={Download}
          className="col-span-2 sm:ml-auto"
          disabled={shown.length === 0}
          onClick={() => saveFile('taskfleet-history.csv', 'text/csv;charset=utf-8', auditCsv(shown, nameOf))}
        >
          Save as CSV
        </Button>
      </div>
      <Listing
        views={[{ error, tryAgain }]}
        loaded={at !== undefined}
        count={shown.length}
        empty={filtered ? NO_MATCH : NONE}
      >
        <Table
          label="Audit"
          columns={columns}
          rows={shown}
          keyOf={({ _id }) => _id}
          attributes={({ action }) => ({ 'data-testid': 'audit-row', 'data-action': action })}
        />
      </Listing>
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 px-1 text-xs text-dim">
        <p role="status">{at !== undefined && amountText(shown.length, answer.length, full, filtered)}</p>
        {full && limit < MOST && (
          <LinkButton className="px-1.5 py-1" onClick={() => setWanted(Math.min(MOST, wanted + PAGE))}>
            Load more
          </LinkButton>
        )}
        {full && limit >= MOST && (
          <p>
            Only the latest {formatCount(MOST)} are {filtered ? 'searched' : 'shown'}.
          </p>
        )}
      </div>
    </Page>
  )
}

const filtersIn = ({ who, did, about }: HistorySearch): HistorySearch =>
  changedSearch<HistorySearch>({}, { who, did, about })

function amountText(shown: number, loaded: number, full: boolean, filtered: boolean): string {
  if (loaded === 0) return ''
  if (filtered) return `${formatCount(shown)} of ${formatCount(loaded)}${full ? '+' : ''} entries`
  return loaded === 1 ? '1 entry' : `${formatCount(loaded)}${full ? '+' : ''} entries`
}

/** The name of a key, with its id in the tooltip. */
function Who({ by, name }: { by: string; name: string | undefined }) {
  if (name === undefined) return <Foreign text={by} max={60} />
  return (
    <span title={`Key ${visibleLine(by, 40)}`}>
      <Foreign text={name} max={60} />
    </span>
  )
}

const NO_MATCH = {
  title: 'No entry matches the filters',
  hint: 'The time range at the top is one of them once it is chosen.',
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
function Subject({ entry, nameOf }: { entry: AuditEntry; nameOf: NameOf }) {
  const { action, tasks, matched, changed, target, refused } = entry
  if (refused !== undefined)
    return <span className="text-dim">{matched === 1 ? 'once' : `${formatCount(matched)} times`}</span>
  const [only] = tasks
  if (target !== undefined && isOperation(action)) {
    return (
      <Link to="/operations/$id" params={{ id: target }} className={link}>
        {formatCount(action.startsWith('bulk') ? matched : changed)}
        {!action.startsWith('bulk') && matched > changed && ` of ${formatCount(matched)}`} tasks
      </Link>
    )
  }
  if (target !== undefined) return <Target action={action} target={target} nameOf={nameOf} />
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

const link = 'text-run hover:underline'

/** Whether the target of an action is a bulk operation. */
const isOperation = (action: string): boolean =>
  action.startsWith('bulk ') || (COMMANDS as readonly string[]).includes(action)

function Target({ action, target, nameOf }: { action: string; target: string; nameOf: NameOf }) {
  const workers = useWorkers()
  const [kind] = action.split(' ')
  switch (kind) {
    case 'queue':
      return (
        <Link to="/tasks" search={{ queue: target }} className={link}>
          <Foreign text={target} max={80} />
        </Link>
      )
    case 'schedule':
      return (
        <Link to="/schedules" search={{ name: target }} className={link}>
          <Foreign text={target} max={80} />
        </Link>
      )
    case 'error':
      return (
        <Link
          to="/errors/$fingerprint"
          params={{ fingerprint: target }}
          className={`font-mono text-xs break-all ${link}`}
        >
          <Foreign text={target} max={40} />
        </Link>
      )
    case 'retention':
      return <Foreign text={target} max={120} />
  }
  const name = kind === 'worker' ? workers.get(target)?.name : kind === 'key' ? nameOf(target) : undefined
  if (name !== undefined) return <Foreign text={name} max={60} />
  return (
    <code className="font-mono text-xs break-all">
      <Foreign text={target} max={120} />
    </code>
  )
}
