import { getRouteApi } from '@tanstack/react-router'
import type { CommandName, ErrorRow, ErrorState } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime } from '@taskfleet/react'
import { BellOff, CheckCheck, CopyPlus, RotateCcw, Undo2 } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../components/button.tsx'
import { Copyable } from '../components/copy.tsx'
import { ErrorText } from '../components/error-text.tsx'
import { Foreign } from '../components/foreign.tsx'
import { type Empty, HeldList } from '../components/listing.tsx'
import { Names } from '../components/names.tsx'
import { Page } from '../components/page.tsx'
import { Stack } from '../components/stack.tsx'
import { Tabs } from '../components/tabs.tsx'
import { TaskLink } from '../components/task-link.tsx'
import { TrendBars } from '../components/trend-bars.tsx'
import { useAct } from '../components/use-act.ts'
import { useCan } from '../live/hooks.ts'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import { countOf } from '../view/counts.ts'
import { formatAge, formatTime } from '../view/format.ts'

const route = getRouteApi('/errors')

const TABS: Record<ErrorState, Empty & { label: string }> = {
  open: { label: 'Open', title: 'No error is open', hint: 'Errors are grouped by their cause.' },
  resolved: {
    label: 'Resolved',
    title: 'No error is resolved',
    hint: 'A resolved error opens again when it comes back.',
  },
  ignored: {
    label: 'Ignored',
    title: 'No error is ignored',
    hint: 'After its time, an ignored error opens again when it comes back.',
  },
}

const HOUR_MS = 3_600_000
/** For how long an error can be ignored. */
const PAUSES: [label: string, ms: number | undefined][] = [
  ['1 h', HOUR_MS],
  ['1 d', 24 * HOUR_MS],
  ['7 d', 7 * 24 * HOUR_MS],
  ['until I reopen it', undefined],
]

export function ErrorsPage() {
  const { state = 'open' } = route.useSearch()
  const navigate = route.useNavigate()
  const now = useServerTime()
  const view = useLiveQuery(errorsOf(state))
  const { rows, loaded } = view
  const isCut = rows.length >= ERROR_LIMIT
  const [bulk, setBulk] = useState<{ command: 'retry' | 'replay'; error: ErrorRow }>()
  const select = (one: ErrorState) => navigate({ search: one === 'open' ? {} : { state: one }, replace: true })

  return (
    <Page
      title="Recurring errors"
      head={
        <>
          <Tabs label="State" tabs={TABS} selected={state} onSelect={(one) => void select(one)} />
          <p role="status" className="text-xs text-dim">
            {loaded && countOf(rows.length, 'error', isCut)}
          </p>
        </>
      }
    >
      <HeldList role="tabpanel" label={`${TABS[state].label} errors`} query={state} view={view} empty={TABS[state]}>
        {(error, gone, key) => (
          <ErrorGroup key={key} error={error} gone={gone} now={now} onBulk={(command) => setBulk({ command, error })} />
        )}
      </HeldList>
      {isCut && <p className="text-xs text-dim">Only the {ERROR_LIMIT} errors that were seen last are shown.</p>}
      {bulk !== undefined && (
        <BulkDialog
          command={bulk.command}
          target={{
            kind: 'filter',
            filter: { 'error.fingerprint': bulk.error._id, status: 'failed' },
            what: 'that failed with this error',
          }}
          onClose={() => setBulk(undefined)}
        />
      )}
    </Page>
  )
}

interface GroupProps {
  error: ErrorRow
  /** It has left the list, and keeps its place only while the user points there. */
  gone: boolean
  now: number
  onBulk: (command: CommandName & ('retry' | 'replay')) => void
}

