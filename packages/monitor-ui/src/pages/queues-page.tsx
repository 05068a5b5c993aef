import { Link } from '@tanstack/react-router'
import { CirclePause, CirclePlay } from 'lucide-react'
import { useState } from 'react'
import { Dialog } from '../components/dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { EmptyNote, Problem, RowsProblem } from '../components/notes.tsx'
import { CELL, Table } from '../components/table.tsx'
import { useCan, useFleet, useNow, useRows } from '../live/hooks.ts'
import { COUNT_LIMIT, QUEUES, RUNNING_BY_QUEUE, WAITING_BY_QUEUE, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import { formatAge } from '../view/format.ts'
import { type QueueLine, queueLines } from '../view/queue-lines.ts'
import { visibleLine } from '../view/text.ts'

const COLUMNS = [
  { title: 'Queue' },
  { title: 'State' },
  { title: 'Due', number: true },
  { title: 'Scheduled', number: true },
  { title: 'Held', number: true },
  { title: 'Running', number: true },
  { title: 'Served by' },
]

/** Every queue with what is in it, and the switch that holds it back. */
export function QueuesPage() {
  const now = useNow()
  const mayControl = useCan('control')
  const queues = useRows(QUEUES)
  const workers = useRows(WORKERS)
  const waiting = useRows(WAITING_BY_QUEUE)
  const running = useRows(RUNNING_BY_QUEUE)
  const [pausing, setPausing] = useState<string>()
  const serving = workers.rows.filter(
    (worker) => worker.role === 'worker' && ['running', 'draining'].includes(workerView(worker, now)),
  )
  const lines = queueLines({ queues: queues.rows, workers: serving, waiting: waiting.rows, running: running.rows }, now)
  const views = [queues, workers, waiting, running]
  const loaded = views.every((view) => view.loaded)
  const capped = {
    waiting: waiting.rows.length >= COUNT_LIMIT,
    running: running.rows.length >= COUNT_LIMIT,
  }
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      <h1 className="text-base font-semibold">Queues</h1>
      <RowsProblem views={views} />
      {!loaded && lines.length === 0 && <EmptyNote title="Asking the gateway…" />}
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
              capped={capped}
              mayControl={mayControl}
              onPause={() => setPausing(line.name)}
            />
          ))}
        </Table>
      )}
      {(capped.waiting || capped.running) && (
        <p role="note" className="text-xs text-warn">
          Counted over the first {COUNT_LIMIT.toLocaleString('en')}{' '}
          {[capped.waiting && 'waiting', capped.running && 'running'].filter(Boolean).join(' and ')} tasks of the fleet:
          there are more, so that each figure with a + is the least it can be, and a queue may be missing.
        </p>
      )}
      {pausing !== undefined && <PauseDialog queue={pausing} onClose={() => setPausing(undefined)} />}
    </div>
  )
}

interface RowProps {
  line: QueueLine
  now: number
  capped: { waiting: boolean; running: boolean }
  mayControl: boolean
  onPause: () => void
}

function QueueTableRow({ line, now, capped, mayControl, onPause }: RowProps) {
  const { name, said, due, scheduled, held, running, workers } = line
  const paused = said?.paused === true
  const number = `${CELL} text-right whitespace-nowrap`
  const count = (amount: number, least: boolean) => `${amount.toLocaleString('en')}${least ? '+' : ''}`
  return (
    <tr data-testid="queue-row" data-queue={name} data-paused={paused}>
      <td className={CELL}>
        <Link to="/tasks" search={{ queue: name }} className="font-medium hover:underline">
          <Foreign text={name} max={80} />
        </Link>
      </td>
      <td className={`${CELL} min-w-[170px]`}>
        {paused && said !== undefined ? (
          <>
            <span className="inline-flex items-center gap-1.5 font-medium text-warn">
              <CirclePause size={14} aria-hidden /> Paused
            </span>
            <span className="block text-xs text-dim">
              by <Foreign text={said.by ?? 'somebody'} max={40} /> {formatAge(now - Date.parse(said.updatedAt))} ago
              {said.reason !== undefined && (
                <>
                  : <Foreign text={said.reason} max={160} />
                </>
              )}
            </span>
          </>
        ) : (
          <span className="text-dim">Open</span>
        )}
      </td>
      <td className={number}>{count(due, capped.waiting)}</td>
      <td className={number}>{count(scheduled, capped.waiting)}</td>
      <td className={number}>{count(held, capped.waiting)}</td>
      <td className={number}>{count(running, capped.running)}</td>
      <td className={`${CELL} min-w-36`}>
        {workers.length === 0 ? (
          <span className={due + scheduled > 0 ? 'font-medium text-bad' : 'text-dim'}>no live worker</span>
        ) : (
          <>
            <Foreign text={workers.slice(0, 6).join(', ')} max={160} />
            {workers.length > 6 && <span className="text-dim"> and {workers.length - 6} more</span>}
          </>
        )}
      </td>
      {mayControl && (
        <td className={number}>
          {paused ? <ResumeButton queue={name} /> : <PauseButton queue={name} onPause={onPause} />}
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
  const store = useFleet()
  const toast = useUi((ui) => ui.toast)
  const [busy, setBusy] = useState(false)
  const resume = async () => {
    setBusy(true)
    try {
      await store.api.controlQueue({ queue, action: 'resume' })
      toast({ kind: 'good', text: `The queue ${queue} goes on` })
    } catch (thrown) {
      toast({ kind: 'bad', text: wireError(thrown).message })
    } finally {
      setBusy(false)
    }
  }
  return (
    <button
      type="button"
      className="button min-w-[98px]"
      aria-label={`Resume ${visibleLine(queue, 60)}`}
      disabled={busy}
      onClick={() => void resume()}
    >
      <CirclePlay size={14} aria-hidden /> Resume
    </button>
  )
}

function PauseDialog({ queue, onClose }: { queue: string; onClose: () => void }) {
  const store = useFleet()
  const toast = useUi((ui) => ui.toast)
  const [reason, setReason] = useState('')
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)
  const pause = async () => {
    setBusy(true)
    setProblem(undefined)
    try {
      const why = reason.trim()
      await store.api.controlQueue({ queue, action: 'pause', ...(why !== '' && { reason: why }) })
      toast({ kind: 'good', text: `The queue ${queue} is paused` })
      onClose()
    } catch (thrown) {
      setProblem(wireError(thrown).message)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog title="Pause this queue?" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) void pause()
        }}
      >
        <p className="mb-3">
          Nothing of <Foreign text={queue} max={80} className="font-medium" /> is started until somebody resumes it.
          What runs already goes on.
        </p>
        <label className="mb-4 block">
          <span className="mb-1 block text-dim">Reason (optional)</span>
          <input
            className="field w-full"
            value={reason}
            maxLength={200}
            data-autofocus
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        <Problem text={problem} className="mb-3" />
        <div className="flex flex-wrap justify-end gap-2">
          <button type="button" className="button" onClick={onClose}>
            Leave it open
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            Pause the queue
          </button>
        </div>
      </form>
    </Dialog>
  )
}
