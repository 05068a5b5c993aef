import type { MessagePort } from 'node:worker_threads'
import type { Document, MongoClientOptions } from 'mongodb'

/** What passes between the process and its renewing thread. */
export interface RenewalSetup {
  port: MessagePort
  uri: string
  database: string
  clientOptions: MongoClientOptions
  leaseMs: number
  /** The pipeline that extends a lease. */
  update: Document[]
  /** Counts up as long as the main thread comes round. */
  beat: SharedArrayBuffer
  warnBlockedMs: number
  maxBlockedMs: number
}

export interface RenewalOrder {
  hold?: string
  drop?: string
  stop?: boolean
}

export interface RenewalReport {
  /** `monotonicMs()` when the renewal was sent: the leases are good from then on. */
  sentAt: number
  renewed: string[]
  lost: string[]
  error?: string
}

/** Milliseconds that never go back and mean the same in every thread of the process. */
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000
