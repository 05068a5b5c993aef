import type { Connection, Model } from 'mongoose'
import { loadMongoose } from '../database/driver.ts'
import type { IndexSpec } from '../database/index-specs.ts'
import { mongooseFields } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { OPEN_STATUSES } from './lifecycle.ts'
import type { TaskDocument } from './task-document.ts'

const INDEXES: readonly Omit<IndexSpec, 'collection'>[] = [
  /** Claim order within a queue: workers find their next tasks in one walk along this index. */
  { key: { status: 1, queue: 1, priority: -1, order: 1, _id: 1 }, name: 'claim_order' },
  /** The next tasks that are not due yet. */
  { key: { status: 1, queue: 1, runAt: 1 }, name: 'next_due' },
  /** For every fenced write. */
  { key: { 'lease.id': 1 }, name: 'lease', sparse: true },
  /** For the reaper: the session of each running task. */
  { key: { 'lease.session': 1, _id: 1 }, name: 'running', partialFilterExpression: { status: 'running' } },
  /** For leases of earlier versions. */
  { key: { 'lease.expiresAt': 1 }, name: 'lease_expiry', sparse: true },
  /** Exact limits: no two tasks hold the same place in a queue. */
  { key: { slot: 1 }, name: 'slot', unique: true, partialFilterExpression: { slot: { $exists: true } } },
  /** The deadlines that come next. */
  { key: { raiseAt: 1 }, name: 'raise', sparse: true },
  /** For coverage: waiting tasks by name and version. */
  { key: { status: 1, name: 1, version: 1 }, name: 'coverage' },
  { key: { after: 1 }, name: 'after', sparse: true },
  /** No two open tasks of a queue have the same key. */
  {
    key: { queue: 1, key: 1 },
    name: 'open_key_in_queue',
    unique: true,
    partialFilterExpression: { key: { $exists: true }, status: { $in: [...OPEN_STATUSES] } },
  },
  /** For recently ended tasks: statistics after a start, and replays of a period. */
  { key: { finishedAt: 1 }, name: 'finished', sparse: true },
  { key: { expireAt: 1 }, name: 'retention', expireAfterSeconds: 0 },
]

/** The indexes of this file. Those of other parts are in `database/indexes.ts`. */
export const taskIndexes = (): IndexSpec[] =>
  INDEXES.map(({ name, key, ...rest }) => ({ collection: 'tasks', name, key, ...rest }))

/** The mongoose model of the collection `tasks` on this connection. */
export function taskModel(connection: Connection): Model<TaskDocument> {
  return (connection.models.Task ?? connection.model('Task', taskSchema())) as unknown as Model<TaskDocument>
}

function taskSchema() {
  const { Schema } = loadMongoose()
  const schema = new Schema(mongooseFields(SHAPES.tasks), {
    collection: 'tasks',
    versionKey: false,
    minimize: false,
    autoIndex: false,
    strict: true,
  })
  for (const { key, ...options } of INDEXES) schema.index(key, options)
  return schema
}
