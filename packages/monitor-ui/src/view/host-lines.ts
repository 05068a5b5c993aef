import type { TaskRow, WorkerRow } from '@taskfleet/protocol'
import { type WorkerView, workerView } from '../live/row-source.ts'
import { countOf } from './counts.ts'
import { formatAge } from './format.ts'

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
