import { type Connection, type Model, Schema } from 'mongoose'
import { type IndexSpec, indexSpecs } from '../database/index-specs.ts'
import { mongooseFields } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { OPEN_STATUSES } from './lifecycle.ts'
import type { TaskDocument } from './task-document.ts'

const taskSchema = new Schema(mongooseFields(SHAPES.tasks), {
  collection: 'tasks',
  versionKey: false,
  minimize: false,
  autoIndex: false,
  strict: true,
})

/** Claim order within a queue: workers find their next tasks in one walk along this index. */
taskSchema.index({ status: 1, queue: 1, priority: -1, order: 1, _id: 1 }, { name: 'claim_order' })
/** The next tasks that are not due yet. */
taskSchema.index({ status: 1, queue: 1, runAt: 1 }, { name: 'next_due' })
/** For every fenced write. */
taskSchema.index({ 'lease.id': 1 }, { name: 'lease', sparse: true })
/** For the reaper: the session of each running task. */
taskSchema.index({ 'lease.session': 1, _id: 1 }, { name: 'running', partialFilterExpression: { status: 'running' } })
/** For leases of earlier versions. */
taskSchema.index({ 'lease.expiresAt': 1 }, { name: 'lease_expiry', sparse: true })
/** Exact limits: no two tasks hold the same place in a queue. */
taskSchema.index({ slot: 1 }, { name: 'slot', unique: true, partialFilterExpression: { slot: { $exists: true } } })
/** The deadlines that come next. */
taskSchema.index({ raiseAt: 1 }, { name: 'raise', sparse: true })
/** For coverage: waiting tasks by name and version. */
taskSchema.index({ status: 1, name: 1, version: 1 }, { name: 'coverage' })
taskSchema.index({ after: 1 }, { name: 'after', sparse: true })
/** No two open tasks of a queue have the same key. */
taskSchema.index(
  { queue: 1, key: 1 },
  {
    name: 'open_key_in_queue',
    unique: true,
    partialFilterExpression: { key: { $exists: true }, status: { $in: [...OPEN_STATUSES] } },
  },
)
/** For recently ended tasks: statistics after a start, and replays of a period. */
taskSchema.index({ finishedAt: 1 }, { name: 'finished', sparse: true })
taskSchema.index({ expireAt: 1 }, { name: 'retention', expireAfterSeconds: 0 })

/** The indexes of this file. Those of other parts are in `database/indexes.ts`. */
export const taskIndexes = (): IndexSpec[] => indexSpecs('tasks', taskSchema)

/** The mongoose model of the collection `tasks` on this connection. */
export function taskModel(connection: Connection): Model<TaskDocument> {
  return (connection.models.Task ?? connection.model('Task', taskSchema)) as unknown as Model<TaskDocument>
}
