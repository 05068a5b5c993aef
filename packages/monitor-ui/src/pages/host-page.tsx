import { getRouteApi, Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery } from '@taskfleet/react'
import { type ReactNode, useMemo } from 'react'
import { EndedChart } from '../components/ended-chart.tsx'
import { Figure, Figures } from '../components/figure.tsx'
import { Foreign } from '../components/foreign.tsx'
import { GateLine } from '../components/gate-line.tsx'
import { HostState } from '../components/host-state.tsx'
import { Names } from '../components/names.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Page } from '../components/page.tsx'
import { Part } from '../components/part.tsx'
import { SlotRow } from '../components/slot-row.tsx'
import { Time } from '../components/time.tsx'
import { EndedRow } from '../components/waiting-list.tsx'
import { useWorkersTime } from '../live/hooks.ts'
import { endedOn, runningOn, WORKERS } from '../live/queries.ts'
import type { WorkerView } from '../live/row-source.ts'
import { useAsked } from '../live/use-asked.ts'
import { useHistory } from '../live/use-history.ts'
import { useLeft } from '../live/use-left.ts'
import { useRange } from '../shell/use-range.ts'
import { formatCount } from '../view/counts.ts'
import { formatAge, formatBytes, formatShare } from '../view/format.ts'
import { endsOf, failedShare, sumOf, usualRuns } from '../view/history.ts'
import { hostLines, isAlive, untilEmpty } from '../view/host-lines.ts'
import { visibleLine } from '../view/text.ts'

const AGAIN_MS = 15_000
const route = getRouteApi('/hosts/$host')

export function HostPage() {
  const { host } = route.useParams()
  return <OneHost key={host} name={host} />
}

/** One host by the name of its worker: its state and tasks now, and what ended there, also when it is gone. */
function OneHost({ name }: { name: string }) {
  const workers = useLiveQuery(WORKERS)
  const now = useWorkersTime()
  const known = workers.rows.filter((worker) => worker.name === name)
  const lines = hostLines(known, now)
  const alive = lines.filter(({ state }) => isAlive(state))
  const running = useLiveQuery(runningOn(known.map(({ _id }) => _id)))
  const ended = useHistory()
  const { history } = ended
  const rows = useMemo(() => (history?.rows ?? []).filter(({ host }) => host === name), [history, name])
  const ends = endsOf(rows)
  const share = failedShare(ends)
  const usual = useMemo(() => usualRuns(history?.rows ?? []), [history])
  const leftOfTask = useLeft(usual, now)
  const title = visibleLine(name, 60)
  const loaded = workers.loaded && (ended.at !== undefined || ended.error !== undefined)
  const exists = known.length > 0 || rows.length > 0
  const views = [workers, running, ended]

  return (
    <Page
      title={title}
      head={
        <>
          <Link to="/hosts" className="text-run hover:underline">
            All hosts
          </Link>
          {lines.map((line) => (
            <span key={line.worker._id} data-testid="host-state" data-state={line.state}>
              <HostState {...line} now={now} />
            </span>
          ))}
        </>
      }
    >
      <RowsProblem views={views} />
      {!exists && !loaded && views.every(({ error }) => error === undefined) && <EmptyNote title="Loading…" />}
      {!exists && loaded && (
        <EmptyNote title={`There is no host ${title}`}>
          A host appears when its worker starts, and is listed for a day after it stopped:{' '}
          <code className="font-mono text-text">taskfleet worker --name {title} --tasks FILE</code>
        </EmptyNote>
      )}
      {exists && workers.loaded && alive.length === 0 && (
        <p role="status" className="rounded-md bg-warn/15 px-3 py-2 text-warn">
          {goneText(lines[0]?.worker, lines[0]?.state, now)} What it did is shown below.
        </p>
      )}
      {alive.map(({ worker, state }) => (
        <Live
          key={worker._id}
          worker={worker}
          state={state}
          now={now}
          tasks={running.rows.filter((task) => task.worker === worker._id)}
          leftOfTask={leftOfTask}
        />
      ))}
      {exists && (
        <>
          <EndedChart ended={ended} rows={rows} title="Ended here" />
          <p className="px-1 text-dim" data-testid="ended-here">
            {history === undefined
              ? 'Counting…'
              : `${formatCount(sumOf(ends))} ended in this range${share === undefined ? '' : `, ${formatShare(share)} failed`}.`}
          </p>
          <EndedTasks name={name} now={now} />
          {known.length > 0 && <Processes workers={known} now={now} />}
        </>
      )}
    </Page>
  )
}

function goneText(worker: WorkerRow | undefined, state: WorkerView | undefined, now: number): string {
  if (worker === undefined) return 'No worker of this name is known any more.'
  if (state === 'stopped')
    return `This host was stopped ${formatAge(now - Date.parse(worker.stoppedAt ?? worker.heartbeatAt))} ago.`
  return `This host is gone: it was last heard ${formatAge(now - Date.parse(worker.heartbeatAt))} ago, and its tasks run elsewhere.`
}

interface LiveProps {
  worker: WorkerRow
  state: WorkerView
  now: number
  tasks: readonly TaskRow[]
  leftOfTask: (task: TaskRow) => number | undefined
}

