import { getRouteApi, Link } from '@tanstack/react-router'
import type { HandlerRow, QueueRow, TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { type ReactNode, useMemo } from 'react'
import { EndedChart } from '../components/ended-chart.tsx'
import { Figure, Figures } from '../components/figure.tsx'
import { Foreign } from '../components/foreign.tsx'
import { HostLink } from '../components/host-link.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { Part } from '../components/part.tsx'
import { QueueActions, QueueState } from '../components/queue-state.tsx'
import { SlotRow } from '../components/slot-row.tsx'
import { type Column, Table } from '../components/table.tsx'
import { WaitingRow } from '../components/waiting-list.tsx'
import { useCan } from '../live/hooks.ts'
import { nextIn, QUEUES, runningIn, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { useAsked } from '../live/use-asked.ts'
import { type HistoryView, useHistory } from '../live/use-history.ts'
import { formatCount, phases } from '../view/counts.ts'
import { formatAge, formatLatency, formatShare } from '../view/format.ts'
import { endsOf, failedShare, groupEnds, mixedPercentile, sumOf } from '../view/history.ts'
import { oldestDue } from '../view/queue-lines.ts'
import { WORKER_LOOK } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'

const AGAIN_MS = 15_000
const route = getRouteApi('/queues/$queue')

export function QueuePage() {
  const { queue } = route.useParams()
  return <OneQueue key={queue} queue={queue} />
}

/** One queue: its settings, what waits, runs and ended, and who serves it. */
function OneQueue({ queue }: { queue: string }) {
  const client = useFleetClient()
  const now = useServerTime()
  const mayControl = useCan('control')
  const queues = useLiveQuery(QUEUES)
  const workers = useLiveQuery(WORKERS)
  const statistics = useStats()
  const running = useLiveQuery(runningIn(queue))
  const next = useLiveQuery(nextIn(queue))
  const coverage = useAsked(() => client.tasks.coverage(), { key: 'coverage', everyMs: AGAIN_MS })
  const handlers = useAsked(() => client.handlers.list(), { key: 'handlers', everyMs: AGAIN_MS })
  const ended = useHistory({ queue })

  const settings = queues.rows.find(({ _id }) => _id === queue)
  const serving = workers.rows.filter((worker) => serves(worker, queue, now))
  const counts = phases(statistics.stats?.byQueue[queue] ?? {})
  const counted = statistics.loaded
  const rows = ended.history?.rows ?? []
  const loaded = queues.loaded && workers.loaded && counted && (ended.at !== undefined || ended.error !== undefined)
  const views = [queues, workers, statistics, running, next, coverage, handlers, ended]
  const exists =
    settings !== undefined || serving.length > 0 || statistics.stats?.byQueue[queue] !== undefined || rows.length > 0
  const title = visibleLine(queue, 60)

  return (
    <Page
      title={title}
      head={
        <>
          <Link to="/queues" className="text-run hover:underline">
            All queues
          </Link>
          {exists && (
            <div className="min-w-0" data-testid="queue-state" data-paused={settings?.paused === true}>
              <QueueState settings={settings} now={now} />
            </div>
          )}
          {exists && mayControl && (
            <div className="sm:ml-auto">
              <QueueActions name={queue} settings={settings} />
            </div>
          )}
        </>
      }
    >
      <RowsProblem views={views} />
      {!exists && !loaded && views.every(({ error }) => error === undefined) && <EmptyNote title="Loading…" />}
      {!exists && loaded && (
        <EmptyNote title={`There is no queue ${title}`}>
          A queue appears when it has a task or when a worker serves it:{' '}
          <code className="font-mono text-text">taskfleet enqueue NAME --queue {title}</code>
        </EmptyNote>
      )}
      {exists && (
        <>
          <QueueFigures
            queue={queue}
            settings={settings}
            waiting={counted ? counts.waiting : undefined}
            running={counted ? counts.running : undefined}
            oldest={coverage.answer === undefined ? undefined : oldestDue(coverage.answer, queue, now)}
            now={now}
            ended={ended}
          />
          <EndedChart title="Ended" ended={ended} />
          <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 lg:grid-cols-2">
            <Part
              title="Running"
              count={counted ? counts.running : undefined}
              all={{ label: 'All running', search: { queue, status: ['running'] } }}
            >
              {running.rows.length === 0 && <Nothing>{running.loaded ? 'No task runs.' : 'Loading…'}</Nothing>}
              {running.rows.map((task) => (
                <SlotRow key={task._id} task={task} worker={workerOf(task, workers.rows)} />
              ))}
            </Part>
            <Part
              title="Next up"
              count={counted ? counts.waiting : undefined}
              all={{
                label: 'All waiting',
                search: { queue, status: ['pending', 'paused', 'blocked'], sort: '-priority' },
              }}
            >
              {next.rows.length === 0 && <Nothing>{next.loaded ? 'No task waits.' : 'Loading…'}</Nothing>}
              <ul aria-label="Waiting tasks">
                {next.rows.map((task) => (
                  <WaitingRow key={task._id} task={task} now={now} gone={false} />
                ))}
              </ul>
            </Part>
          </div>
          <Part title="Served by" count={serving.length}>
            {serving.length === 0 ? (
              <Nothing>
                {counts.waiting > 0 ? (
                  <span className="font-medium text-bad">No live worker serves this queue, so its tasks wait.</span>
                ) : (
                  'No live worker serves this queue.'
                )}{' '}
                Start one with <code className="font-mono text-text">taskfleet worker --queues {title}</code>.
              </Nothing>
            ) : (
              <ul aria-label="Hosts" className="flex flex-wrap gap-x-5 gap-y-1 px-2 py-1">
                {serving.map((worker) => (
                  <li key={worker._id} className="flex items-baseline gap-1.5">
                    <HostLink name={worker.name} className="font-medium" />
                    <span className={`text-xs ${WORKER_LOOK[workerView(worker, now)].tone}`}>
                      {WORKER_LOOK[workerView(worker, now)].label}
                    </span>
                  </li>
                ))}
              </ul>
            )}
          </Part>
          <Handlers queue={queue} handlers={handlers.answer} coverage={coverage.answer} ended={ended} />
        </>
      )}
    </Page>
  )
}

/** Draining and silent workers are still shown: their tasks are in the queue. */
function serves(worker: WorkerRow, queue: string, now: number): boolean {
  const state = workerView(worker, now)
  return worker.role === 'worker' && worker.queues.includes(queue) && state !== 'gone' && state !== 'stopped'
}

const workerOf = ({ worker }: TaskRow, workers: readonly WorkerRow[]) => workers.find(({ _id }) => _id === worker)

interface FiguresProps {
  queue: string
  settings: QueueRow | undefined
  /** Undefined while they are unknown, as are all of these. */
  waiting: number | undefined
  running: number | undefined
  oldest: number | undefined
  now: number
  ended: HistoryView
}

function QueueFigures({ queue, settings, waiting, running, oldest, now, ended: { history } }: FiguresProps) {
  const rows = history?.rows
  const ends = endsOf(rows ?? [])
  const share = failedShare(ends)
  const waits = useMemo(() => rows?.map(({ waitMs }) => waitMs) ?? [], [rows])
  const [p50, p95] = [mixedPercentile(waits, 0.5), mixedPercentile(waits, 0.95)]
  const retried = (rows ?? []).reduce(
    (sum, { outcome, status, count }) => sum + (outcome === 'failed' && status !== 'failed' ? count : 0),
    0,
  )
  const limit = settings?.concurrency
  const full = limit !== undefined && running !== undefined && running >= limit
  const unknown = history === undefined ? '…' : '–'
  return (
    <Figures label="Figures">
      <Figure
        label="Running"
        value={running === undefined ? '…' : formatCount(running)}
        of={limit === undefined ? 'no limit' : `of at most ${formatCount(limit)}`}
        tone={full ? 'text-warn' : ''}
      />
      <Figure
        label="Waiting"
        value={waiting === undefined ? '…' : formatCount(waiting)}
        of={settings?.maxWaiting === undefined ? undefined : `of at most ${formatCount(settings.maxWaiting)}`}
      />
      <Figure label="Oldest waits" value={oldest === undefined ? '–' : formatAge(now - oldest)} />
      <Figure
        label="Wait p50"
        value={p50 === undefined ? unknown : formatLatency(p50)}
        of={p95 === undefined ? undefined : `p95 ${formatLatency(p95)}`}
      />
      <Figure label="Ended" value={history === undefined ? '…' : formatCount(sumOf(ends))} of="in this range" />
      <Figure
        label="Failed"
        value={
          history === undefined ? (
            '…'
          ) : (
            <Link to="/tasks" search={{ queue, status: ['failed'], sort: '-finishedAt' }} className="hover:underline">
              {formatCount(ends.failed)}
            </Link>
          )
        }
        of={[share === undefined ? [] : formatShare(share), retried === 0 ? [] : `${formatCount(retried)} retried`]
          .flat()
          .join(', ')}
        tone={ends.failed > 0 ? 'text-bad' : ''}
      />
    </Figures>
  )
}

interface HandlerLine {
  key: string
  name: string
  version: number
  workers: readonly string[]
  due: number | undefined
  running: number | undefined
}

interface HandlersProps {
  queue: string
  handlers: readonly HandlerRow[] | undefined
  coverage: Awaited<ReturnType<ReturnType<typeof useFleetClient>['tasks']['coverage']>> | undefined
  ended: HistoryView
}

function Handlers({ queue, handlers, coverage, ended: { history } }: HandlersProps) {
  const byName = useMemo(() => groupEnds(history?.rows ?? [], ({ name }) => name), [history])
  const lines = new Map<string, HandlerLine>()
  for (const { name, version, queues, workers } of handlers ?? []) {
    const key = `${name}@${version}`
    const idle = coverage === undefined ? undefined : 0
    if (queues.includes(queue)) lines.set(key, { key, name, version, workers, due: idle, running: idle })
  }
  for (const { queue: other, name, version, workers, due, running } of coverage ?? []) {
    const key = `${name}@${version}`
    if (other === queue) lines.set(key, { key, name, version, workers, due, running })
  }
  const columns: Column<HandlerLine>[] = [
    {
      title: 'Handler',
      cell: ({ name, version }) => (
        <Link to="/tasks" search={{ queue, name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
          <span className="text-dim">@{version}</span>
        </Link>
      ),
    },
    { title: 'Due', number: true, cell: ({ due }) => (due === undefined ? '…' : formatCount(due)) },
    { title: 'Running', number: true, cell: ({ running }) => (running === undefined ? '…' : formatCount(running)) },
    {
      title: 'Ended in range',
      number: true,
      cell: ({ name }) => (history === undefined ? '…' : formatCount(sumOf(byName.get(name) ?? endsOf([])))),
    },
    {
      title: 'Failed %',
      number: true,
      cell: ({ name }) => {
        const share = failedShare(byName.get(name) ?? endsOf([]))
        return share === undefined ? '–' : <span className={share > 0 ? 'text-bad' : ''}>{formatShare(share)}</span>
      },
    },
    {
      title: 'Ran p95',
      number: true,
      cell: ({ name }) => {
        const own = (history?.rows ?? []).filter((row) => row.name === name)
        const p95 = mixedPercentile(
          own.map(({ runMs }) => runMs),
          0.95,
        )
        return p95 === undefined ? '–' : formatLatency(p95)
      },
    },
    {
      title: 'Workers',
      number: true,
      cell: ({ workers, due }) => (
        <span className={workers.length === 0 && (due ?? 0) > 0 ? 'font-medium text-bad' : ''}>{workers.length}</span>
      ),
    },
  ]
  if (lines.size === 0) return null
  return (
    <section aria-label="Handlers" className="flex flex-col gap-2">
      <h2 className="heading px-1">Handlers</h2>
      <Table
        label="Handlers"
        columns={columns}
        rows={[...lines.values()].sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }))}
        keyOf={({ key }) => key}
        attributes={({ key }) => ({ 'data-testid': 'handler-row', 'data-handler': key })}
      />
    </section>
  )
}

function Nothing({ children }: { children: ReactNode }) {
  return <p className="px-2 py-2 text-dim">{children}</p>
}
