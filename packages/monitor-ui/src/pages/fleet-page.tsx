import { Link } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useHeldRows, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { type ReactNode, useMemo, useState } from 'react'
import { ActivityPanel } from '../components/activity-panel.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { SetAsideLine } from '../components/set-aside-line.tsx'
import { SlotRow } from '../components/slot-row.tsx'
import { EndedRow, WaitingRow } from '../components/waiting-list.tsx'
import { WorkerCard } from '../components/worker-card.tsx'
import { useTracks } from '../live/progress-tracks.ts'
import { BOARD_LIMIT, ENDED, NEXT_UP, RUNNING, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { endedRate, formatTaskRate, sumSlots } from '../view/activity.ts'
import { formatCount, formatCountShort, phases } from '../view/counts.ts'
import { formatBytes } from '../view/format.ts'

/** Ended hosts stay in view this long. */
const FAREWELL_MS = 10 * 60_000
const SHOWN_WAITING = 14
const SHOWN_ENDED = 14

/** The hosts worth a card: all that live, and those that ended lately unless they were started again. */
export function boardWorkers(workers: readonly WorkerRow[], now: number): WorkerRow[] {
  const alive = (worker: WorkerRow) => {
    const state = workerView(worker, now)
    return state !== 'gone' && state !== 'stopped'
  }
  const names = new Set(workers.filter(alive).map(({ name }) => name))
  const newest = new Map<string, WorkerRow>()
  for (const worker of workers) {
    const other = newest.get(worker.name)
    if (other === undefined || other.startedAt < worker.startedAt) newest.set(worker.name, worker)
  }
  const shown = workers.filter(
    (worker) =>
      alive(worker) ||
      (!names.has(worker.name) &&
        newest.get(worker.name) === worker &&
        now - Date.parse(worker.stoppedAt ?? worker.heartbeatAt) < FAREWELL_MS),
  )
  const rank = (worker: WorkerRow) => (alive(worker) ? (worker.role === 'worker' ? 0 : 1) : 2)
  return shown.sort(
    (a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, 'en', { numeric: true }) || a._id.localeCompare(b._id),
  )
}

export function FleetPage() {
  const tracks = useTracks()
  const now = useServerTime()
  const workers = useLiveQuery(WORKERS)
  const running = useLiveQuery(RUNNING)
  const waiting = useLiveQuery(NEXT_UP)
  const ended = useLiveQuery(ENDED)
  const statistics = useStats()
  const { stats } = statistics
  const [onWaiting, setOnWaiting] = useState(false)
  const [onEnded, setOnEnded] = useState(false)
  const next = useHeldRows('next', waiting.rows, onWaiting).rows
  const past = useHeldRows('past', ended.rows, onEnded).rows

  const cards = boardWorkers(workers.rows, now)
  const byWorker = useMemo(() => groupByWorker(running.rows), [running.rows])
  const endedById = useMemo(() => new Map(ended.rows.map((task) => [task._id, task])), [ended.rows])
  const known = new Set(cards.map(({ _id }) => _id))
  const homeless = running.rows.filter(({ worker }) => worker === undefined || !known.has(worker))

  const due = next.filter(({ row }) => !isAhead(row, now) && row.status === 'pending')
  const later = next.filter(({ row }) => isAhead(row, now)).sort((a, b) => a.row.runAt.localeCompare(b.row.runAt))
  const held = next.filter(({ row }) => row.status === 'blocked' || row.status === 'paused')
  const hosts = cards.filter(({ role }) => role === 'worker')
  const live = hosts.filter((worker) => ['running', 'draining'].includes(workerView(worker, now)))
  const slots = live.reduce((sum, worker) => sum + worker.slots, 0)
  const total = stats === undefined ? undefined : phases(stats.byStatus)
  const setAside = stats === undefined ? 0 : stats.byStatus.paused + stats.byStatus.blocked
  const failed = stats?.byStatus.failed
  const rate = running.rows.reduce(
    (sum, task) => sum + (task.progress?.unit === 'bytes' ? (tracks.of(task, now).rate(now) ?? 0) : 0),
    0,
  )
  const lately = stats === undefined ? undefined : sumSlots(stats.slots)
  const loaded = workers.loaded && running.loaded
  const refused = workers.error !== undefined || running.error !== undefined

  return (
    <div className="mx-auto flex w-full max-w-[1900px] flex-col gap-3 p-3 sm:p-4">
      <h1 className="sr-only">Fleet</h1>
      <dl
        className="panel dims grid grid-cols-2 overflow-hidden sm:grid-cols-4 xl:grid-cols-7"
        aria-label="Fleet totals"
      >
        <Total
          label="Hosts live"
          value={live.length}
          of={hosts.length > live.length ? `of ${hosts.length}` : ''}
          tone={live.length < hosts.length ? 'text-warn' : ''}
        />
        <Total label="Running" value={counted(total?.running)} of={slots > 0 ? `of ${formatCount(slots)} slots` : ''} />
        <Total
          label="Waiting"
          value={counted(total?.waiting)}
          of={setAside > 0 ? `${formatCountShort(setAside)} held` : ''}
        />
        <Total
          label="Failed"
          value={counted(failed)}
          of={lately === undefined || lately.failed === 0 ? '' : `${formatCountShort(lately.failed)} in 5 min`}
          tone={failed === undefined || failed === 0 ? '' : 'text-bad'}
        />
        <Total
          label="Ended"
          value={counted(total?.ended)}
          of={stats === undefined ? '' : `${formatCountShort(stats.byStatus.completed)} completed`}
        />
        <Total
          label="Task rate"
          value={stats === undefined ? '…' : formatTaskRate(endedRate(stats.rates))}
          of={stats === undefined ? '' : `${formatTaskRate(stats.rates.enqueued)} new`}
        />
        <Total
          label="Total rate"
          value={`${formatBytes(rate)}/s`}
          of={running.rows.length >= BOARD_LIMIT ? `of the first ${BOARD_LIMIT}` : ''}
        />
      </dl>
      <RowsProblem views={[workers, running, waiting, ended, statistics]} />
      <SetAsideLine />
      <ActivityPanel stats={stats} now={now} />
      <div className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 xl:grid-cols-[minmax(0,1fr)_340px]">
        <div className="grid gap-3 [grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr))]">
          {cards.map((worker) => (
            <WorkerCard key={worker._id} worker={worker} tasks={byWorker.get(worker._id) ?? NONE} ended={endedById} />
          ))}
          {workers.loaded && homeless.length > 0 && (
            <section className="panel p-2.5" aria-label="Tasks on unknown hosts">
              <h2 className="heading mb-2 px-2">On unknown hosts</h2>
              {homeless.map((task) => (
                <SlotRow key={task._id} task={task} worker={undefined} />
              ))}
            </section>
          )}
          {loaded && cards.length === 0 && (
            <EmptyNote title="No host is here yet">
              Start one with <code className="font-mono text-text">taskfleet worker --tasks FILE</code>; it shows up
              here at once.
            </EmptyNote>
          )}
          {!loaded && !refused && <EmptyNote title="Asking the gateway…" />}
        </div>
        <aside className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 md:grid-cols-[repeat(2,minmax(0,1fr))] xl:grid-cols-[minmax(0,1fr)]">
          <SidePanel
            title="Next up"
            onPoint={setOnWaiting}
            count={total?.waiting}
            link={
              <Link
                to="/tasks"
                search={{ status: ['pending', 'paused', 'blocked'], sort: '-priority' }}
                className="hover:underline"
              >
                All waiting
              </Link>
            }
          >
            {waiting.rows.length === 0 && <Nothing>{waiting.loaded ? 'Nothing waits.' : 'Loading…'}</Nothing>}
            <ul aria-label="Waiting tasks">
              {due.slice(0, SHOWN_WAITING).map(({ row, gone }) => (
                <WaitingRow key={row._id} task={row} now={now} gone={gone} />
              ))}
            </ul>
            {later.length > 0 && <SubHeading>Scheduled</SubHeading>}
            <ul aria-label="Scheduled tasks">
              {later.slice(0, 6).map(({ row, gone }) => (
                <WaitingRow key={row._id} task={row} now={now} gone={gone} />
              ))}
            </ul>
            {held.length > 0 && <SubHeading>Held</SubHeading>}
            <ul aria-label="Held tasks">
              {held.slice(0, 4).map(({ row, gone }) => (
                <WaitingRow key={row._id} task={row} now={now} gone={gone} />
              ))}
            </ul>
          </SidePanel>
          <SidePanel
            title="Recently ended"
            onPoint={setOnEnded}
            link={
              <Link
                to="/tasks"
                search={{ status: ['completed', 'failed', 'cancelled'], sort: '-finishedAt' }}
                className="hover:underline"
              >
                All ended
              </Link>
            }
          >
            {ended.rows.length === 0 && <Nothing>{ended.loaded ? 'Nothing has ended yet.' : 'Loading…'}</Nothing>}
            <ul aria-label="Ended tasks">
              {past.slice(0, SHOWN_ENDED).map(({ row, gone }) => (
                <EndedRow key={row._id} task={row} now={now} gone={gone} />
              ))}
            </ul>
          </SidePanel>
        </aside>
      </div>
    </div>
  )
}

/** A figure of the header, which takes no more than six characters. */
function counted(count: number | undefined): ReactNode {
  if (count === undefined) return '…'
  return <span title={formatCount(count)}>{formatCountShort(count)}</span>
}

/** Whether a waiting task's time has not come yet. */
function isAhead(task: TaskRow, now: number): boolean {
  return task.status === 'pending' && Date.parse(task.runAt) > now
}

const NONE: readonly TaskRow[] = []

function groupByWorker(tasks: readonly TaskRow[]): ReadonlyMap<string, readonly TaskRow[]> {
  const groups = new Map<string, TaskRow[]>()
  for (const task of tasks) {
    if (task.worker === undefined) continue
    const group = groups.get(task.worker)
    if (group === undefined) groups.set(task.worker, [task])
    else group.push(task)
  }
  return groups
}

function Total({ label, value, of, tone = '' }: { label: string; value: ReactNode; of: string; tone?: string }) {
  return (
    <div className="-mt-px -ml-px border-t border-l border-line px-4 py-2.5 max-sm:last:col-span-full sm:max-xl:last:col-span-2">
      <dt className="heading">{label}</dt>
      <dd className="flex items-baseline gap-2">
        <span className={`text-xl font-semibold whitespace-nowrap ${tone}`}>{value}</span>
        <span className="truncate text-xs text-dim" title={of}>
          {of}
        </span>
      </dd>
    </div>
  )
}

function SidePanel({
  title,
  count,
  link,
  onPoint,
  children,
}: {
  title: string
  count?: number | undefined
  link: ReactNode
  /** Somebody points at its rows, or no longer. */
  onPoint: (pointed: boolean) => void
  children: ReactNode
}) {
  return (
    <section
      className="panel p-2"
      aria-label={title}
      onPointerEnter={(event) => event.pointerType !== 'touch' && onPoint(true)}
      onPointerLeave={() => onPoint(false)}
    >
      <div className="mb-1 flex items-baseline justify-between px-2 pt-1">
        <h2 className="heading">
          {title}
          {count !== undefined && count > 0 && <span className="ml-1.5 font-normal">{formatCount(count)}</span>}
        </h2>
        <span className="text-xs text-run">{link}</span>
      </div>
      {children}
    </section>
  )
}

function SubHeading({ children }: { children: ReactNode }) {
  return <h3 className="mt-2 mb-0.5 border-t border-line px-2 pt-2 text-[11px] font-medium text-dim">{children}</h3>
}

function Nothing({ children }: { children: ReactNode }) {
  return <p className="px-2 py-2 text-dim">{children}</p>
}
