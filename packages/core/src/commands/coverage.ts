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
  waiting: number
  due: number
  running: number
  oldest?: Date
}

interface Targets {
  schedules: readonly ScheduleDocument[]
  callbacks: readonly CallbackDocument[]
}

const countOf = (when: object): object => ({ $sum: { $cond: [when, 1, 0] } })

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
  const isPending = { $eq: ['$status', 'pending'] }
  const isDue = { $lte: [millis('$runAt', Number.MAX_SAFE_INTEGER), now.getTime()] }
  const isText = (path: string): object => ({ $eq: [{ $type: path }, 'string'] })
  const readable = { $and: [isText('$queue'), isText('$name'), { $isNumber: '$version' }] }
  const groups = await tasks
    .aggregate<Group>([
      { $match: { $and: [{ status: { $in: ['pending', 'running'] } }, { $expr: readable }, visible] } },
      {
        $group: {
          _id: { queue: '$queue', name: '$name', version: '$version' },
          waiting: countOf(isPending),
          due: countOf({ $and: [isPending, isDue] }),
          running: countOf({ $eq: ['$status', 'running'] }),
          oldest: { $min: { $toDate: millis('$runAt') } },
        },
      },
    ])
    .toArray()
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
  for (const {
    _id: { queue, name, version },
    oldest,
    waiting,
    due,
    running,
  } of groups) {
    const oldestAt = oldest instanceof Date ? { oldest: oldest.toISOString() } : {}
    Object.assign(rowOf(queue, name, version), { waiting, due, running, ...oldestAt })
  }
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
