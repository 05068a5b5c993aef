import type { WorkerRow } from '@taskfleet/protocol'
import { type Connection, type Model, Schema } from 'mongoose'
import { type IndexSpec, indexSpecs } from '../database/index-specs.ts'
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

const workerSchema = new Schema(mongooseFields(SHAPES.workers), {
  collection: 'workers',
  versionKey: false,
  autoIndex: false,
})

workerSchema.index({ expireAt: 1 }, { name: 'retention', expireAfterSeconds: 0 })

export const workerIndexes = (): IndexSpec[] => indexSpecs('workers', workerSchema)

/** The mongoose model of the collection `workers` on this connection. */
export function workerModel(connection: Connection): Model<WorkerDocument> {
  return (connection.models.Worker ?? connection.model('Worker', workerSchema)) as unknown as Model<WorkerDocument>
}

/** A worker's report about itself. It keeps the session alive for `leaseMs`. */
export type WorkerReport = Omit<
  WorkerDocument,
  '_id' | 'control' | 'startedAt' | 'heartbeatAt' | 'stoppedAt' | 'expireAt' | 'rev' | 'until' | 'boot' | 'leaseMs'
> & { boot: string; leaseMs: number }
