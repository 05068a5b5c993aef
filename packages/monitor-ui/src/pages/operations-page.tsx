import { getRouteApi, Link } from '@tanstack/react-router'
import type { BulkRow, WireError } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { CircleAlert, CircleCheck, CircleStop, LoaderCircle, type LucideIcon, Square, Undo2 } from 'lucide-react'
import { Button } from '../components/button.tsx'
import { ErrorText } from '../components/error-text.tsx'
import { Fact } from '../components/fact.tsx'
import { Foreign } from '../components/foreign.tsx'
import { Listing } from '../components/listing.tsx'
import { Names } from '../components/names.tsx'
import { EmptyNote, Problem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { ProgressBar } from '../components/progress-bar.tsx'
import { Refresh } from '../components/refresh.tsx'
import { type Column, Table } from '../components/table.tsx'
import { TaskLink } from '../components/task-link.tsx'
import { Time } from '../components/time.tsx'
import { useAct } from '../components/use-act.ts'
import { useCan } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { useKeyNames } from '../live/use-key-names.ts'
import { COMMAND_WORDS } from '../view/commands.ts'
import { formatCount } from '../view/counts.ts'
import { formatAge } from '../view/format.ts'
import { operationTitle, ratioOf, undoOf } from '../view/operations.ts'

const PROGRESS_MS = 1_000
const AGAIN_MS = 10_000
const SHOWN = 200

const STATES: Record<BulkRow['state'], { label: string; icon: LucideIcon; tone: string }> = {
  running: { label: 'Running', icon: LoaderCircle, tone: 'text-run' },
  stopping: { label: 'Stopping', icon: LoaderCircle, tone: 'text-run' },
  stopped: { label: 'Stopped', icon: CircleStop, tone: 'text-warn' },
  completed: { label: 'Completed', icon: CircleCheck, tone: 'text-done' },
  failed: { label: 'Failed', icon: CircleAlert, tone: 'text-bad' },
}

const route = getRouteApi('/operations/$id')
const link = 'text-run hover:underline'

/** The bulk operations of the last 30 days. */
export function OperationsPage() {
  const client = useFleetClient()
  const now = useServerTime()
  const names = useKeyNames()
  const { answer, at, error, tryAgain } = useAsked(() => client.bulk.list({ limit: SHOWN }), {
    key: 'operations',
    everyMs: AGAIN_MS,
  })
  const columns: Column<BulkRow>[] = [
    {
      title: 'Operation',
      className: 'align-top sm:min-w-44 font-medium',
      cell: (bulk) => (
        <Link to="/operations/$id" params={{ id: bulk._id }} className={link}>
          {operationTitle(bulk)}
        </Link>
      ),
    },
    { title: 'State', className: 'align-top', cell: (bulk) => <State bulk={bulk} /> },
    { title: 'Changed', number: true, className: 'align-top', cell: ({ changed }) => formatCount(changed) },
    {
      title: 'Refused',
      number: true,
      className: 'align-top',
      cell: ({ refused }) => <span className={refused > 0 ? 'text-bad' : 'text-dim'}>{formatCount(refused)}</span>,
    },
    { title: 'Who', className: 'align-top', cell: ({ by }) => <Foreign text={names.get(by) ?? by} max={60} /> },
    {
      title: 'Started',
      className: 'align-top sm:whitespace-nowrap',
      cell: ({ startedAt }) => <Time at={startedAt} now={now} />,
    },
    {
      title: 'Details',
      className: 'align-top sm:min-w-40',
      cell: ({ reason, filter }) => <Foreign text={reason ?? filter ?? ''} max={200} className="text-dim" />,
    },
  ]
  return (
    <Page
      title="Operations"
      head={
        <>
          <p className="text-dim">Commands on many tasks in the last 30 days, newest first.</p>
          <Refresh at={at} now={now} onRefresh={tryAgain} />
        </>
      }
    >
      <Listing
        views={[{ error, tryAgain }]}
        loaded={answer !== undefined}
        count={answer?.length ?? 0}
        empty={{
          title: 'There are no operations yet',
          hint: 'A command on more than 100 tasks becomes one: select tasks on the page Tasks.',
        }}
      >
        <Table
          label="Operations"
          columns={columns}
          rows={answer ?? []}
          keyOf={({ _id }) => _id}
          attributes={({ _id }) => ({ 'data-operation': _id })}
        />
      </Listing>
    </Page>
  )
}

function State({ bulk: { state } }: { bulk: BulkRow }) {
  const { label, icon: Icon, tone } = STATES[state]
  return (
    <span className={`inline-flex items-center gap-1 font-medium whitespace-nowrap ${tone}`}>
      <Icon size={14} aria-hidden className={state === 'running' ? 'motion-safe:animate-spin' : ''} /> {label}
    </span>
  )
}

/** A bulk operation: its progress, and its result. */
export function OperationPage() {
  const { id } = route.useParams()
  const client = useFleetClient()
  const now = useServerTime()
  const { answer, error, tryAgain } = useAsked(() => client.bulk.show({ id }), {
    key: `operation ${id}`,
    everyMs: PROGRESS_MS,
  })
  if (answer === undefined || answer._id !== id) return <Loading error={error} />
  return <Operation bulk={answer} now={now} onChange={tryAgain} />
}

function Loading({ error }: { error: WireError | undefined }) {
  if (error?.code === 'NOT_FOUND' || error?.code === 'BAD_ID') {
    return (
      <Page title="Operation">
        <EmptyNote title="There is no such operation">
          Operations are kept for 30 days. A key that is limited to queues or names sees only its own.
        </EmptyNote>
      </Page>
    )
  }
  return (
    <Page title="Operation">
      {error === undefined ? <p className="text-dim">Loading…</p> : <Problem text={error.message} />}
    </Page>
  )
}

function Operation({ bulk, now, onChange }: { bulk: BulkRow; now: number; onChange: () => void }) {
  const names = useKeyNames()
  const { matched, changed, unchanged, refused, state, startedAt, endedAt, by, command } = bulk
  const nameOf = (id: string): string => names.get(id) ?? id
  const ended = endedAt === undefined ? undefined : Date.parse(endedAt)
  const ratio = ratioOf(bulk)
  const tone =
    state === 'failed' ? 'text-bad' : state === 'stopped' ? 'text-warn' : ended === undefined ? 'text-run' : 'text-done'
  return (
    <Page
      title={operationTitle(bulk)}
      head={
        <>
          <State bulk={bulk} />
          <Actions bulk={bulk} now={now} onChange={onChange} />
        </>
      }
    >
      <section className="panel p-3" aria-label="Progress" data-testid="operation" data-state={state}>
        <ProgressBar ratio={ratio} label="Progress" tall tone={tone} />
        <p role="status" className="mt-2 tabular-nums">
          {formatCount(changed + unchanged + refused)} of {formatCount(matched)} done
          {ended !== undefined && ` in ${formatAge(ended - Date.parse(startedAt))}`}
        </p>
        <dl className="mt-2 flex flex-wrap gap-x-6 gap-y-1">
          <Count label={COMMAND_WORDS[command].done} count={changed} />
          <Count label="unchanged" count={unchanged} title="They had the wanted state already" />
          <Count label="refused" count={refused} bad />
          {endedAt !== undefined && matched > changed + unchanged + refused && (
            <Count label="left as they were" count={matched - changed - unchanged - refused} />
          )}
        </dl>
        {bulk.error !== undefined && (
          <p className="mt-2 text-bad">
            <ErrorText error={bulk.error} max={300} />
          </p>
        )}
      </section>
      <section className="panel p-3" aria-label="Details">
        <dl className="grid gap-x-6 gap-y-1.5 sm:grid-cols-2">
          <Fact label="Started">
            <Time at={startedAt} now={now} /> by <Foreign text={nameOf(by)} max={60} />
          </Fact>
          {endedAt !== undefined && (
            <Fact label="Ended">
              <Time at={endedAt} now={now} />
            </Fact>
          )}
          {bulk.stoppedBy !== undefined && (
            <Fact label="Stopped by">
              <Foreign text={nameOf(bulk.stoppedBy)} max={60} />
            </Fact>
          )}
          {bulk.reason !== undefined && (
            <Fact label="Reason">
              <Foreign text={bulk.reason} max={300} />
            </Fact>
          )}
          <Fact label="Tasks">
            {bulk.undoes !== undefined ? (
              <>
                that{' '}
                <Link to="/operations/$id" params={{ id: bulk.undoes }} className={link}>
                  an earlier operation
                </Link>{' '}
                changed
              </>
            ) : bulk.filter === undefined ? (
              'that were selected'
            ) : (
              <code className="font-mono text-xs break-all">
                <Foreign text={bulk.filter} max={600} />
              </code>
            )}
          </Fact>
          {(bulk.queues ?? bulk.names) !== undefined && (
            <Fact label="Its key">
              is limited to <Foreign text={[...(bulk.queues ?? []), ...(bulk.names ?? [])].join(', ')} max={200} />
            </Fact>
          )}
          {bulk.undoneBy !== undefined && (
            <Fact label="Undone">
              <Link to="/operations/$id" params={{ id: bulk.undoneBy }} className={link}>
                by another operation
              </Link>
            </Fact>
          )}
        </dl>
      </section>
      {bulk.refusals.length > 0 && (
        <section className="panel p-3" aria-label="Refused tasks">
          <h2 className="heading mb-2">Refused</h2>
          <ul className="flex flex-col gap-2">
            {bulk.refusals.map(({ code, message, count, tasks }) => (
              <li key={`${code} ${message}`} data-testid="refusal">
                <p>
                  <span className="font-semibold">{formatCount(count)}×</span>{' '}
                  <ErrorText error={{ code, message }} max={240} />
                </p>
                <p className="mt-0.5 text-xs">
                  <Names names={tasks} most={5}>
                    {(task) => <TaskLink id={task} />}
                  </Names>
                  {count > tasks.length && <span className="text-dim">; only the first {tasks.length} are kept</span>}
                </p>
              </li>
            ))}
          </ul>
        </section>
      )}
      <p className="text-xs text-dim">
        <Link to="/operations" className={link}>
          All operations
        </Link>
      </p>
    </Page>
  )
}

/** Stops it while it runs, and undoes it afterwards. */
function Actions({ bulk, now, onChange }: { bulk: BulkRow; now: number; onChange: () => void }) {
  const client = useFleetClient()
  const navigate = route.useNavigate()
  const mayControl = useCan('control')
  const { busy, actAside } = useAct()
  const undo = undoOf(bulk, now)
  if (!mayControl) return null
  const stop = () =>
    actAside(async () => {
      await client.bulk.stop({ id: bulk._id })
      onChange()
      return 'Stopping: the remaining tasks stay as they are'
    })
  const takeBack = () =>
    actAside(async () => {
      const started = await client.bulk.undo({ id: bulk._id })
      await navigate({ to: '/operations/$id', params: { id: started._id } })
      return `Started: ${operationTitle(started)}`
    })
  return (
    <div role="group" aria-label="Actions" className="flex gap-2 sm:ml-auto">
      {bulk.state === 'running' && (
        <Button icon={Square} look="bad" disabled={busy} onClick={stop}>
          Stop
        </Button>
      )}
      {undo !== undefined && (
        <Button icon={Undo2} disabled={busy} onClick={takeBack}>
          {undo}
        </Button>
      )}
    </div>
  )
}

function Count({ label, count, title, bad = false }: { label: string; count: number; title?: string; bad?: boolean }) {
  return (
    <div title={title} className="flex flex-row-reverse items-baseline gap-1.5">
      <dt className="text-dim">{label}</dt>
      <dd className={`text-lg leading-tight font-semibold ${bad && count > 0 ? 'text-bad' : ''}`}>
        {formatCount(count)}
      </dd>
    </div>
  )
}
