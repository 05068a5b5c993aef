import { Link } from '@tanstack/react-router'
import { type QueueRow, STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { CirclePause, CirclePlay, Gauge } from 'lucide-react'
import { useState } from 'react'
import { Button } from '../components/button.tsx'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { Listing } from '../components/listing.tsx'
import { LookMark } from '../components/look-mark.tsx'
import { Names } from '../components/names.tsx'
import { Page } from '../components/page.tsx'
import { type Column, Table } from '../components/table.tsx'
import { Time } from '../components/time.tsx'
import { useAct } from '../components/use-act.ts'
import { useCan, useWorkersTime } from '../live/hooks.ts'
import { QUEUES, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { QueueLimitsDialog } from '../shell/dialogs.tsx'
import { formatCount } from '../view/counts.ts'
import { formatShare } from '../view/format.ts'
import { limitsLine, type QueueLine, queueLines } from '../view/queue-lines.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'

const NONE = { title: 'There is no queue yet', hint: 'A queue appears when it has a task or when a worker serves it.' }
const PAUSED = { icon: CirclePause, label: 'Paused', tone: 'text-warn' }

/** Every queue with its counts and settings. */
export function QueuesPage() {
  const now = useServerTime()
  const workersTime = useWorkersTime()
  const mayControl = useCan('control')
  const queues = useLiveQuery(QUEUES)
  const workers = useLiveQuery(WORKERS)
  const statistics = useStats()
  const [opened, setOpened] = useState<{ dialog: 'pause' | 'limit'; line: QueueLine }>()
  const serving = workers.rows.filter(
    (worker) => worker.role === 'worker' && ['running', 'draining'].includes(workerView(worker, workersTime)),
  )
  const byQueue = statistics.stats?.byQueue ?? {}
  const lines = queueLines({ queues: queues.rows, workers: serving, byQueue })
  const views = [queues, workers, statistics]
  const close = () => setOpened(undefined)
  const columns: Column<QueueLine>[] = [
    {
      title: 'Queue',
      cell: ({ name }) => (
        <Link to="/tasks" search={{ queue: name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
        </Link>
      ),
    },
    { title: 'State', className: 'min-w-[150px]', cell: ({ settings }) => <State settings={settings} now={now} /> },
    { title: 'Share of waiting', className: 'whitespace-nowrap', cell: (line) => <Share line={line} /> },
    ...STATUSES.map((status) => ({
      title: STATUS_LOOK[status].label,
      number: true,
      cell: (line: QueueLine) => <Count line={line} status={status} counted={statistics.loaded} />,
    })),
    { title: 'Served by', className: 'min-w-36', cell: (line) => <ServedBy line={line} /> },
  ]
  const action: Column<QueueLine> = {
    title: 'Action',
    number: true,
    cell: (line) => (
      <span className="inline-flex gap-1.5">
        <Button
          icon={Gauge}
          aria-label={`Limits of ${visibleLine(line.name, 60)}`}
          onClick={() => setOpened({ dialog: 'limit', line })}
        >
          Limits…
        </Button>
        <PauseButton line={line} onPause={() => setOpened({ dialog: 'pause', line })} />
      </span>
    ),
  }
  return (
    <Page title="Queues">
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
      {opened?.dialog === 'pause' && <PauseDialog queue={opened.line.name} onClose={close} />}
      {opened?.dialog === 'limit' && (
        <QueueLimitsDialog queue={opened.line.name} settings={opened.line.settings} onClose={close} />
      )}
    </Page>
  )
}

function State({ settings, now }: { settings: QueueRow | undefined; now: number }) {
  const limits = settings === undefined ? '' : limitsLine(settings)
  return (
    <>
      {settings?.paused === true ? (
        <>
          <LookMark look={PAUSED} />
          <span className="block text-xs text-dim">
            by <Foreign text={settings.by ?? 'unknown'} max={40} /> <Time at={settings.updatedAt} now={now} />
            {settings.reason !== undefined && (
              <>
                : <Foreign text={settings.reason} max={160} />
              </>
            )}
          </span>
        </>
      ) : (
        <span className="text-dim">Open</span>
      )}
      {limits !== '' && <span className="block text-xs text-dim">{limits}</span>}
    </>
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
  if (workers.length > 0) return <Names names={workers} most={6} />
  return <span className={counts.pending > 0 ? 'font-medium text-bad' : 'text-dim'}>no live worker</span>
}

/** Pauses a queue after a confirmation, or resumes a paused one. */
function PauseButton({ line: { name, settings }, onPause }: { line: QueueLine; onPause: () => void }) {
  const client = useFleetClient()
  const { busy, actAside } = useAct()
  const shown = visibleLine(name, 60)
  const resume = async () => {
    await client.queues.resume({ name })
    return `The queue ${name} is resumed`
  }
  return settings?.paused === true ? (
    <Button
      icon={CirclePlay}
      className="min-w-[98px]"
      aria-label={`Resume ${shown}`}
      disabled={busy}
      onClick={() => actAside(resume)}
    >
      Resume
    </Button>
  ) : (
    <Button icon={CirclePause} className="min-w-[98px]" aria-label={`Pause ${shown}`} onClick={onPause}>
      Pause…
    </Button>
  )
}

function PauseDialog({ queue, onClose }: { queue: string; onClose: () => void }) {
  const client = useFleetClient()
  const pause = async (reason: { reason?: string }) => {
    await client.queues.pause({ name: queue, ...reason })
    return `The queue ${queue} is paused`
  }
  return (
    <ConfirmDialog
      title="Pause this queue?"
      confirm="Pause the queue"
      keep="Leave it open"
      harmless
      asksReason
      run={pause}
      onClose={onClose}
    >
      No task of <Foreign text={queue} max={80} className="font-medium" /> starts until the queue is resumed. Running
      tasks go on.
    </ConfirmDialog>
  )
}
