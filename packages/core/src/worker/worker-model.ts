import type { WorkerRow } from '@taskfleet/protocol'
import type { Connection, Model } from 'mongoose'
import { loadMongoose } from '../database/driver.ts'
import type { IndexSpec } from '../database/index-specs.ts'
import { mongooseFields } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import type { Stored } from '../documents/stored.ts'

/**
 * A worker process in the collection `workers`: its session. Most fields describe what the worker does. Only `state` and `until`
 * decide whether its leases are valid.
 */
export interface WorkerDocument
  extends Omit<Stored<WorkerRow, 'until' | 'startedAt' | 'heartbeatAt' | 'stoppedAt'>, 'host' | 'pid' | 'control'> {
  host: string
  pid: number
  /** The latest request. The worker obeys it. */
  control?: { action: 'drain' | 'resume'; by: string; at: Date }
  /** When the database may remove the document. */
  expireAt: Date
}

const RETENTION: IndexSpec = {
  collection: 'workers',
  name: 'retention',
  key: { expireAt: 1 },
  expireAfterSeconds: 0,
}

export const workerIndexes = (): IndexSpec[] => [RETENTION]

/** The mongoose model of the collection `workers` on this connection. */
export function workerModel(connection: Connection): Model<WorkerDocument> {
  return (connection.models.Worker ?? connection.model('Worker', workerSchema())) as unknown as Model<WorkerDocument>
}

function workerSchema() {
  const { Schema } = loadMongoose()
  const options = { collection: 'workers', versionKey: false, autoIndex: false } as const
  const schema = new Schema(mongooseFields(SHAPES.workers), options)
  schema.index(RETENTION.key, { name: RETENTION.name, expireAfterSeconds: 0 })
  return schema
}

/** A worker's report about itself. It keeps the session alive for `leaseMs`. */
export type WorkerReport = Omit<
  WorkerDocument,
  '_id' | 'control' | 'startedAt' | 'heartbeatAt' | 'stoppedAt' | 'expireAt' | 'rev' | 'until' | 'boot' | 'leaseMs'
> & { boot: string; leaseMs: number }