/** The state of a live process, its load and its running tasks. */
function Live({ worker, state, now, tasks, leftOfTask }: LiveProps) {
  const { load, slots, running, role } = worker
  const gateway = role === 'gateway'
  return (
    <>
      <Figures label={`${visibleLine(worker.name, 60)} now`}>
        <Figure
          label="Slots in use"
          value={gateway ? '–' : formatCount(running)}
          of={gateway ? 'gateway only' : `of ${formatCount(slots)}`}
        />
        <Figure label="CPU of process" value={`${Math.round(load.cpu * 100)}\u00a0%`} of="of one core" />
        <Figure label="CPU of machine" value={load.hostCpu === undefined ? '–' : formatShare(load.hostCpu)} />
        <Figure
          label="Memory"
          value={formatBytes(load.rss)}
          of={
            load.memoryLeft === undefined
              ? `${formatBytes(load.memoryFree)} free`
              : `${formatShare(load.memoryLeft)} left`
          }
        />
        <Figure
          label="Loop delay"
          value={`${load.eventLoopDelayMs < 10 ? load.eventLoopDelayMs.toFixed(1) : Math.round(load.eventLoopDelayMs)}\u00a0ms`}
          tone={load.eventLoopDelayMs > 100 ? 'text-warn' : ''}
        />
        <Figure label="Uptime" value={formatAge(now - Date.parse(worker.startedAt))} />
      </Figures>
      {!gateway && (
        <Part title="Running here" count={tasks.length}>
          <GateLine worker={worker} state={state} />
          {state === 'draining' && (
            <p className="px-2 py-1 text-dim" data-testid="until-empty">
              {running === 0 ? 'Empty.' : `Until empty: ${untilEmpty(running, tasks.map(leftOfTask))}.`}
            </p>
          )}
          {tasks.length === 0 && (
            <p className="px-2 py-2 text-dim">
              Idle, {slots} free {slots === 1 ? 'slot' : 'slots'}
            </p>
          )}
          <div className="grid grid-cols-[minmax(0,1fr)] gap-x-4 lg:grid-cols-2 2xl:grid-cols-3">
            {tasks.map((task) => (
              <SlotRow key={task._id} task={task} worker={worker} />
            ))}
          </div>
        </Part>
      )}
    </>
  )
}

/** The latest tasks that ended here in the chosen range. */
function EndedTasks({ name, now }: { name: string; now: number }) {
  const client = useFleetClient()
  const { from, to, chosen } = useRange()
  const { answer, error, tryAgain } = useAsked(() => client.tasks.list(endedOn(name, from, to)), {
    key: `ended on ${name} ${chosen}`,
    everyMs: AGAIN_MS,
  })
  return (
    <Part title="Last ended here">
      {answer === undefined && error === undefined && <p className="px-2 py-2 text-dim">Loading…</p>}
      {answer === undefined && error !== undefined && (
        <p className="px-2 py-2 text-dim">
          Unknown: <Foreign text={error.message} max={200} />{' '}
          <button type="button" className="rounded font-medium text-run hover:underline" onClick={tryAgain}>
            Try again
          </button>
        </p>
      )}
      {answer?.tasks.length === 0 && <p className="px-2 py-2 text-dim">No task ended here in this range.</p>}
      <ul aria-label="Ended tasks">
        {answer?.tasks.map((task) => (
          <EndedRow key={task._id} task={task} now={now} gone={false} />
        ))}
      </ul>
    </Part>
  )
}

/** The processes of this name, the newest first. */
function Processes({ workers, now }: { workers: readonly WorkerRow[]; now: number }) {
  const sorted = [...workers].sort((a, b) => b.startedAt.localeCompare(a.startedAt))
  return (
    <Part title={sorted.length === 1 ? 'Process' : 'Processes'}>
      <ul className="flex flex-col gap-3 px-2 py-1">
        {sorted.map((worker) => (
          <li key={worker._id} data-testid="process" data-worker={worker._id}>
            <dl className="grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-1">
              <Fact label="Version">
                <Foreign text={worker.version} max={40} />
              </Fact>
              {worker.host !== undefined && (
                <Fact label="Machine">
                  <Foreign text={worker.host} max={80} />
                  {worker.pid !== undefined && <span className="text-dim">, process {worker.pid}</span>}
                </Fact>
              )}
              <Fact label="Started">
                <Time at={worker.startedAt} now={now} />
                {worker.stoppedAt !== undefined && (
                  <>
                    , stopped <Time at={worker.stoppedAt} now={now} />
                  </>
                )}
              </Fact>
              {worker.role === 'worker' && (
                <>
                  <Fact label="Queues">
                    <Names names={worker.queues} most={30}>
                      {(queue) => (
                        <Link to="/queues/$queue" params={{ queue }} className="hover:underline">
                          <Foreign text={queue} max={60} />
                        </Link>
                      )}
                    </Names>
                  </Fact>
                  <Fact label="Handlers">
                    <Names names={worker.tasks} most={60} />
                  </Fact>
                </>
              )}
            </dl>
          </li>
        ))}
      </ul>
    </Part>
  )
}

function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <>
      <dt className="text-dim">{label}</dt>
      <dd className="min-w-0">{children}</dd>
    </>
  )
}
