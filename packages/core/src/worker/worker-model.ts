import type { WorkerState } from '@taskfleet/protocol'
import { type Connection, type Model, Schema } from 'mongoose'
import { type IndexSpec, indexSpecs } from '../database/index-specs.ts'
import { mongooseFields } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'

/**
 * A worker process as the collection `workers` holds it: its session. Whoever reads of it sees what the worker does; whether its
 * leases are good is decided by `state` and `until`.
 */
export interface WorkerDocument {
  /** The session: new at every start, and when the last one was ended while the process lived on. */
  _id: string
  /** The process: new at every start. Absent in documents of earlier versions. */
  boot?: string
  /** By the database's clock: passed without a renewal, anybody may end the session. Absent in documents of earlier versions. */
  until?: Date
  /** For how long a renewal is good, in milliseconds. */
  leaseMs?: number
  name: string
  host: string
  pid: number
  /** A worker runs tasks; a gateway alone only serves those who watch. */
  role: 'worker' | 'gateway'
  url?: string
  /**
   * The ids of the secrets that sign and verify tokens here, of which the first signs; empty where the database's signs. Absent where nothing
   * is verified, and in documents of earlier versions.
   */
  secretIds?: string[]
  state: WorkerState
  queues: string[]
  /** `name@version` of everything it can run. */
  tasks: string[]
  slots: number
  running: number
  load: {
    cpu: number
    rss: number
    memoryFree: number
    eventLoopDelayMs: number
    hostCpu?: number
    memoryLeft?: number
  }
  gate?: { open: boolean; lazy: boolean; reason?: string }
  /** What somebody asked of it last; it obeys. */
  control?: { action: 'drain' | 'resume'; by: string; at: Date }
  heartbeatMs: number
  version: string
  startedAt: Date
  heartbeatAt: Date
  stoppedAt?: Date
  /** When the database may forget it. */
  expireAt: Date
  rev: number
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

/** What a worker reports about itself. `leaseMs` is for how long that keeps its session alive. */
export type WorkerReport = Omit<
  WorkerDocument,
  '_id' | 'control' | 'startedAt' | 'heartbeatAt' | 'stoppedAt' | 'expireAt' | 'rev' | 'until' | 'boot' | 'leaseMs'
> & { boot: string; leaseMs: number }
