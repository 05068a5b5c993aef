import { STATUSES } from '@taskfleet/protocol'
import { type Connection, type Model, Schema } from 'mongoose'
import { type IndexSpec, indexSpecs } from '../database/index-specs.ts'
import { OPEN_STATUSES } from './lifecycle.ts'
import type { TaskDocument } from './task-document.ts'

const date = { type: Date }
const required = { required: true } as const

const taskSchema = new Schema(
  {
    name: { type: String, ...required },
    version: { type: Number, ...required },
    input: Schema.Types.Mixed,
    output: Schema.Types.Mixed,
    status: { type: String, enum: [...STATUSES], ...required },
    queue: { type: String, ...required },
    priority: { type: Number, ...required },
    basePriority: { type: Number, ...required },
    runAt: { ...date, ...required },
    order: { ...date, ...required },
    deadline: date,
    raiseAt: date,
    deadlineMissedAt: date,
    lazy: { type: Boolean, ...required },
    attempt: { type: Number, ...required },
    failures: { type: Number, ...required },
    lost: { type: Number, ...required },
    maxAttempts: { type: Number, ...required },
    retry: Schema.Types.Mixed,
    timeout: Number,
    totalTimeout: Number,
    stall: Number,
    attempts: { type: [Schema.Types.Mixed], ...required },
    attemptsDropped: Number,
    worker: String,
    publicUrl: String,
    lease: Schema.Types.Mixed,
    slot: String,
    control: Schema.Types.Mixed,
    progress: Schema.Types.Mixed,
    checkpoint: Schema.Types.Mixed,
    checkpointAttempt: Number,
    error: Schema.Types.Mixed,
    key: String,
    keyUntil: String,
    parent: Schema.Types.ObjectId,
    /** An id, or a list of some. */
    after: Schema.Types.Mixed,
    ifFailed: String,
    predecessors: Schema.Types.Mixed,
    replayOf: Schema.Types.ObjectId,
    schedule: String,
    event: Schema.Types.ObjectId,
    signature: Schema.Types.Mixed,
    rev: { type: Number, ...required },
    createdAt: { ...date, ...required },
    updatedAt: { ...date, ...required },
    claimedAt: date,
    startedAt: date,
    finishedAt: date,
    expireAt: date,
  },
  { collection: 'tasks', versionKey: false, minimize: false, autoIndex: false, strict: true },
)

/** Claim order within a queue: what workers look for, in one walk along the index. */
taskSchema.index({ status: 1, queue: 1, priority: -1, order: 1, _id: 1 }, { name: 'claim_order' })
/** The next tasks that are not due yet. */
taskSchema.index({ status: 1, queue: 1, runAt: 1 }, { name: 'next_due' })
/** Every fenced write and renewal. */
taskSchema.index({ 'lease.id': 1 }, { name: 'lease', sparse: true })
/** Whose session each running task rests on: what the reaper looks at. */
taskSchema.index({ 'lease.session': 1, _id: 1 }, { name: 'running', partialFilterExpression: { status: 'running' } })
/** Leases of earlier versions. */
taskSchema.index({ 'lease.expiresAt': 1 }, { name: 'lease_expiry', sparse: true })
/** Exact limits: no two tasks hold the same place in a queue. */
taskSchema.index({ slot: 1 }, { name: 'slot', unique: true, partialFilterExpression: { slot: { $exists: true } } })
/** The deadlines that come next. */
taskSchema.index({ raiseAt: 1 }, { name: 'raise', sparse: true })
/** Coverage: what waits by name and version. */
taskSchema.index({ status: 1, name: 1, version: 1 }, { name: 'coverage' })
taskSchema.index({ after: 1 }, { name: 'after', sparse: true })
taskSchema.index(
  { key: 1 },
  {
    name: 'open_key',
    unique: true,
    partialFilterExpression: { key: { $exists: true }, status: { $in: [...OPEN_STATUSES] } },
  },
)
/** What ended lately: statistics after a start, and replays of a period. */
taskSchema.index({ finishedAt: 1 }, { name: 'finished', sparse: true })
taskSchema.index({ expireAt: 1 }, { name: 'retention', expireAfterSeconds: 0 })

/** The indexes that are told of here; those of other parts are in `database/indexes.ts`. */
export const taskIndexes = (): IndexSpec[] => indexSpecs('tasks', taskSchema)

/** The mongoose model of the collection `tasks` on this connection. */
export function taskModel(connection: Connection): Model<TaskDocument> {
  return (connection.models.Task ?? connection.model('Task', taskSchema)) as unknown as Model<TaskDocument>
}
