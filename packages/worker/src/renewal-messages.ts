import type { MessagePort } from 'node:worker_threads'
import type { Document, MongoClientOptions } from 'mongodb'

/** The data with which the renewing thread starts. */
export interface RenewalSetup {
  port: MessagePort
  uri: string
  database: string
  clientOptions: MongoClientOptions
  /** How often the session is renewed, in milliseconds. */
  everyMs: number
  /** Counts up as long as the main thread's event loop runs. */
  beat: SharedArrayBuffer
  warnBlockedMs: number
  maxBlockedMs: number
}

export interface RenewalOrder {
  /** The write that keeps the session alive; null without a session. */
  renew?: { session: string; filter: Document; update: Document[] } | null
  stop?: boolean
}

export interface RenewalReport {
  session: string
  /** `monotonicMs()` when the renewal was sent. The lease counts from then. */
  sentAt: number
  receivedAt: number
  /** The session after the renewal; null when it has ended. */
  beat: { heartbeatAt: Date; control?: { action: 'drain' | 'resume'; by: string; at: Date } } | null
  error?: string
}
