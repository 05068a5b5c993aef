import { setTimeout as sleep } from 'node:timers/promises'
import type { mongo } from 'mongoose'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { type FeedScope, PIPELINES } from './feed-events.ts'

/** A server that doesn't respond must not keep the process from ending. */
const LAST_CLOSE_MS = 1_000
/** How long the server waits for a change before it answers that there is none. */
const MAX_AWAIT_MS = 10_000

/** Where a stream starts: after a known event, or at a time before the first event. */
export type Place = { resumeAfter: unknown } | { startAtOperationTime: mongo.Timestamp }

/** An open change stream. */
export interface FeedStream {
  /** The stream's own session. Its cluster time lets later reads include everything that this stream has reported. */
  readonly session: mongo.ClientSession
  readonly stream: mongo.ChangeStream
}

export function watchFrom(place: Place, scope: FeedScope, database: FleetDatabase): FeedStream {
  const session = database.streams.startSession()
  const stream = database.streamsDb.watch(PIPELINES[scope], {
    fullDocument: 'updateLookup',
    maxAwaitTimeMS: MAX_AWAIT_MS,
    session,
    ...place,
  } as mongo.ChangeStreamOptions)
  stream.once('close', () => void session.endSession().catch(() => undefined))
  return { session, stream }
}

/** The place that a stream has reached. */
export function placeOf({ stream }: FeedStream): Place | undefined {
  const token: unknown = stream.resumeToken
  return token === undefined || token === null ? undefined : { resumeAfter: token }
}

/** @throws when the server doesn't respond within this many milliseconds */
export async function presentPlace(database: FleetDatabase, withinMs: number): Promise<Place> {
  // If its first connection failed, the client stays closed until `connect` is called.
  await answered(database.streams.connect(), withinMs)
  const session = database.streams.startSession()
  try {
    await answered(database.streamsDb.admin().command({ ping: 1 }, { session }), withinMs)
    if (session.operationTime === undefined) throw new Error('the server sent no operation time')
    return { startAtOperationTime: session.operationTime }
  } finally {
    await session.endSession()
  }
}

/** The client for streams waits without a limit by design. Opening a stream must not. */
export async function answered<T>(asked: Promise<T>, withinMs: number): Promise<T> {
  const giveUp = new AbortController()
  const late = sleep(withinMs, undefined, { signal: giveUp.signal }).then(() => {
    throw new Error(`the server did not respond within ${withinMs} ms`)
  })
  try {
    return await Promise.race([asked, late])
  } finally {
    giveUp.abort()
    late.catch(() => undefined)
  }
}

/** Closes a stream without waiting, because its server may not respond. */
export function discard({ stream }: FeedStream): void {
  stream.close().catch(() => undefined)
}

export const closed = ({ stream }: FeedStream): Promise<void> => soon(stream.close())

/** Resolves when `work` has settled, or after a short time. */
export const soon = (work: Promise<unknown>): Promise<void> =>
  Promise.race([work.then(() => undefined).catch(() => undefined), sleep(LAST_CLOSE_MS, undefined, { ref: false })])
