import { getRouteApi } from '@tanstack/react-router'
import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { useHeldRows, useLiveQuery, useServerTime, useStats } from '@taskfleet/react'
import { useTracks } from '@taskfleet/react/internal'
import { Fragment, lazy, type ReactNode, Suspense, useMemo, useState } from 'react'
import { AttentionPanel } from '../components/attention-panel.tsx'
import { loadFleetCharts } from '../components/load-fleet-charts.ts'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { Part } from '../components/part.tsx'
import { SlotRow } from '../components/slot-row.tsx'
import { EndedRow, WaitingRow } from '../components/waiting-list.tsx'
import { WorkerCard } from '../components/worker-card.tsx'
import { useWorkersTime } from '../live/hooks.ts'
import { BOARD_LIMIT, ENDED, NEXT_UP, RUNNING, WORKERS } from '../live/queries.ts'
import { workerView } from '../live/row-source.ts'
import { useUsualRuns } from '../live/usual-runs.ts'
import { SetAsideLine, WallBar } from '../shell/dialogs.tsx'
import { useTitle } from '../shell/use-title.ts'
import { endedRate, formatTaskRate, sumSlots } from '../view/activity.ts'
import { formatCount, formatCountShort, phases } from '../view/counts.ts'
import { formatBytes } from '../view/format.ts'

const FleetCharts = lazy(loadFleetCharts)
const route = getRouteApi('/')
/** Stopped hosts stay on the page this long. */
const FAREWELL_MS = 10 * 60_000
const SHOWN_WAITING = 14
const SHOWN_ENDED = 14

/** The hosts that get a card: all live ones, and those that stopped recently and were not started again. */
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

export function NowPage() {
  useTitle('Now')
  const { wall } = route.useSearch()
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

  const usual = useUsualRuns()
  const workersTime = useWorkersTime()
  const cards = boardWorkers(workers.rows, workersTime)
  const byWorker = useMemo(() => groupByWorker(running.rows), [running.rows])
  const endedById = useMemo(() => new Map(ended.rows.map((task) => [task._id, task])), [ended.rows])
  const known = new Set(cards.map(({ _id }) => _id))
  const homeless = running.rows.filter(({ worker }) => worker === undefined || !known.has(worker))

  const due = next.filter(({ row }) => !isAhead(row, now) && row.status === 'pending')
  const later = next.filter(({ row }) => isAhead(row, now)).sort((a, b) => a.row.runAt.localeCompare(b.row.runAt))
  const held = next.filter(({ row }) => row.status === 'blocked' || row.status === 'paused')
  const upNext = [
    { label: 'Waiting tasks', rows: due.slice(0, SHOWN_WAITING) },
    { label: 'Scheduled tasks', heading: 'Scheduled', rows: later.slice(0, 6) },
    { label: 'Held tasks', heading: 'Held', rows: held.slice(0, 4) },
  ]
  const hosts = cards.filter(({ role }) => role === 'worker')
  const live = hosts.filter((worker) => ['running', 'draining'].includes(workerView(worker, workersTime)))
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
      <h1 className="sr-only">Now</h1>
      {wall && <WallBar />}
      <AttentionPanel now={now} />
      <SetAsideLine />
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
        <Total label="Running" value={counted(total?.running)} of={slots > 0 ? slotsText(total?.running, slots) : ''} />
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
      <Suspense fallback={<div className="h-[430px] lg:h-[142px]" />}>
        <FleetCharts slots={stats?.slots} />
      </Suspense>
      <div
        className={`grid grid-cols-[minmax(0,1fr)] items-start gap-3 ${wall ? '' : 'xl:grid-cols-[minmax(0,1fr)_340px]'}`}
      >
        <div className="grid gap-3 [grid-template-columns:repeat(auto-fill,minmax(min(100%,350px),1fr))]">
          {cards.map((worker) => (
            <WorkerCard
              key={worker._id}
              worker={worker}
              tasks={byWorker.get(worker._id) ?? NONE}
              ended={endedById}
              usual={usual}
            />
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
            <EmptyNote title="There are no hosts yet">
              Start one with <code className="font-mono text-text">taskfleet worker --tasks FILE</code>. It appears here
              at once.
            </EmptyNote>
          )}
          {!loaded && !refused && <EmptyNote title="Loading…" />}
        </div>
        {!wall && (
          <aside className="grid grid-cols-[minmax(0,1fr)] items-start gap-3 md:grid-cols-[repeat(2,minmax(0,1fr))] xl:grid-cols-[minmax(0,1fr)]">
            <Part
              title="Next up"
              onPoint={setOnWaiting}
              count={total?.waiting}
              all={{ label: 'All waiting', search: { status: ['pending', 'paused', 'blocked'], sort: '-priority' } }}
            >
              {waiting.rows.length === 0 && <Nothing>{waiting.loaded ? 'No task waits.' : 'Loading…'}</Nothing>}
              {upNext.map(({ label, heading, rows }) => (
                <Fragment key={label}>
                  {heading !== undefined && rows.length > 0 && <SubHeading>{heading}</SubHeading>}
                  <ul aria-label={label}>
                    {rows.map(({ row, gone }) => (
                      <WaitingRow key={row._id} task={row} now={now} gone={gone} />
                    ))}
                  </ul>
                </Fragment>
              ))}
            </Part>
            <Part
              title="Recently ended"
              onPoint={setOnEnded}
              all={{
                label: 'All ended',
                search: { status: ['completed', 'failed', 'cancelled'], sort: '-finishedAt' },
              }}
            >
              {ended.rows.length === 0 && <Nothing>{ended.loaded ? 'No task has ended yet.' : 'Loading…'}</Nothing>}
              <ul aria-label="Ended tasks">
                {past.slice(0, SHOWN_ENDED).map(({ row, gone }) => (
                  <EndedRow key={row._id} task={row} now={now} gone={gone} />
                ))}
              </ul>
            </Part>
          </aside>
        )}
      </div>
    </div>
  )
}

/** A count in at most six characters. */
function counted(count: number | undefined): ReactNode {
  if (count === undefined) return '…'
  return <span title={formatCount(count)}>{formatCountShort(count)}</span>
}

/** Whether a waiting task is scheduled for later. */
function isAhead(task: TaskRow, now: number): boolean {
  return task.status === 'pending' && Date.parse(task.runAt) > now
}

const NONE: readonly TaskRow[] = []

function groupByWorker(tasks: readonly TaskRow[]): ReadonlyMap<string, readonly TaskRow[]> {
  const groups = new Map<string, TaskRow[]>()
  for (const task of tasks) {
    if (task.worker !== undefined) groups.set(task.worker, [...(groups.get(task.worker) ?? []), task])
  }
  return groups
}

/** Short tasks that are claimed ahead count as running before they have a slot. */
function slotsText(running = 0, slots: number): string {
  const ahead = running > slots ? `, ${formatCount(running - slots)} ahead` : ''
  return `${ahead === '' ? 'of' : 'on'} ${formatCount(slots)} slots${ahead}`
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

function SubHeading({ children }: { children: ReactNode }) {
  return <h3 className="mt-2 mb-0.5 border-t border-line px-2 pt-2 text-[11px] font-medium text-dim">{children}</h3>
}

function Nothing({ children }: { children: ReactNode }) {
  return <p className="px-2 py-2 text-dim">{children}</p>
}
