import { Link } from '@tanstack/react-router'
import { STATUSES } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { CirclePause, CirclePlay, Gauge } from 'lucide-react'
import { useState } from 'react'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { CELL, Table } from '../components/table.tsx'
import { useAct } from '../components/use-act.ts'
import { useCan } from '../live/hooks.ts'
import { QUEUES, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { QueueLimitsDialog } from '../shell/dialogs.tsx'
import { useUi } from '../shell/ui-context.ts'
import { formatCount } from '../view/counts.ts'
import { formatAge, formatShare } from '../view/format.ts'
import { limitsLine, type QueueLine, queueLines } from '../view/queue-lines.ts'
import { STATUS_LOOK } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'

const COLUMNS = [
  { title: 'Queue' },
  { title: 'State' },
  { title: 'Share of waiting' },
  ...STATUSES.map((status) => ({ title: STATUS_LOOK[status].label, number: true })),
  { title: 'Served by' },
]

/** Every queue with what is in it, and the switch that holds it back. */
export function QueuesPage() {
  const now = useServerTime()
  const mayControl = useCan('control')
  const queues = useLiveQuery(QUEUES)
  const workers = useLiveQuery(WORKERS)
  const statistics = useStats()
  const [pausing, setPausing] = useState<string>()
  const [limiting, setLimiting] = useState<string>()
  const serving = workers.rows.filter(
    (worker) => worker.role === 'worker' && ['running', 'draining'].includes(workerView(worker, now)),
  )
  const byQueue = statistics.stats?.byQueue ?? {}
  const lines = queueLines({ queues: queues.rows, workers: serving, byQueue })
  const views = [queues, workers, statistics]
  const loaded = views.every((view) => view.loaded)
  const refused = views.some((view) => view.error !== undefined)
  return (
    <div className="mx-auto flex w-full max-w-[1500px] flex-col gap-3 p-3 sm:p-4">
      <h1 className="text-base font-semibold">Queues</h1>
      <RowsProblem views={views} />
      {!loaded && !refused && lines.length === 0 && <EmptyNote title="Asking the gateway…" />}
      {loaded && lines.length === 0 && (
        <EmptyNote title="There is no queue yet">
          A queue is there as soon as a task is in it or a worker serves it.
        </EmptyNote>
      )}
      {lines.length > 0 && (
        <Table label="Queues" columns={mayControl ? [...COLUMNS, { title: 'Action', number: true }] : COLUMNS}>
          {lines.map((line) => (
            <QueueTableRow
              key={line.name}
              line={line}
              now={now}
              counted={statistics.loaded}
              mayControl={mayControl}
              onPause={() => setPausing(line.name)}
              onLimit={() => setLimiting(line.name)}
            />
          ))}
        </Table>
      )}
      {pausing !== undefined && <PauseDialog queue={pausing} onClose={() => setPausing(undefined)} />}
      {limiting !== undefined && (
        <QueueLimitsDialog
          queue={limiting}
          settings={lines.find(({ name }) => name === limiting)?.settings}
          onClose={() => setLimiting(undefined)}
        />
      )}
    </div>
  )
}

interface RowProps {
  line: QueueLine
  now: number
  /** Whether the counts are known. */
  counted: boolean
  mayControl: boolean
  onPause: () => void
  onLimit: () => void
}

function QueueTableRow({ line, now, counted, mayControl, onPause, onLimit }: RowProps) {
  const { name, settings, counts, waiting, share, workers } = line
  const paused = settings?.paused === true
  const limits = settings === undefined ? '' : limitsLine(settings)
  const number = `${CELL} text-right whitespace-nowrap`
  return (
    <tr data-testid="queue-row" data-queue={name} data-paused={paused}>
      <td className={CELL}>
        <Link to="/tasks" search={{ queue: name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
        </Link>
      </td>
      <td className={`${CELL} min-w-[150px]`}>
        {paused && settings !== undefined ? (
          <>
            <span className="inline-flex items-center gap-1.5 font-medium text-warn">
              <CirclePause size={14} aria-hidden /> Paused
            </span>
            <span className="block text-xs text-dim">
              by <Foreign text={settings.by ?? 'somebody'} max={40} /> {formatAge(now - Date.parse(settings.updatedAt))}{' '}
              ago
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
      </td>
      <td className={`${CELL} whitespace-nowrap`}>
        {waiting > 0 && (
          <span className="flex items-center gap-2" title={`${formatCount(waiting)} waiting`}>
            <span className="bar block w-14 shrink-0 text-wait" aria-hidden>
              <i style={{ transform: `scaleX(${share})` }} />
            </span>
            {formatShare(share)}
          </span>
        )}
      </td>
      {STATUSES.map((status) => (
        <td key={status} data-status={status} className={number}>
          {!counted ? (
            <span className="text-dim">…</span>
          ) : counts[status] === 0 ? (
            <span className="text-dim">0</span>
          ) : (
            <Link
              to="/tasks"
              search={{ queue: name, status: [status] }}
              aria-label={`${formatCount(counts[status])} ${status} in ${visibleLine(name, 60)}`}
              className={`hover:underline ${status === 'failed' ? 'text-bad' : ''}`}
            >
              {formatCount(counts[status])}
            </Link>
          )}
        </td>
      ))}
      <td className={`${CELL} min-w-36`}>
        {workers.length === 0 ? (
          <span className={counts.pending > 0 ? 'font-medium text-bad' : 'text-dim'}>no live worker</span>
        ) : (
          <>
            <Foreign text={workers.slice(0, 6).join(', ')} max={160} />
            {workers.length > 6 && <span className="text-dim"> and {workers.length - 6} more</span>}
          </>
        )}
      </td>
      {mayControl && (
        <td className={number}>
          <span className="inline-flex gap-1.5">
            <button
              type="button"
              className="button"
              aria-label={`Limits of ${visibleLine(name, 60)}`}
              onClick={onLimit}
            >
              <Gauge size={14} aria-hidden /> Limits…
            </button>
            {paused ? <ResumeButton queue={name} /> : <PauseButton queue={name} onPause={onPause} />}
          </span>
        </td>
      )}
    </tr>
  )
}

function PauseButton({ queue, onPause }: { queue: string; onPause: () => void }) {
  return (
    <button
      type="button"
      className="button min-w-[98px]"
      aria-label={`Pause ${visibleLine(queue, 60)}`}
      onClick={onPause}
    >
      <CirclePause size={14} aria-hidden /> Pause…
    </button>
  )
}

function ResumeButton({ queue }: { queue: string }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const { busy, actAside } = useAct()
  const resume = async () => {
    await client.queues.resume({ name: queue })
    toast({ kind: 'good', text: `The queue ${queue} goes on` })
  }
  return (
    <button
      type="button"
      className="button min-w-[98px]"
      aria-label={`Resume ${visibleLine(queue, 60)}`}
      disabled={busy}
      onClick={() => actAside(resume)}
    >
      <CirclePlay size={14} aria-hidden /> Resume
    </button>
  )
}

function PauseDialog({ queue, onClose }: { queue: string; onClose: () => void }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const pause = async (reason: { reason?: string }) => {
    await client.queues.pause({ name: queue, ...reason })
    toast({ kind: 'good', text: `The queue ${queue} is paused` })
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
      Nothing of <Foreign text={queue} max={80} className="font-medium" /> is started until somebody resumes it. What
      runs already goes on.
    </ConfirmDialog>
  )
}
