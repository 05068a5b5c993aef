import { Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { assignSlots, inSlots } from '@taskfleet/react/internal'
import { memo, useRef } from 'react'
import { useWorkersTime } from '../live/hooks.ts'
import { heartbeatAge, workerView } from '../live/row-source.ts'
import { formatAge, formatBytes } from '../view/format.ts'
import type { UsualRuns } from '../view/history.ts'
import { WORKER_LOOK } from '../view/status.ts'
import { visibleLine } from '../view/text.ts'
import { Foreign } from './foreign.tsx'
import { GateLine } from './gate-line.tsx'
import { EndedSlot, SlotRow } from './slot-row.tsx'
import { TaskCells } from './task-cells.tsx'

/** Hosts with more tasks than this show them as cells, and no more empty slots than this. */
const DRAWN_SLOTS = 6

interface Props {
  worker: WorkerRow
  /** Its running tasks, in the order in which they were claimed. */
  tasks: readonly TaskRow[]
  /** Recently ended tasks, by id. */
  ended: ReadonlyMap<string, TaskRow>
  /** How long tasks usually run, if it is known. */
  usual?: UsualRuns | undefined
}

const UNKNOWN: UsualRuns = new Map()

/** One host: its state, its gate, and its slots with their tasks. */
export const WorkerCard = memo(function WorkerCard({ worker, tasks: held, ended, usual = UNKNOWN }: Props) {
  const now = useWorkersTime()
  const state = workerView(worker, now)
  const { label, tone, hint } = WORKER_LOOK[state]
  const silent = state === 'silent' || state === 'gone'
  const tasks = inSlots(held, worker.slots)
  const ahead = held.length - tasks.length
  const seats = useSeats(tasks, Math.min(worker.slots, DRAWN_SLOTS))
  const byId = new Map(tasks.map((task) => [task._id, task]))
  // One line instead of empty slots, until one has had a task: then every row keeps its place.
  const quiet = seats.every(({ id, past }) => id === null && past === undefined)
  const idle = state === 'stopped' || state === 'gone'
  const gateway = worker.role === 'gateway'
  return (
    <section
      aria-label={`Host ${visibleLine(worker.name, 60)}`}
      data-testid="worker-card"
      data-worker={worker.name}
      data-state={state}
      className={`panel flex flex-col p-2.5 ${silent ? 'border-bad/50' : ''} ${idle || gateway ? 'self-start' : ''}`}
    >
      <header className="px-2 pt-0.5">
        <div className="flex items-center gap-2">
          <span className={`size-2 shrink-0 rounded-full bg-current ${tone}`} aria-hidden />
          <Link
            to="/hosts/$host"
            params={{ host: worker.name }}
            className="min-w-0 truncate text-sm font-semibold hover:underline"
          >
            <Foreign text={worker.name} max={60} />
          </Link>
          <span className="min-w-0 truncate font-mono text-[11.5px] text-dim">
            {worker.host !== undefined && <Foreign text={`${worker.host}:${worker.pid}`} max={60} />}
          </span>
          <span className={`ml-auto shrink-0 text-xs font-medium ${tone}`} title={hint}>
            {label}
            {silent && ` ${formatAge(heartbeatAge(worker, now))}`}
          </span>
        </div>
        {!idle && (
          <div className="mt-1.5 flex flex-wrap items-center gap-x-3 gap-y-1 text-[11.5px] text-dim">
            {gateway ? <span>Gateway only</span> : <Slots used={tasks.length} slots={worker.slots} />}
            {ahead > 0 && (
              <span title="Short tasks that this worker has claimed and that wait for a slot">{ahead} ahead</span>
            )}
            <span className="ml-auto flex gap-3 whitespace-nowrap">
              <span title="The process's share of one processor core">
                CPU {Math.round(worker.load.cpu * 100)}&nbsp;%
              </span>
              <span title="Memory of the process">{formatBytes(worker.load.rss)}</span>
              <span
                title="Delay of its event loop"
                className={worker.load.eventLoopDelayMs > 100 ? 'text-warn' : undefined}
              >
                loop{' '}
                {worker.load.eventLoopDelayMs < 10
                  ? worker.load.eventLoopDelayMs.toFixed(1)
                  : Math.round(worker.load.eventLoopDelayMs)}
                &nbsp;ms
              </span>
            </span>
          </div>
        )}
      </header>
      {!idle && !gateway && <GateLine worker={worker} state={state} />}
      {tasks.length > DRAWN_SLOTS && (
        <div className="mt-2">
          <TaskCells tasks={tasks} worker={worker} usual={usual} />
        </div>
      )}
      {!gateway && tasks.length <= DRAWN_SLOTS && (!idle || tasks.length > 0) && (
        <div className="mt-2 flex flex-col gap-0.5">
          {quiet ? (
            <p className="flex h-9 items-center px-2 text-dim">
              Idle, {worker.slots} free {worker.slots === 1 ? 'slot' : 'slots'}
            </p>
          ) : (
            seats.map(({ seat, id, past }) => {
              const task = id === null ? undefined : byId.get(id)
              if (task !== undefined) return <SlotRow key={task._id} task={task} worker={worker} />
              const before = past === undefined ? undefined : recent(ended.get(past), now)
              if (before !== undefined) return <EndedSlot key={`slot-${seat}`} task={before} />
              return (
                <div
                  key={`slot-${seat}`}
                  className="flex h-[60px] items-center gap-3 px-2 text-xs text-dim"
                  aria-hidden
                >
                  free
                  <span className="flex-1 border-t border-dashed border-line" />
                </div>
              )
            })
          )}
        </div>
      )}
    </section>
  )
})

/** How long an ended task is shown in its slot. */
const NEWS_MS = 120_000

function recent(task: TaskRow | undefined, now: number): TaskRow | undefined {
  return task?.finishedAt !== undefined && now - Date.parse(task.finishedAt) < NEWS_MS ? task : undefined
}

function Slots({ used, slots }: { used: number; slots: number }) {
  return (
    <span className="flex items-center gap-2" role="img" aria-label={`${used} of ${slots} slots in use`}>
      {slots <= 24 && (
        <span className="flex gap-0.5" aria-hidden>
          {Array.from({ length: Math.max(slots, used) }, (_, index) => (
            <i key={index} className={`size-2 rounded-[2px] ${index < used ? 'bg-run' : 'border border-edge/70'}`} />
          ))}
        </span>
      )}
      <span>
        {used}/{slots}
      </span>
    </span>
  )
}

interface Seat {
  seat: number
  id: string | null
  /** The last task of this slot. */
  past: string | undefined
}

/** Assigns tasks to slots. No task moves when another one ends. */
function useSeats(tasks: readonly TaskRow[], slots: number): Seat[] {
  const memory = useRef<{ ids: (string | null)[]; last: (string | undefined)[] }>({ ids: [], last: [] })
  const before = memory.current
  const ids = assignSlots(
    before.ids,
    tasks.map(({ _id }) => _id),
    slots,
  )
  const last = ids.map((id, seat) => id ?? before.last[seat])
  memory.current = { ids, last }
  return ids.map((id, seat) => ({ seat, id, past: last[seat] }))
}
