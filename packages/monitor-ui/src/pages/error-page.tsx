import { getRouteApi, Link } from '@tanstack/react-router'
import type { ErrorRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { CircleAlert, CircleCheck, CircleMinus } from 'lucide-react'
import { Copyable } from '../components/copy.tsx'
import { ErrorMark, ErrorMarks } from '../components/error-marks.tsx'
import { ErrorNotes } from '../components/error-notes.tsx'
import { ErrorPlaces } from '../components/error-places.tsx'
import { ErrorTasks } from '../components/error-tasks.tsx'
import { ErrorText } from '../components/error-text.tsx'
import { Fact } from '../components/fact.tsx'
import { Foreign } from '../components/foreign.tsx'
import { LookMark } from '../components/look-mark.tsx'
import { Names } from '../components/names.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { Stack } from '../components/stack.tsx'
import { Time } from '../components/time.tsx'
import { TrendBars } from '../components/trend-bars.tsx'
import { useCan } from '../live/hooks.ts'
import { failedWith, oneError } from '../live/queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { useKeyNames } from '../live/use-key-names.ts'
import { formatCount } from '../view/counts.ts'
import type { Look } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'

const DEPLOYS_MS = 60_000
const TREND_MS = 47 * 3_600_000
const MOST_DEPLOYS = 5

const route = getRouteApi('/errors/$fingerprint')

const STATE: Record<ErrorRow['state'], Look> = {
  open: { icon: CircleAlert, label: 'Open', tone: 'text-bad' },
  resolved: { icon: CircleCheck, label: 'Resolved', tone: 'text-done' },
  ignored: { icon: CircleMinus, label: 'Ignored', tone: 'text-dim' },
}

/** A group of the same error: what it is, where and since when it happens, and its tasks. */
export function ErrorPage() {
  const { fingerprint } = route.useParams()
  const view = useLiveQuery(oneError(fingerprint))
  const [error] = view.rows
  if (error !== undefined) return <ErrorView error={error} />
  return (
    <Page title="Error" head={<ToErrors />}>
      {view.error?.code === 'FORBIDDEN' ? (
        <EmptyNote title="This key may not read errors">
          <Foreign text={view.error.message} max={300} />
        </EmptyNote>
      ) : view.error !== undefined ? (
        <RowsProblem views={[view]} />
      ) : view.loaded ? (
        <EmptyNote title="There is no such error">
          An error is kept for 90 days after its last failure. The address may also be cut off.
        </EmptyNote>
      ) : (
        <EmptyNote title="Loading…" />
      )}
    </Page>
  )
}

const ToErrors = () => (
  <Link to="/errors" className="text-run hover:underline">
    All errors
  </Link>
)

function ErrorView({ error }: { error: ErrorRow }) {
  const now = useServerTime()
  const mayControl = useCan('control')
  const keyNames = useKeyNames()
  const by = error.marked?.by
  const kept = useStats(failedWith(error._id, error.firstSeenAt, undefined))
  const failedTasks = kept.stats?.byStatus.failed
  const deploys = useDeploys(error.tasks, now)
  return (
    <Page
      title={visibleLine(error.code, 60)}
      head={
        <>
          <ToErrors />
          <LookMark look={STATE[error.state]} />
          {mayControl && (
            <div role="group" aria-label="Actions" className="flex flex-wrap gap-2 sm:ml-auto">
              <ErrorMarks error={error} />
            </div>
          )}
        </>
      }
    >
      <div data-testid="error-page" data-state={error.state} className="grid gap-3 lg:grid-cols-[minmax(0,1fr)_400px]">
        <section className="panel dims min-w-0 p-3" aria-label="Error">
          <p className="text-sm">
            <ErrorText error={error} max={1_000} className="font-medium" />
          </p>
          <dl className="mt-3 grid gap-x-6 gap-y-1.5 sm:grid-cols-2">
            <Fact label="Handlers">
              <Names names={error.versions.length > 0 ? error.versions : error.tasks} most={8}>
                {(type) => (
                  <Link
                    to="/tasks"
                    search={{ name: type.replace(/@\d+$/, ''), status: ['failed'] }}
                    className="hover:underline"
                  >
                    <Foreign text={type} max={60} />
                  </Link>
                )}
              </Names>
            </Fact>
            <Fact label="Hosts">
              <Names names={error.hosts} most={8} />
              {error.hosts.length === 0 && '–'}
            </Fact>
            <Fact label="First seen">
              <Time at={error.firstSeenAt} now={now} />
            </Fact>
            <Fact label="Last seen">
              <Time at={error.lastSeenAt} now={now} />
            </Fact>
            <Fact label="Came back">
              {error.reopened === 0 ? 'never' : error.reopened === 1 ? 'once' : `${error.reopened} times`}
            </Fact>
            {error.state !== 'open' && error.marked !== undefined && (
              <Fact label="Marked">
                <ErrorMark error={error} now={now} by={by === undefined ? undefined : keyNames.get(by)} />
              </Fact>
            )}
          </dl>
          <p className="mt-2 text-xs text-dim">
            <Foreign text={error.name} max={60} /> · fingerprint{' '}
            <Copyable text={error._id} label="fingerprint" max={24} />
          </p>
          <Stack stack={error.stack} />
        </section>
        <section className="panel dims min-w-0 p-3" aria-label="How often">
          <dl className="mb-2 flex flex-wrap gap-x-6 gap-y-1">
            <Count
              label="failed attempts"
              count={error.count}
              title="Every attempt that failed, also if it was retried"
            />
            <Count
              label="failed tasks"
              count={failedTasks}
              title="Tasks that ended with this error and are still kept; tasks that were retried and completed are not counted"
            />
          </dl>
          <TrendBars trend={error.trend} now={now} large marks={deploys} />
          {deploys.length > 0 && (
            <p className="mt-1 text-xs text-dim">
              <span aria-hidden className="text-run">
                ┆
              </span>{' '}
              Deployed:{' '}
              {deploys.map(({ at, label }, index) => (
                <span key={label}>
                  {index > 0 && ', '}
                  <Foreign text={label} max={60} /> <Time at={new Date(at).toISOString()} now={now} />
                </span>
              ))}
            </p>
          )}
          <p className="mt-1 text-xs text-dim">Failed attempts by hour. An attempt that is retried ends no task.</p>
        </section>
      </div>
      <ErrorNotes error={error} />
      <ErrorPlaces error={error} />
      <ErrorTasks error={error} />
    </Page>
  )
}

/** When versions of these handlers came within the time of the chart. Only those that live workers have now are known. */
function useDeploys(names: readonly string[], now: number): { at: number; label: string }[] {
  const client = useFleetClient()
  const { answer = [] } = useAsked(() => client.handlers.list(), { key: 'deploys', everyMs: DEPLOYS_MS })
  return answer
    .filter(({ name, firstSeenAt }) => firstSeenAt !== undefined && names.includes(name))
    .map(({ name, version, firstSeenAt = '' }) => ({ at: Date.parse(firstSeenAt), label: `${name}@${version}` }))
    .filter(({ at }) => at > now - TREND_MS)
    .sort((a, b) => b.at - a.at)
    .slice(0, MOST_DEPLOYS)
}

function Count({ label, count, title }: { label: string; count: number | undefined; title: string }) {
  return (
    <div title={title} className="flex flex-row-reverse items-baseline gap-1.5">
      <dt className="text-dim">{label}</dt>
      <dd className="text-lg leading-tight font-semibold">{count === undefined ? '–' : formatCount(count)}</dd>
    </div>
  )
}
