import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import type { Change } from './feed-events.ts'
import { TASK_CONTENT } from './fields.ts'

/** The path below a gateway's address at which processes of the fleet subscribe to its feed. */
export const FEED_NAMESPACE = '/feed'
/** How often a feeder reports up to when its feed is complete, in milliseconds. */
export const FEED_BEAT_MS = 1_000

/** What a worker needs to know of: tasks of its queues, and the attempts of its session. */
export interface FeedInterest {
  queues: readonly string[]
  session: string
}

/** How far a feeder's feed is. */
export interface FeedBeat {
  /** As `Feed.reportedUntil`, in milliseconds since 1970. */
  until: number
  lagMs: number
}

/** What a process that subscribes to a feed is sent. `changes` is from `encodeChanges`. */
export interface FeederToWorker {
  changes: (changes: Uint8Array) => void
  lost: (reason: 'HISTORY_LOST' | 'COLLECTION_GONE') => void
  beat: (beat: FeedBeat) => void
}

export interface WorkerToFeeder {
  interest: (interest: FeedInterest) => void
}

/** Collections whose changes every worker gets. Documents of others only matter where they don't fit. */
const FOR_ALL = new Set<Change['collection']>(['queues', 'schedules', 'workers'])

/**
 * Whether a worker needs a change. It learns of what waits in its queues, of places in limited queues, and of requests to its own
 * attempts; not of progress, claims and ends. What does not fit its shape goes to all, since nothing in it says whom it concerns.
 */
export function concerns({ collection, doc, slot }: Change, { queues, session }: FeedInterest): boolean {
  if (collection !== 'tasks') return FOR_ALL.has(collection)
  if (doc === null) return true
  if (doc.worker === session && doc.control !== undefined) return true
  // Whichever worker is the first raises a task whose deadline nears.
  if (doc.raiseAt instanceof Date && doc.status === 'pending') return true
  if (doc.status === 'running' || doc.status === 'completed') return slot === true && queues.includes(doc.queue)
  return queues.includes(doc.queue)
}

/**
 * One change as BSON, without the content of a task: no worker decides by it, and it may have hundreds of kilobytes. Of an invalid
 * task, which may have megabytes anywhere, a worker needs the id alone.
 *
 * @param fits whether the document is valid
 */
export function encodeChange({ collection, id, doc, slot }: Change, fits = true): Uint8Array {
  const sent = collection === 'tasks' ? light(doc, fits) : doc
  return driver.BSON.serialize({ collection, id, doc: sent, slot: slot === true })
}

function light(doc: mongo.Document | null, fits: boolean): mongo.Document | null {
  if (doc === null) return null
  if (!fits) return { _id: doc._id }
  // A gateway's own feed may be a whole one.
  const copy: mongo.Document = { ...doc, attempts: [] }
  for (const field of TASK_CONTENT) delete copy[field]
  return copy
}

/** The smallest BSON document: its length, and a zero. */
const LEAST_BYTES = 5

/** Changes that `encodeChange` has made, one after the other. @throws {Error} for anything else */
export function decodeChanges(received: unknown): Change[] {
  const bytes = received instanceof ArrayBuffer ? new Uint8Array(received) : received
  if (!(bytes instanceof Uint8Array)) throw new TypeError('changes are bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const changes: Change[] = []
  for (let at = 0; at < bytes.byteLength; ) {
    const length = view.getInt32(at, true)
    if (length < LEAST_BYTES) throw new RangeError('a change has a length')
    changes.push(driver.BSON.deserialize(bytes.subarray(at, at + length)) as Change)
    at += length
  }
  return changes
}
