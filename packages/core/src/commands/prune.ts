import type { Pruned, PruneRequest } from '@taskfleet/protocol'
import { durationWithin, given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { LOCAL } from '../auth/key-store.ts'
import { distinctValues } from '../database/distinct.ts'
import { againAfterElection } from '../database/unknown-outcome.ts'
import type { Fleet } from '../fleet.ts'
import { ENDED_STATUSES } from '../task/lifecycle.ts'
import type { EndedStatus } from '../task/retention.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'

type Parts = Pick<Fleet, 'tasks' | 'logs' | 'retention' | 'audit' | 'database'>

/** A request, with who made it for the audit log; by default, the process itself. */
type Asked = PruneRequest & { by?: string }

const AT_A_TIME = 500

/**
 * Permanently removes ended tasks and their log lines, in batches. Tasks that a blocked task waits for stay, because only their
 * retry lets it go on. May be interrupted and repeated at any point.
 *
 * @throws {FleetError} `OUT_OF_RANGE`
 */
export async function prune(fleet: Parts, request: Asked = {}): Promise<Pruned> {
  const { dryRun = false, by = LOCAL.id } = request
  if (request.olderThanMs !== undefined) durationWithin(request.olderThanMs, 'olderThanMs', { least: 0 })
  const pruned: Pruned = { matched: 0, removed: 0 }
  const filter = await meant(fleet, request)
  if (filter === null) return pruned
  const remove = async (ids: readonly ObjectId[]): Promise<void> => {
    const free = await notAwaited(fleet, ids)
    pruned.matched += free.length
    if (!dryRun && free.length > 0) pruned.removed += await removeTasks(fleet, free)
  }
  let batch: ObjectId[] = []
  for await (const { _id } of fleet.tasks.find(filter, { projection: { _id: 1 } }).batchSize(AT_A_TIME)) {
    batch.push(_id)
    if (batch.length < AT_A_TIME) continue
    await remove(batch)
    batch = []
  }
  await remove(batch)
  if (pruned.removed > 0) {
    const { statuses = ENDED_STATUSES, olderThanMs, name } = request
    const { matched, removed: changed } = pruned
    await fleet.audit.record({ by, action: 'prune', matched, changed, filter: { statuses, olderThanMs, name } })
  }
  return pruned
}

/** The filter of the tasks to remove; null when retention keeps all of them forever. */
async function meant(fleet: Parts, request: PruneRequest): Promise<mongo.Filter<TaskDocument> | null> {
  const { statuses = ENDED_STATUSES as readonly EndedStatus[], olderThanMs, name } = request
  const retention = await fleet.retention.get()
  const now = fleet.database.clock.now().getTime()
  const old = statuses.flatMap((status) => {
    const kept = olderThanMs ?? retention[status]
    return kept === null ? [] : [{ status, finishedAt: { $lte: new Date(now - kept) } }]
  })
  if (old.length === 0) return null
  return { $or: old, ...given({ name }) } as mongo.Filter<TaskDocument>
}

async function notAwaited({ tasks }: Parts, ids: readonly ObjectId[]): Promise<ObjectId[]> {
  if (ids.length === 0) return []
  const awaited = await distinctValues(tasks, 'after', { status: 'blocked', after: { $in: [...ids] } })
  const stay = new Set(awaited.map(String))
  return ids.filter((id) => !stay.has(String(id)))
}

/** Removes the task before its log lines, so that a task that was just retried keeps both. */
async function removeTasks({ tasks, logs }: Parts, ids: readonly ObjectId[]): Promise<number> {
  const gone = { _id: { $in: [...ids] }, status: { $in: [...ENDED_STATUSES] } } as mongo.Filter<TaskDocument>
  await againAfterElection(() => tasks.deleteMany(gone))
  const left = await tasks.find({ _id: { $in: [...ids] } }, { projection: { _id: 1 } }).toArray()
  const stayed = new Set(left.map(({ _id }) => String(_id)))
  const removed = ids.filter((id) => !stayed.has(String(id)))
  await logs.remove(removed)
  return removed.length
}
