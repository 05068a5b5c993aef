import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { memo, type ReactElement, useRef, useState } from 'react'
import { assignSlots } from '../assign-slots.ts'
import { heartbeatAge, type WorkerView } from '../row-source.ts'
import { useServerTime } from '../use-server-time.ts'
import { formatAge, formatPercent } from '../words/amounts.ts'
import { taskTitle } from '../words/figures.ts'
import { WORKER_WORDS } from '../words/status-words.ts'
import { visibleLine } from '../words/visible-text.ts'
import { Foreign, toneOf, WORKER_TONE } from './marks.tsx'
import { Row, type TaskSlots, useSeenTask } from './task-row.tsx'

/** Hosts with more tasks than this show them as cells, and no more empty slots than this. */
const ROWS = 6

interface Props extends TaskSlots {
  name: string
  /** Undefined for a host that this key may not see. */
  worker?: WorkerRow
  state?: WorkerView | undefined
  /** Its running tasks, in the order in which they were claimed. */
  tasks: readonly TaskRow[]
}

/** A host with its running tasks. */
export const HostCard = memo(function HostCard({ name, worker, state, tasks, ...slots }: Props): ReactElement {
  return (
    <section
      className="taskfleet-host"
      aria-label={`Host ${visibleLine(name, 60)}`}
      data-worker={worker?._id}
      data-state={state}
    >
      <div className="taskfleet-head">
        <span className="taskfleet-title">
          <Foreign text={name} max={60} />
        </span>
        <span className="taskfleet-slots">
          {worker === undefined ? `${tasks.length} running` : `${tasks.length} of ${worker.slots} slots`}
        </span>
        {worker !== undefined && state !== undefined && (
          <span className="taskfleet-state" data-tone={WORKER_TONE[state]} title={WORKER_WORDS[state].hint}>
            <span className="taskfleet-dot" aria-hidden="true" />
            {WORKER_WORDS[state].label}
            {(state === 'silent' || state === 'gone') && <SilentFor worker={worker} />}
          </span>
        )}
      </div>
      {tasks.length > ROWS ? (
        <Cells name={name} worker={worker} tasks={tasks} {...slots} />
      ) : (
        <Seats worker={worker} tasks={tasks} {...slots} />
      )}
    </section>
  )
})

function SilentFor({ worker }: { worker: WorkerRow }): ReactElement {
  const age = useServerTime((now) => formatAge(heartbeatAge(worker, now)))
  return <> {age}</>
}

interface TasksProps extends TaskSlots {
  worker: WorkerRow | undefined
  tasks: readonly TaskRow[]
}

/** Up to six tasks as rows. None moves when another one ends: the next one takes the free place. */
function Seats({ worker, tasks, ...slots }: TasksProps): ReactElement {
  const before = useRef<(string | null)[]>([])
  const seats = assignSlots(
    before.current,
    tasks.map(({ _id }) => _id),
    Math.min(worker?.slots ?? tasks.length, ROWS),
  )
  before.current = seats
  const byId = new Map(tasks.map((task) => [task._id, task]))
  if (tasks.length === 0) return <p className="taskfleet-note">Idle</p>
  return (
    <div className="taskfleet-rows">
      {seats.map((id, seat) => {
        const task = byId.get(id ?? '')
        if (task !== undefined) return <Row key={task._id} task={task} worker={worker} {...slots} />
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: an empty seat is known by its place alone
          <div key={seat} className="taskfleet-free" aria-hidden="true">
            free
          </div>
        )
      })}
    </div>
  )
}

/** Many tasks as small cells. The one under the mouse, the finger or the focus is shown as a row. */
function Cells({ name, worker, tasks, ...slots }: TasksProps & { name: string }): ReactElement {
  const [opened, setOpened] = useState<string>()
  const shown = tasks.find(({ _id }) => _id === opened) ?? tasks[0]
  return (
    <>
      <ul className="taskfleet-cells" aria-label={`Tasks of ${visibleLine(name, 60)}`}>
        {tasks.map((task) => (
          <li key={task._id}>
            <Cell
              task={task}
              worker={worker}
              isOpened={task._id === opened}
              onPoint={setOpened}
              onOpen={slots.onOpen}
            />
          </li>
        ))}
      </ul>
      {shown !== undefined && (
        <div className="taskfleet-rows">
          <Row key={shown._id} task={shown} worker={worker} {...slots} />
        </div>
      )}
    </>
  )
}

interface CellProps extends Pick<TaskSlots, 'onOpen'> {
  task: TaskRow
  worker: WorkerRow | undefined
  isOpened: boolean
  onPoint: (id: string) => void
}

const Cell = memo(function Cell({ task, worker, isOpened, onPoint, onOpen }: CellProps): ReactElement {
  const [ref, { ratio, source }] = useSeenTask(task, worker)
  // A tap also moves the focus here, before it is a click.
  const wasOpened = useRef(true)
  const words = [
    visibleLine(taskTitle(task), 120),
    ratio === undefined ? 'no progress yet' : formatPercent(ratio),
    ...(source.kind === 'silent' ? ['its host is silent'] : []),
  ].join(', ')
  return (
    <button
      ref={ref}
      type="button"
      className="taskfleet-cell"
      data-task={task._id}
      data-source={source.kind}
      data-tone={toneOf(task, source)}
      aria-label={words}
      title={words}
      aria-pressed={isOpened}
      onPointerEnter={(event) => event.pointerType !== 'touch' && onPoint(task._id)}
      onFocus={() => onPoint(task._id)}
      onPointerDown={() => {
        wasOpened.current = isOpened
      }}
      // The first tap shows the row; what is shown already is opened.
      onClick={() => {
        if (wasOpened.current) onOpen?.(task)
        else onPoint(task._id)
        wasOpened.current = true
      }}
    >
      <i style={{ transform: `scaleY(${ratio ?? 0})` }} />
    </button>
  )
})
