import type { TaskStatus } from '@taskfleet/protocol'
import type { Connection, Model } from 'mongoose'
import { loadMongoose } from '../database/driver.ts'
import type { IndexSpec } from '../database/index-specs.ts'
import { mongooseFields } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { OPEN_STATUSES } from './lifecycle.ts'
import type { TaskDocument } from './task-document.ts'

/**
 * Each index holds the tasks of one phase, so that a task's life writes few entries (`index-entries.test.ts` counts them). A server
 * uses a partial index only for a query that implies its filter by the same equality: so queries name one status, not several.
 * The status is the first key too, for queries that name nothing else.
 */
const inPhase = (status: TaskStatus) => ({ partialFilterExpression: { status } })

const INDEXES: readonly Omit<IndexSpec, 'collection'>[] = [
  /** Claim order within a queue, with all that a worker must know: it reads its next tasks from the keys alone. */
  {
    key: {
      ...{ status: 1, queue: 1, priority: -1, order: 1, _id: 1 },
      ...{ runAt: 1, name: 1, version: 1, lazy: 1, lost: 1, updatedAt: 1 },
    },
    name: 'waiting',
    ...inPhase('pending'),
  },
  /** The next dates of a queue, and the counts of waiting tasks by queue, name and version. */
  { key: { status: 1, queue: 1, runAt: 1, name: 1, version: 1 }, name: 'due', ...inPhase('pending') },
  /** The sessions that run tasks, the tasks of a session, and the counts of running tasks. */
  {
    key: { status: 1, 'lease.session': 1, queue: 1, name: 1, version: 1 },
    name: 'running_tasks',
    ...inPhase('running'),
  },
  { key: { status: 1, queue: 1, name: 1 }, name: 'paused', ...inPhase('paused') },
  { key: { status: 1, queue: 1, name: 1 }, name: 'blocked', ...inPhase('blocked') },
  /** For leases of earlier versions. */
  { key: { 'lease.expiresAt': 1 }, name: 'lease_expiry', sparse: true },
  /** Exact limits: no two tasks hold the same place in a queue. */
  { key: { slot: 1 }, name: 'slot', unique: true, partialFilterExpression: { slot: { $exists: true } } },
  /** The deadlines that come next. */
  { key: { raiseAt: 1 }, name: 'raise', sparse: true },
  { key: { after: 1 }, name: 'after', sparse: true },
  /** Only tasks with labels have entries. */
  { key: { 'labels.$**': 1 }, name: 'labels' },
  /** No two open tasks of a queue have the same key. */
  {
    key: { queue: 1, key: 1 },
    name: 'open_key_in_queue',
    unique: true,
    partialFilterExpression: { key: { $exists: true }, status: { $in: [...OPEN_STATUSES] } },
  },
  /** The history, newest first, and its counts. Queries on it name `finishedAt`. */
  {
    key: { finishedAt: -1, _id: -1, status: 1, name: 1, queue: 1 },
    name: 'ended',
    partialFilterExpression: { finishedAt: { $exists: true } },
  },
  {
    key: { expireAt: 1 },
    name: 'expiry',
    expireAfterSeconds: 0,
    partialFilterExpression: { expireAt: { $exists: true } },
  },
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
