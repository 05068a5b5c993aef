import { Link } from '@tanstack/react-router'
import { STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { useMemo } from 'react'
import { Foreign } from '../components/foreign.tsx'
import { HostLink } from '../components/host-link.tsx'
import { Listing } from '../components/listing.tsx'
import { Names } from '../components/names.tsx'
import { RowsProblem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { QueueActions, QueueState } from '../components/queue-state.tsx'
import { type Column, Table } from '../components/table.tsx'
import { useCan, useWorkersTime } from '../live/hooks.ts'
import { QUEUES, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { useAsked } from '../live/use-asked.ts'
import { useHistory } from '../live/use-history.ts'
import { formatCount } from '../view/counts.ts'
import { formatAge, formatShare } from '../view/format.ts'
import { failedShare, groupEnds, sumOf } from '../view/history.ts'
import { oldestDue, type QueueLine, queueLines } from '../view/queue-lines.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'

/** These have a column only while there is such a task. */
const RARE: ReadonlySet<TaskStatus> = new Set(['paused', 'blocked', 'cancelled'])
const AGAIN_MS = 15_000
const NONE = { title: 'There is no queue yet', hint: 'A queue appears when it has a task or when a worker serves it.' }

/** Every queue with its counts and settings. */
export function QueuesPage() {
  const now = useServerTime()
  const workersTime = useWorkersTime()
  const mayControl = useCan('control')
  const queues = useLiveQuery(QUEUES)
  const workers = useLiveQuery(WORKERS)
  const statistics = useStats()
  const client = useFleetClient()
  const coverage = useAsked(() => client.tasks.coverage(), { key: 'coverage', everyMs: AGAIN_MS })
  const { history, ...counting } = useHistory()
  const ended = useMemo(() => groupEnds(history?.rows ?? [], ({ queue }) => queue), [history])
  const serving = workers.rows.filter(
    (worker) => worker.role === 'worker' && ['running', 'draining'].includes(workerView(worker, workersTime)),
  )
  const byQueue = statistics.stats?.byQueue ?? {}
  const lines = queueLines({ queues: queues.rows, workers: serving, byQueue })
  const views = [queues, workers, statistics]
  const columns: Column<QueueLine>[] = [
    {
      title: 'Queue',
      cell: ({ name }) => (
        <Link to="/queues/$queue" params={{ queue: name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
        </Link>
      ),
    },
    {
      title: 'State',
      className: 'min-w-[150px]',
      cell: ({ settings }) => <QueueState settings={settings} now={now} />,
    },
    { title: 'Waiting', className: 'whitespace-nowrap', cell: (line) => <Share line={line} /> },
    ...STATUSES.filter((status) => !RARE.has(status) || lines.some(({ counts }) => counts[status] > 0)).map(
      (status) => ({
        title: STATUS_LOOK[status].label,
        number: true,
        cell: (line: QueueLine) => <Count line={line} status={status} counted={statistics.loaded} />,
      }),
    ),
    {
      title: 'Oldest',
      head: <span title="How long the oldest due task waits">Oldest</span>,
      number: true,
      cell: ({ name }) => {
        const oldest = oldestDue(coverage.answer, name, now)
        return oldest === undefined ? <Dim text={coverage.answer === undefined ? '…' : '–'} /> : formatAge(now - oldest)
      },
    },
    {
      title: 'Ended in range',
      head: <span title="In the chosen time range">Ended</span>,
      number: true,
      cell: ({ name }) => {
        if (history === undefined) return <Dim text="…" />
        const ends = ended.get(name)
        return ends === undefined ? <Dim text="0" /> : formatCount(sumOf(ends))
      },
    },
    {
      title: 'Failed %',
      number: true,
      cell: ({ name }) => {
        const ends = ended.get(name)
        const share = ends && failedShare(ends)
        if (share === undefined) return <Dim text={history === undefined ? '…' : '–'} />
        return <span className={share > 0 ? 'text-bad' : 'text-dim'}>{formatShare(share)}</span>
      },
    },
    { title: 'Served by', className: 'min-w-36', cell: (line) => <ServedBy line={line} /> },
  ]
  const action: Column<QueueLine> = {
    title: 'Action',
    number: true,
    cell: ({ name, settings }) => <QueueActions name={name} settings={settings} brief />,
  }
  return (
    <Page title="Queues">
      <RowsProblem views={[coverage, counting]} />
      <Listing views={views} loaded={views.every((view) => view.loaded)} count={lines.length} empty={NONE}>
        <Table
          label="Queues"
          columns={mayControl ? [...columns, action] : columns}
          rows={lines}
          keyOf={({ name }) => name}
          attributes={({ name, settings }) => ({
            'data-testid': 'queue-row',
            'data-queue': name,
            'data-paused': settings?.paused === true,
          })}
        />
      </Listing>
    </Page>
  )
}

function Share({ line: { waiting, share } }: { line: QueueLine }) {
  if (waiting === 0) return null
  return (
    <span className="flex items-center gap-2" title={`${formatCount(waiting)} waiting`}>
      <span className="bar block w-14 shrink-0 text-wait" aria-hidden>
        <i style={{ transform: `scaleX(${share})` }} />
      </span>
      {formatShare(share)}
    </span>
  )
}

interface CountProps {
  line: QueueLine
  status: TaskStatus
  /** Whether the counts are known. */
  counted: boolean
}

function Count({ line: { name, counts }, status, counted }: CountProps) {
  const count = counts[status]
  if (!counted || count === 0) {
    return (
      <span data-status={status} className="text-dim">
        {counted ? '0' : '…'}
      </span>
    )
  }
  return (
    <Link
      to="/tasks"
      search={{ queue: name, status: [status] }}
      data-status={status}
      aria-label={`${formatCount(count)} ${status} in ${visibleLine(name, 60)}`}
      className={`hover:underline ${status === 'failed' ? 'text-bad' : ''}`}
    >
      {formatCount(count)}
    </Link>
  )
}

function ServedBy({ line: { workers, counts } }: { line: QueueLine }) {
  if (workers.length > 0) {
    return (
      <Names names={workers} most={6}>
        {(host) => <HostLink name={host} />}
      </Names>
    )
  }
  return <span className={counts.pending > 0 ? 'font-medium text-bad' : 'text-dim'}>no live worker</span>
}

function Dim({ text }: { text: string }) {
  return <span className="text-dim">{text}</span>
}
