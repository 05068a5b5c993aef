import type { HistoryRow, Percentiles, TaskRow, WorkerRow } from '@taskfleet/protocol'
import { type WorkerView, workerView } from '../live/row-source.ts'
import { countOf } from './counts.ts'
import { formatAge } from './format.ts'
import { mixedPercentile } from './history.ts'

const MINUTE_MS = 60_000

/** A line of the page: a worker or gateway, and its state. */
export interface HostLine {
  worker: WorkerRow
  state: WorkerView
}

export const isAlive = (state: WorkerView): boolean => state !== 'gone' && state !== 'stopped'

/** All live processes, and of each name that has none the newest one. Live ones come first. */
export function hostLines(workers: readonly WorkerRow[], now: number): HostLine[] {
  const lines = workers.map((worker) => ({ worker, state: workerView(worker, now) }))
  const alive = new Set(lines.filter(({ state }) => isAlive(state)).map(({ worker }) => worker.name))
  const newest = new Map<string, WorkerRow>()
  for (const worker of workers) {
    const other = newest.get(worker.name)
    if (other === undefined || other.startedAt < worker.startedAt) newest.set(worker.name, worker)
  }
  const rank = ({ worker, state }: HostLine): number => (isAlive(state) ? (worker.role === 'worker' ? 0 : 1) : 2)
  return lines
    .filter(({ worker, state }) => isAlive(state) || (!alive.has(worker.name) && newest.get(worker.name) === worker))
    .sort(
      (a, b) =>
        rank(a) - rank(b) ||
        a.worker.name.localeCompare(b.worker.name, 'en', { numeric: true }) ||
        a.worker._id.localeCompare(b.worker._id),
    )
}

/** The rows of the history that are about a host. */
export interface HostRows {
  rows: readonly HistoryRow[]
  /** How many workers these rows count together: the history names the machine, which may run several. */
  shared: number
}

/**
 * What ended on a host.
 * @param name of the worker
 * @param workers those that are known, live or not
 */
export function rowsOfHost(rows: readonly HistoryRow[], name: string, workers: readonly WorkerRow[]): HostRows {
  const named = rows.filter(({ host }) => host === name)
  if (named.length > 0) return { rows: named, shared: 1 }
  const machines = new Set(workers.flatMap((worker) => (worker.name === name ? [worker.host] : [])))
  const own = rows.filter(({ host }) => host !== undefined && machines.has(host))
  const names = new Set(
    workers.flatMap(({ name: other, host, role }) => (role === 'worker' && machines.has(host) ? [other] : [])),
  )
  return { rows: own, shared: Math.max(1, names.size) }
}

/** The 95th percentile of the runs of each task name that completed, in milliseconds. */
export function usualRuns(rows: readonly HistoryRow[]): ReadonlyMap<string, number> {
  const groups = new Map<string, Percentiles[]>()
  for (const { name, outcome, runMs } of rows) {
    if (outcome === 'completed') groups.set(name, [...(groups.get(name) ?? []), runMs])
  }
  return new Map(
    [...groups].flatMap(([name, runs]) => {
      const p95 = mixedPercentile(runs, 0.95)
      return p95 === undefined ? [] : [[name, p95] as const]
    }),
  )
}

/**
 * How long a running task still takes, in milliseconds: from its progress, else from the usual time of its handler. Undefined if it
 * runs for longer than that.
 *
 * @param byProgress as its progress says; undefined if that is unknown
 */
export function leftOf(
  task: Pick<TaskRow, 'name' | 'claimedAt'>,
  byProgress: number | undefined,
  usual: ReadonlyMap<string, number>,
  now: number,
): number | undefined {
  if (byProgress !== undefined) return byProgress
  const p95 = usual.get(task.name)
  if (p95 === undefined || task.claimedAt === undefined) return undefined
  const left = p95 - (now - Date.parse(task.claimedAt))
  return left > 0 ? left : undefined
}

/**
 * `14 tasks, about 11 m`: what a draining host still has to do.
 * @param running how many tasks it runs
 * @param left how long each of them still takes; undefined where that is unknown
 */
export function untilEmpty(running: number, left: readonly (number | undefined)[]): string {
  if (running === 0) return 'empty'
  const known = left.filter((ms) => ms !== undefined)
  const time = known.length < running ? 'time unknown' : `about ${formatAge(roundUp(Math.max(...known)))}`
  return `${countOf(running, 'task')}, ${time}`
}

/** To whole minutes, if it is more than one. */
const roundUp = (ms: number): number => (ms > MINUTE_MS ? Math.ceil(ms / MINUTE_MS) * MINUTE_MS : ms)
