import type { CoverageRow } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { CallbackDocument } from '../events/event-document.ts'
import { serves } from '../handlers/published-handlers.ts'
import type { ScheduleDocument } from '../schedules/schedule-document.ts'
import { millis } from '../task/server-time.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'

/** The waiting and running tasks of one queue, name and version. */
interface Group {
  _id: { queue: string; name: string; version: number }
  count: number
  due: number
  oldest?: Date
}

interface Targets {
  schedules: readonly ScheduleDocument[]
  callbacks: readonly CallbackDocument[]
}

/** Dates that are malformed are not counted. */
function mindOldest(row: CoverageRow, found: unknown): void {
  if (!(found instanceof Date)) return
  const oldest = found.toISOString()
  if (row.oldest === undefined || oldest < row.oldest) row.oldest = oldest
}

/**
 * Which `name@version` waits or runs in which queue, or will be made by a schedule or a callback, and which live workers serve it.
 * The ones without a worker come first.
 *
 * @param visible a filter for what the caller may see
 */
export async function coverage(
  tasks: mongo.Collection,
  live: readonly WorkerDocument[],
  { schedules, callbacks }: Targets,
  now: Date,
  visible: Record<string, unknown> = {},
): Promise<CoverageRow[]> {
  const isDue = { $lte: [millis('$runAt', Number.MAX_SAFE_INTEGER), now.getTime()] }
  const isText = (path: string): object => ({ $eq: [{ $type: path }, 'string'] })
  const readable = { $and: [isText('$queue'), isText('$name'), { $isNumber: '$version' }] }
  const groupsOf = (status: 'pending' | 'running'): Promise<Group[]> =>
    tasks
      .aggregate<Group>([
        { $match: { $and: [{ status }, { $expr: readable }, visible] } },
        {
          $group: {
            _id: { queue: '$queue', name: '$name', version: '$version' },
            count: { $sum: 1 },
            due: { $sum: { $cond: [isDue, 1, 0] } },
            oldest: { $min: { $toDate: millis('$runAt') } },
          },
        },
      ])
      .toArray()
  // Each status has an index of its own.
  const [pending, running] = await Promise.all([groupsOf('pending'), groupsOf('running')])
  const rows = new Map<string, CoverageRow>()
  const rowOf = (queue: string, name: string, version: number): CoverageRow => {
    const key = JSON.stringify([queue, name, version])
    const known = rows.get(key)
    if (known !== undefined) return known
    const serving = live.filter((worker) => worker.queues.includes(queue) && serves(worker, name, version))
    const row: CoverageRow = {
      queue,
      name,
      version,
      waiting: 0,
      due: 0,
      running: 0,
      workers: serving.map((worker) => worker.name),
      served: serving.length > 0,
      schedules: [],
      callbacks: 0,
    }
    rows.set(key, row)
    return row
  }
  for (const { _id, count, due, oldest } of pending) {
    const row = Object.assign(rowOf(_id.queue, _id.name, _id.version), { waiting: count, due })
    mindOldest(row, oldest)
  }
  for (const { _id, count } of running) rowOf(_id.queue, _id.name, _id.version).running = count
  for (const { _id, task, version, options, paused } of schedules) {
    if (!paused) rowOf(options.queue, task, version).schedules.push(_id)
  }
  for (const { task, version, defaults } of callbacks) rowOf(defaults.queue ?? 'default', task, version).callbacks += 1
  return [...rows.values()].sort(
    (a, b) =>
      Number(a.served) - Number(b.served) ||
      a.name.localeCompare(b.name) ||
      a.version - b.version ||
      a.queue.localeCompare(b.queue),
  )
}
