import type { mongo } from 'mongoose'

/** What a fleet promises rests on these; an address that says otherwise is refused. */
export const MAJORITY = {
  w: 'majority',
  readConcernLevel: 'majority',
  readPreference: 'primary',
  retryWrites: true,
} as const

/** Options of a client for change streams, which wait for ever by design. */
export function streamClientOptions(timeoutMs: number): mongo.MongoClientOptions {
  return {
    ...MAJORITY,
    appName: 'taskfleet',
    serverSelectionTimeoutMS: timeoutMs,
    connectTimeoutMS: timeoutMs,
    heartbeatFrequencyMS: 1_000,
  }
}

/** Options of a client for data: every wait is bounded, so that a server that hangs is noticed within a lease. */
export function dataClientOptions(timeoutMs: number): mongo.MongoClientOptions {
  return { ...streamClientOptions(timeoutMs), socketTimeoutMS: timeoutMs }
}
