import type { mongo } from 'mongoose'

/** A fleet's guarantees need these options. An address with other values is rejected. */
export const MAJORITY = {
  w: 'majority',
  readConcernLevel: 'majority',
  readPreference: 'primary',
  retryWrites: true,
} as const

/** How long a command waits for a primary: the driver's default. An election takes 10 to 12 s. */
const SELECTION_MS = 30_000

/** Options of a client for change streams and index builds, which may wait without a limit. */
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
 * Options of a client for data. A connected server that hangs is noticed within `timeoutMs`. A wait for a primary lasts as long
 * as an election takes, so a caller that must know sooner needs its own timer.
 */
export function dataClientOptions(timeoutMs: number): mongo.MongoClientOptions {
  return { ...streamClientOptions(timeoutMs), socketTimeoutMS: timeoutMs }
}
