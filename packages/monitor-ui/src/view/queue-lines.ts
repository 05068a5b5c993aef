import {
  type CoverageRow,
  type FleetStats,
  type QueueRow,
  STATUSES,
  shortDuration,
  type TaskStatus,
  type WorkerRow,
} from '@taskfleet/protocol'
import { formatCount, phases } from './counts.ts'

/** A line of the page. */
export interface QueueLine {
  name: string
  settings: QueueRow | undefined
  counts: Record<TaskStatus, number>
  /** Waiting tasks, for any reason. */
  waiting: number
  /** Its share of the fleet's waiting tasks, 0..1. */
  share: number
  /** Names of the workers that serve it. */
  workers: string[]
}

/** Every queue that has settings or tasks, or that a live worker serves. */
export function queueLines(known: {
  queues: readonly QueueRow[]
  workers: readonly WorkerRow[]
  byQueue: FleetStats['byQueue']
}): QueueLine[] {
  const byQueue = new Map(Object.entries(known.byQueue))
  const settings = new Map(known.queues.map((queue) => [queue._id, queue]))
  const serving = new Map<string, string[]>()
  for (const { name, queues } of known.workers) {
    for (const queue of queues) serving.set(queue, [...(serving.get(queue) ?? []), name])
  }
  const all = [...byQueue.values()].reduce((sum, counts) => sum + phases(counts).waiting, 0)
  return [...new Set([...settings.keys(), ...serving.keys(), ...byQueue.keys()])]
    .map((name) => {
      const counts = Object.fromEntries(
        STATUSES.map((status) => [status, byQueue.get(name)?.[status] ?? 0]),
      ) as QueueLine['counts']
      const { waiting } = phases(counts)
      return {
        name,
        settings: settings.get(name),
        counts,
        waiting,
        share: all === 0 ? 0 : waiting / all,
        workers: serving.get(name) ?? [],
      }
    })
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}

/** The limits of a queue as text; empty without limits. */
export function limitsLine({ concurrency, rate, maxWaiting }: QueueRow): string {
  return [
    concurrency === undefined ? [] : `at most ${formatCount(concurrency)} at once`,
    rate === undefined ? [] : `at most ${formatCount(rate.limit)} per ${shortDuration(rate.per)}`,
    maxWaiting === undefined ? [] : `at most ${formatCount(maxWaiting)} waiting`,
  ]
    .flat()
    .join(', ')
}

/** When the oldest due task of a queue was due, in milliseconds. Undefined if none waits, or nothing is known. */
export function oldestDue(
  coverage: readonly CoverageRow[] | undefined,
  queue: string,
  now: number,
): number | undefined {
  const dates = (coverage ?? []).flatMap((row) =>
    row.queue === queue && row.due > 0 && row.oldest !== undefined ? [Date.parse(row.oldest)] : [],
  )
  const oldest = Math.min(...dates)
  return oldest <= now ? oldest : undefined
}
