import type { MessagePort } from 'node:worker_threads'
import type { Document, MongoClientOptions } from 'mongodb'

/** What passes between the process and its renewing thread. */
export interface RenewalSetup {
  port: MessagePort
  uri: string
  database: string
  clientOptions: MongoClientOptions
  /** How often the session is renewed, in milliseconds. */
  everyMs: number
  /** Counts up as long as the main thread comes round. */
  beat: SharedArrayBuffer
  warnBlockedMs: number
  maxBlockedMs: number
}

export interface RenewalOrder {
  /** The one write that keeps the session alive; null when there is none. */
  renew?: { session: string; filter: Document; update: Document[] } | null
  stop?: boolean
}

export interface RenewalReport {
  session: string
  /** `monotonicMs()` when the renewal was sent: the session is good from then on. */
  sentAt: number
  receivedAt: number
  /** What the renewal has read; null when the session has ended. */
  beat: { heartbeatAt: Date; control?: { action: 'drain' | 'resume'; by: string; at: Date } } | null
  error?: string
}
