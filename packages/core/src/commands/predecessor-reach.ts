import type { mongo } from 'mongoose'
import type { Principal } from '../auth/key-store.ts'
import { visibleTo } from '../auth/reach.ts'
import { predecessorsOf } from '../task/dependencies.ts'
import { notFound } from '../task/dependency-edit.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'

/**
 * A key that is limited to queues or names may let tasks wait only for tasks that it can see. For all others, it gets the same
 * error as for tasks that don't exist.
 *
 * @throws {FleetError} `NOT_FOUND`
 */
export async function requirePredecessors(
  tasks: mongo.Collection<TaskDocument>,
  principal: Principal,
  asked: readonly { after?: ObjectId | ObjectId[] }[],
): Promise<void> {
  const visible = visibleTo(principal)
  const ids = asked.flatMap(predecessorsOf)
  if (visible === undefined || ids.length === 0) return
  const foreign = { _id: { $in: ids }, $nor: [visible] } as mongo.Filter<TaskDocument>
  const found = await tasks.findOne(foreign, { projection: { _id: 1 } })
  if (found !== null) throw notFound(found._id)
}
