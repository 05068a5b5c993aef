import { getRouteApi } from '@tanstack/react-router'
import type { CommandName, ErrorRow, ErrorState } from '@taskfleet/protocol'
import { useFleetClient, useHeldRows, useLiveQuery, useServerTime } from '@taskfleet/react'
import { BellOff, CheckCheck, CopyPlus, RotateCcw, Undo2 } from 'lucide-react'
import { useState } from 'react'
import { Copyable } from '../components/copy.tsx'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { RowsPill } from '../components/rows-pill.tsx'
import { Stack } from '../components/stack.tsx'
import { TaskLink } from '../components/task-link.tsx'
import { TrendBars } from '../components/trend-bars.tsx'
import { useAct } from '../components/use-act.ts'
import { usePointing } from '../components/use-pointing.ts'
import { useCan } from '../live/hooks.ts'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { formatAge, formatTime } from '../view/format.ts'

const route = getRouteApi('/errors')

const TABS: Record<ErrorState, { label: string; none: string; hint: string }> = {
  open: {
    label: 'Open',
    none: 'No error is open',
    hint: 'What goes wrong shows up here at once, grouped by its cause.',
  },
  resolved: { label: 'Resolved', none: 'No error is resolved', hint: 'One that comes back is open again.' },
  ignored: {
    label: 'Ignored',
    none: 'No error is ignored',
    hint: 'Those whose time is over are open when they come back.',
  },
}

const HOUR_MS = 3_600_000
/** For how long an error may be ignored. */
const PAUSES: [label: string, ms: number | undefined][] = [
  ['1 h', HOUR_MS],
  ['1 d', 24 * HOUR_MS],
  ['7 d', 7 * 24 * HOUR_MS],
  ['until I say', undefined],
]

export function ErrorsPage() {
  const { state = 'open' } = route.useSearch()
  const navigate = route.useNavigate()
  const now = useServerTime()
  const { rows, loaded, error, tryAgain } = useLiveQuery(errorsOf(state))
  const { busy, region } = usePointing()
  const { rows: shown, entered, moved, apply } = useHeldRows(state, rows, busy)
  const [bulk, setBulk] = useState<{ command: 'retry' | 'replay'; error: ErrorRow }>()

  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-base font-semibold">Recurring errors</h1>
        <div role="tablist" aria-label="State" className="flex gap-1 rounded-lg bg-raised p-1">
          {(Object.keys(TABS) as ErrorState[]).map((one) => (
            <button
              key={one}
              type="button"
              role="tab"
              aria-selected={state === one}
              className={`rounded-md px-3 py-1 font-medium ${state === one ? 'bg-panel shadow-sm' : 'text-dim hover:text-text'}`}
              onClick={() => void navigate({ search: one === 'open' ? {} : { state: one }, replace: true })}
            >
              {TABS[one].label}
            </button>
          ))}
        </div>
        <p role="status" className="text-xs text-dim">
          {loaded && `${rows.length}${rows.length >= ERROR_LIMIT ? '+' : ''} ${rows.length === 1 ? 'error' : 'errors'}`}
        </p>
      </div>
      <RowsProblem views={[{ error, tryAgain }]} />
      <div role="tabpanel" aria-label={`${TABS[state].label} errors`} className="relative" {...region}>
        <RowsPill entered={entered} moved={moved} onApply={apply} className="top-2" />
        {shown.length === 0 && error === undefined && (
          <EmptyNote title={loaded ? TABS[state].none : 'Asking the gateway…'}>
            {loaded ? TABS[state].hint : undefined}
          </EmptyNote>
        )}
        {shown.length > 0 && (
          <ul className="flex flex-col gap-2" aria-label="Errors">
            {shown.map(({ row, gone }) => (
              <ErrorGroup
                key={row._id}
                error={row}
                gone={gone}
                now={now}
                onBulk={(command) => setBulk({ command, error: row })}
              />
            ))}
          </ul>
        )}
      </div>
      {rows.length >= ERROR_LIMIT && (
        <p className="text-xs text-dim">Only the {ERROR_LIMIT} that were seen last are shown.</p>
      )}
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
    </div>
  )
}