/** A group of the same error: its message, count, hosts and dates. */
function ErrorGroup({ error, gone, now, onBulk }: GroupProps) {
  const mayControl = useCan('control')
  const ago = (at: string) => `${formatAge(now - Date.parse(at))} ago`
  return (
    <li
      data-testid="error-group"
      data-error={error._id}
      data-state={error.state}
      data-gone={gone || undefined}
      className={`panel dims p-3 ${gone ? 'opacity-40' : ''}`}
    >
      <div className="flex flex-wrap items-start gap-x-4 gap-y-2">
        <div className="min-w-0 flex-1 basis-72">
          <p className="flex flex-wrap items-baseline gap-x-2">
            <ErrorText error={error} max={300} className="min-w-0 font-medium" />
          </p>
          <p className="mt-1 flex flex-wrap gap-x-3 text-xs text-dim">
            <span title={formatTime(error.lastSeenAt)}>seen {ago(error.lastSeenAt)}</span>
            <span title={formatTime(error.firstSeenAt)}>first {ago(error.firstSeenAt)}</span>
            {error.reopened > 0 && (
              <span className="text-warn">came back {error.reopened === 1 ? 'once' : `${error.reopened} times`}</span>
            )}
            <Marked error={error} now={now} />
          </p>
        </div>
        <div className="flex items-center gap-4">
          <TrendBars trend={error.trend} now={now} />
          <p className="w-16 text-right">
            <span className="block text-lg leading-tight font-semibold">{error.count.toLocaleString('en')}</span>
            <span className="text-xs text-dim">failures</span>
          </p>
        </div>
      </div>
      <dl className="mt-2 grid gap-x-6 gap-y-1 text-xs sm:grid-cols-3">
        <NameList label="Tasks" names={error.versions.length > 0 ? error.versions : error.tasks} />
        <NameList label="Hosts" names={error.hosts} />
      </dl>
      <div className="mt-2 flex flex-wrap items-start gap-x-4 gap-y-2">
        <details className="min-w-0 flex-1 basis-72">
          <summary className="w-fit text-xs font-medium text-dim hover:text-text">Stack and sample tasks</summary>
          <p className="mt-1.5 text-xs text-dim">
            <Foreign text={error.name} max={60} /> · fingerprint{' '}
            <Copyable text={error._id} label="fingerprint" max={24} />
          </p>
          <p className="mt-1 flex flex-wrap gap-x-3 gap-y-0.5">
            {error.samples.length === 0 && <span className="text-xs text-dim">No sample task is known.</span>}
            {error.samples.toReversed().map((id) => (
              <TaskLink key={id} id={id} />
            ))}
          </p>
          <Stack stack={error.stack} />
        </details>
        {mayControl && !gone && <GroupActions error={error} onBulk={onBulk} />}
      </div>
    </li>
  )
}

function NameList({ label, names }: { label: string; names: readonly string[] }) {
  return (
    <div className="flex min-w-0 gap-2">
      <dt className="shrink-0 text-dim">{label}</dt>
      <dd className="min-w-0">{names.length === 0 ? '–' : <Names names={names} most={6} />}</dd>
    </div>
  )
}

/** Who resolved or ignored it, and until when. */
function Marked({ error, now }: { error: ErrorRow; now: number }) {
  const { marked, state, ignoredUntil } = error
  if (state === 'open' || marked === undefined) return null
  const until = ignoredUntil === undefined ? undefined : Date.parse(ignoredUntil)
  return (
    <span>
      {state} by <Foreign text={marked.by} max={40} /> {formatAge(now - Date.parse(marked.at))} ago
      {state === 'ignored' &&
        (until === undefined
          ? ', until it is reopened'
          : until > now
            ? `, for ${formatAge(until - now)} more`
            : '; its time is over, so it opens again when it comes back')}
    </span>
  )
}

function GroupActions({ error, onBulk }: { error: ErrorRow; onBulk: GroupProps['onBulk'] }) {
  const client = useFleetClient()
  const { busy, actAside } = useAct()
  const mark = (state: ErrorState, forMs?: number) =>
    actAside(async () => {
      const until =
        forMs === undefined ? {} : { until: new Date(Date.now() + client.clockOffset + forMs).toISOString() }
      await client.errors.mark({ fingerprint: error._id, state, ...until })
      return `${state === 'open' ? 'Open again' : TABS[state].label}: ${error.code}`
    })
  return (
    <div role="group" aria-label="Actions" className="flex flex-wrap gap-2">
      <Button icon={RotateCcw} onClick={() => onBulk('retry')}>
        Retry all
      </Button>
      <Button icon={CopyPlus} onClick={() => onBulk('replay')}>
        Replay all
      </Button>
      {error.state !== 'open' && (
        <Button icon={Undo2} disabled={busy} onClick={() => mark('open')}>
          Reopen
        </Button>
      )}
      {error.state === 'open' && (
        <span className="button relative pr-7 has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-run">
          <BellOff size={14} aria-hidden /> Ignore
          <select
            aria-label="Ignore for"
            className="absolute inset-0 w-full cursor-pointer opacity-0"
            disabled={busy}
            value=""
            onChange={(event) => {
              const chosen = PAUSES[Number(event.target.value)]
              if (chosen !== undefined) mark('ignored', chosen[1])
            }}
          >
            <option value="" disabled>
              Ignore…
            </option>
            {PAUSES.map(([label], index) => (
              <option key={label} value={String(index)}>
                {label}
              </option>
            ))}
          </select>
          <span aria-hidden className="absolute right-2.5 text-[10px] text-dim">
            ▾
          </span>
        </span>
      )}
      {error.state !== 'resolved' && (
        <Button icon={CheckCheck} disabled={busy} onClick={() => mark('resolved')}>
          Resolve
        </Button>
      )}
    </div>
  )
}
