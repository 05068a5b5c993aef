import type { mongo } from 'mongoose'

/** A fleet's guarantees need these options. An address with other values is rejected. */
export const MAJORITY = {
  w: 'majority',
  readConcernLevel: 'majority',
  readPreference: 'primary',
  retryWrites: true,
} as const

/** How long a command waits for a primary: the driver's default. An election takes 10 to 12 s. */
export const SELECTION_MS = 30_000
/** How often the server is checked while all is well. A command that fails, or waits for a primary, makes the driver check at once. */
const HEARTBEAT_MS = 10_000
/** The thread that renews a session checks its server by each renewal. */
const RENEWAL_HEARTBEAT_MS = 30_000
/** No command holds a connection for longer than `timeoutMs`, so those that find none free don't wait for long. */
const MOST_CONNECTIONS = 20
/** How long a connection may go unused before it is closed. A burst needs several, an idle worker one. */
const IDLE_MS = 30_000

/** Options of a client for change streams and index builds, which may wait without a limit. */
export function patientClientOptions(timeoutMs: number): mongo.MongoClientOptions {
  return {
    ...MAJORITY,
    appName: 'taskfleet',
    serverSelectionTimeoutMS: SELECTION_MS,
    connectTimeoutMS: timeoutMs,
    // Streaming would need two connections for each client and member.
    serverMonitoringMode: 'poll',
    heartbeatFrequencyMS: HEARTBEAT_MS,
  }
}

/**
 * Options of a client for data. A connected server that hangs is noticed within `timeoutMs`. A wait for a primary lasts as long
 * as an election takes, so a caller that must know sooner needs its own timer.
 *
 * @param uri its `maxPoolSize` and `maxIdleTimeMS` are kept
 */
export function dataClientOptions(timeoutMs: number, uri = ''): mongo.MongoClientOptions {
  const bounds = { maxPoolSize: MOST_CONNECTIONS, maxIdleTimeMS: IDLE_MS }
  const unset = Object.entries(bounds).filter(([name]) => !new RegExp(`[?&]${name}=`, 'i').test(uri))
  return { ...patientClientOptions(timeoutMs), socketTimeoutMS: timeoutMs, ...Object.fromEntries(unset) }
}

/** Options of the client of the thread that renews a session. It sends one command at a time, and repeats it until it succeeds. */
export const renewalClientOptions = (timeoutMs: number): mongo.MongoClientOptions => ({
  ...dataClientOptions(timeoutMs),
  serverSelectionTimeoutMS: timeoutMs,
  heartbeatFrequencyMS: RENEWAL_HEARTBEAT_MS,
  minPoolSize: 0,
  maxPoolSize: 1,
})
