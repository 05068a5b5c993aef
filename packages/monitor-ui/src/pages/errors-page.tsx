import { getRouteApi, Link } from '@tanstack/react-router'
import type { CommandName, ErrorRow, ErrorState } from '@taskfleet/protocol'
import { useLiveQuery, useServerTime } from '@taskfleet/react'
import { CopyPlus, RotateCcw } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../components/button.tsx'
import { ErrorMark, ErrorMarks } from '../components/error-marks.tsx'
import { ErrorText } from '../components/error-text.tsx'
import { Foreign } from '../components/foreign.tsx'
import { type Empty, HeldList } from '../components/listing.tsx'
import { Names } from '../components/names.tsx'
import { Page } from '../components/page.tsx'
import { Tabs } from '../components/tabs.tsx'
import { Time } from '../components/time.tsx'
import { TrendBars } from '../components/trend-bars.tsx'
import { useCan } from '../live/hooks.ts'
import { ERROR_LIMIT, errorsOf } from '../live/queries.ts'
import { BulkDialog } from '../shell/dialogs.tsx'
import { countOf } from '../view/counts.ts'

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
      title="Errors"
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
          <Link
            to="/errors/$fingerprint"
            params={{ fingerprint: error._id }}
            className="flex flex-wrap items-baseline gap-x-2 hover:underline"
          >
            <ErrorText error={error} max={300} className="min-w-0 font-medium" />
          </Link>
          <p className="mt-1 flex flex-wrap gap-x-3 text-xs text-dim">
            <span>
              seen <Time at={error.lastSeenAt} now={now} />
            </span>
            <span>
              first <Time at={error.firstSeenAt} now={now} />
            </span>
            {error.reopened > 0 && (
              <span className="text-warn">came back {error.reopened === 1 ? 'once' : `${error.reopened} times`}</span>
            )}
            <ErrorMark error={error} now={now} />
            {error.owner !== undefined && (
              <span>
                owner <Foreign text={error.owner} max={60} className="font-medium text-text" />
              </span>
            )}
          </p>
          {error.note !== undefined && (
            <p className="mt-1 text-xs">
              <Foreign text={error.note.replace(/\s+/g, ' ')} max={200} />
            </p>
          )}
        </div>
        <div className="flex items-center gap-4">
          <TrendBars trend={error.trend} now={now} />
          <p className="w-22 text-right">
            <span className="block text-lg leading-tight font-semibold">{error.count.toLocaleString('en')}</span>
            <span className="text-xs whitespace-nowrap text-dim">
              {error.count === 1 ? 'failed attempt' : 'failed attempts'}
            </span>
          </p>
        </div>
      </div>
      <dl className="mt-2 grid gap-x-6 gap-y-1 text-xs sm:grid-cols-3">
        <NameList label="Tasks" names={error.versions.length > 0 ? error.versions : error.tasks} />
        <NameList label="Hosts" names={error.hosts} />
      </dl>
      {mayControl && !gone && (
        <div role="group" aria-label="Actions" className="mt-2 flex flex-wrap justify-end gap-2">
          <Button icon={RotateCcw} onClick={() => onBulk('retry')}>
            Retry all
          </Button>
          <Button icon={CopyPlus} onClick={() => onBulk('replay')}>
            Replay all
          </Button>
          <ErrorMarks error={error} />
        </div>
      )}
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