interface GroupProps {
  error: ErrorRow
  /** It has left the list and only keeps its place while somebody points there. */
  gone: boolean
  now: number
  onBulk: (command: CommandName & ('retry' | 'replay')) => void
}

/** Errors that are the same fault: what, how often, where and since when. */
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
            <span className="font-mono text-xs font-semibold text-bad">
              <Foreign text={error.code} max={60} />
            </span>
            <Foreign text={error.message} max={300} className="min-w-0 font-medium" />
          </p>
          <p className="mt-1 flex flex-wrap gap-x-3 text-xs text-dim">
            <span title={formatTime(error.lastSeenAt)}>seen {ago(error.lastSeenAt)}</span>
            <span title={formatTime(error.firstSeenAt)}>first {ago(error.firstSeenAt)}</span>
            {error.reopened > 0 && (
              <span className="text-warn">
                came back {error.reopened === 1 ? 'once' : `${error.reopened} times`} after it was settled
              </span>
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
        <Names label="Tasks" names={error.versions.length > 0 ? error.versions : error.tasks} />
        <Names label="Hosts" names={error.hosts} />
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

const NAMES_SHOWN = 6

function Names({ label, names }: { label: string; names: readonly string[] }) {
  return (
    <div className="flex min-w-0 gap-2">
      <dt className="shrink-0 text-dim">{label}</dt>
      <dd className="min-w-0">
        {names.slice(0, NAMES_SHOWN).map((name, index) => (
          <span key={name}>
            {index > 0 && ', '}
            <Foreign text={name} max={60} />
          </span>
        ))}
        {names.length > NAMES_SHOWN && <span className="text-dim"> and {names.length - NAMES_SHOWN} more</span>}
        {names.length === 0 && '–'}
      </dd>
    </div>
  )
}

/** Who settled it, and until when. */
function Marked({ error, now }: { error: ErrorRow; now: number }) {
  const { marked, state, ignoredUntil } = error
  if (state === 'open' || marked === undefined) return null
  const until = ignoredUntil === undefined ? undefined : Date.parse(ignoredUntil)
  return (
    <span>
      {state} by <Foreign text={marked.by} max={40} /> {formatAge(now - Date.parse(marked.at))} ago
      {state === 'ignored' &&
        (until === undefined
          ? ', until somebody says otherwise'
          : until > now
            ? `, for ${formatAge(until - now)} more`
            : '; its time is over, so that it is open when it comes back')}
    </span>
  )
}

function GroupActions({ error, onBulk }: { error: ErrorRow; onBulk: GroupProps['onBulk'] }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const { busy, actAside } = useAct()
  const mark = (state: ErrorState, forMs?: number) =>
    actAside(async () => {
      const until =
        forMs === undefined ? {} : { until: new Date(Date.now() + client.clockOffset + forMs).toISOString() }
      await client.errors.mark({ fingerprint: error._id, state, ...until })
      toast({ kind: 'good', text: `${state === 'open' ? 'Open again' : TABS[state].label}: ${error.code}` })
    })
  return (
    <div role="group" aria-label="Actions" className="flex flex-wrap gap-2">
      <button type="button" className="button" onClick={() => onBulk('retry')}>
        <RotateCcw size={14} aria-hidden /> Retry all
      </button>
      <button type="button" className="button" onClick={() => onBulk('replay')}>
        <CopyPlus size={14} aria-hidden /> Replay all
      </button>
      {error.state !== 'open' && (
        <button type="button" className="button" disabled={busy} onClick={() => mark('open')}>
          <Undo2 size={14} aria-hidden /> Reopen
        </button>
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
        <button type="button" className="button" disabled={busy} onClick={() => mark('resolved')}>
          <CheckCheck size={14} aria-hidden /> Resolve
        </button>
      )}
    </div>
  )
}
