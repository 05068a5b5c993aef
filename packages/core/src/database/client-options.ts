import type { mongo } from 'mongoose'

/** What a fleet promises rests on these; an address that says otherwise is refused. */
export const MAJORITY = {
  w: 'majority',
  readConcernLevel: 'majority',
  readPreference: 'primary',
  retryWrites: true,
} as const

/** How long a command waits for a primary. An election takes 10 to 12 s; the driver's own default rides it out. */
const SELECTION_MS = 30_000

/** Options of a client for change streams and index builds, which may wait for as long as it takes. */
export function streamClientOptions(timeoutMs: number): mongo.MongoClientOptions {
  return {
    ...MAJORITY,
    appName: 'taskfleet',
    serverSelectionTimeoutMS: SELECTION_MS,
    connectTimeoutMS: timeoutMs,
    heartbeatFrequencyMS: 1_000,
  }
}

/**
 * Options of a client for data. A server that is connected and hangs is noticed within `timeoutMs`; a primary is waited for as
 * long as an election takes, so whoever must know sooner keeps a clock of its own.
 */
export function dataClientOptions(timeoutMs: number): mongo.MongoClientOptions {
  return { ...streamClientOptions(timeoutMs), socketTimeoutMS: timeoutMs }
}
