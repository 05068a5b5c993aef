import type { StoredDownload } from '@taskfleet/download-contract'
import type { TaskRow } from '@taskfleet/protocol'
import { countOf, formatCount } from './counts.ts'
import { servesDownloads } from './download-task.ts'
import { type HostLine, isAlive } from './host-lines.ts'
import { withToken } from './task-tokens.ts'

/** The current rate of a running task in bytes a second; 0 while unknown. */
export type RateOf = (task: TaskRow) => number

/** The downloads of one origin. */
export interface OriginLine {
  /** A URL's host, with its port if it has one; undefined for tasks without the label. */
  origin: string | undefined
  running: number
  waiting: number
  failed: number
  /** In bytes a second, of all that run. */
  rate: number
}

const originOf = ({ labels }: Pick<TaskRow, 'labels'>): string | undefined => labels?.origin

/** The downloads by origin: first where most run, then where most wait, then where most failed. */
export function originLines(
  tasks: Record<'running' | 'waiting' | 'failed', readonly TaskRow[]>,
  rateOf: RateOf,
): OriginLine[] {
  const lines = new Map<string | undefined, OriginLine>()
  for (const state of ['running', 'waiting', 'failed'] as const) {
    for (const task of tasks[state]) {
      const origin = originOf(task)
      const line = lines.get(origin) ?? { origin, running: 0, waiting: 0, failed: 0, rate: 0 }
      lines.set(origin, line)
      line[state] += 1
      if (state === 'running') line.rate += rateOf(task)
    }
  }
  return [...lines.values()].sort(
    (a, b) =>
      b.running - a.running ||
      b.waiting - a.waiting ||
      b.failed - a.failed ||
      (a.origin ?? '').localeCompare(b.origin ?? '', 'en', { numeric: true }),
  )
}

/** The search text for the tasks of an origin. */
export const originSearch = (origin: string): string => withToken('', 'label.origin', origin)

/** A host and its downloads. */
export interface DownloadHost extends HostLine {
  running: number
  /** In bytes a second, of all that run there. */
  rate: number
}

/** The live hosts that serve or run downloads, in the order of `lines`. */
export function downloadHosts(lines: readonly HostLine[], running: readonly TaskRow[], rateOf: RateOf): DownloadHost[] {
  return lines.flatMap(({ worker, state }) => {
    const own = running.filter((task) => task.worker === worker._id)
    if (worker.role !== 'worker' || !isAlive(state) || !(servesDownloads(worker) || own.length > 0)) return []
    return [{ worker, state, running: own.length, rate: own.reduce((sum, task) => sum + rateOf(task), 0) }]
  })
}

/** Bytes that running downloads still have to fetch, as far as their sizes are known. */
export function bytesLeft(tasks: readonly Pick<TaskRow, 'progress'>[]): number {
  return tasks.reduce((sum, { progress }) => {
    const { done = 0, total, unit } = progress ?? {}
    return unit === 'bytes' && total !== undefined ? sum + Math.max(0, total - done) : sum
  }, 0)
}

/** What became of a list: `12 downloads queued; 3 were there already`. */
export function storedText(stored: readonly StoredDownload[]): { kind: 'good' | 'bad'; text: string } {
  const fresh = stored.filter((one) => one.fresh).length
  const there = stored.length - fresh
  const unserved = stored.some(({ served }) => served === false)
  const text = [
    `${countOf(fresh, 'download')} queued`,
    there === 0 ? [] : `${formatCount(there)} ${there === 1 ? 'was' : 'were'} there already`,
    unserved ? 'no live worker serves them in this queue yet' : [],
  ]
    .flat()
    .join('; ')
  return { kind: unserved ? 'bad' : 'good', text }
}
