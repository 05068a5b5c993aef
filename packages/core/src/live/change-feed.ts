import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { asError } from '../errors.ts'
import { COLLECTIONS, type CollectionName } from '../protocol.ts'

/** A document as it is now, or that it is gone. `doc` may be newer than the event: order by `rev`. */
export type Change = { collection: CollectionName; id: unknown; doc: mongo.Document | null }

export interface FeedListener {
  change(change: Change): void
  /** Changes may have been missed: read again what you keep. */
  lost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void
}

export interface ChangeFeedOptions {
  log?: Logger
  /** How often a write is sent to come back through the stream, in milliseconds. */
  canaryMs?: number
  /** A stream that stays silent for so long is opened anew, in milliseconds. */
  stalledMs?: number
}

const CANARIES = 'canaries'
/** Fixed: a resume token is bound to its pipeline. */
const PIPELINE = [{ $match: { 'ns.coll': { $in: [...COLLECTIONS, CANARIES] } } }]
const LOST_CODES = new Set([286, 280, 260, 40647, 9])
const LOST_LABEL = 'NonResumableChangeStreamError'
const FIRST_RETRY_MS = 100
const LAST_RETRY_MS = 5_000
const RESUMES_BEFORE_RESET = 3

type Stream = mongo.ChangeStream
type Event = mongo.ChangeStreamDocument

/**
 * The one change stream of a process, shared by all who want to know. It reopens itself with its token and a back-off;
 * where the history is gone it starts anew and tells its listeners to read again.
 */
export class ChangeFeed {
  readonly #database: FleetDatabase
  readonly #log: Logger | undefined
  readonly #canaryMs: number
  readonly #stalledMs: number
  readonly #listeners = new Set<FeedListener>()
  readonly #id = `feed:${randomUUID()}`
  #stream: Stream | undefined
  #running: Promise<void> | undefined
  #stopping: AbortController | undefined
  #lastEventAt = 0
  #canaryTimer: NodeJS.Timeout | undefined

  constructor(database: FleetDatabase, options: ChangeFeedOptions = {}) {
    this.#database = database
    this.#log = options.log
    this.#canaryMs = options.canaryMs ?? 5_000
    this.#stalledMs = options.stalledMs ?? 15_000
  }

  /** Resolves when the stream is really open: what is written from then on arrives. May be called again. */
  async start(): Promise<void> {
    if (this.#running !== undefined) return
    const stopping = new AbortController()
    this.#stopping = stopping
    const stream = await this.#open(undefined)
    this.#running = this.#follow(stream, stopping.signal)
    this.#canaryTimer = setInterval(() => void this.#sendCanary(), this.#canaryMs)
  }

  async stop(): Promise<void> {
    this.#stopping?.abort()
    clearInterval(this.#canaryTimer)
    await this.#stream?.close().catch(() => undefined)
    await this.#running
    this.#running = undefined
    if (this.#stopping !== undefined) {
      await this.#canaries.deleteOne({ _id: this.#id }).catch(() => undefined)
      this.#stopping = undefined
    }
  }

  /** Returns its undo. */
  subscribe(listener: FeedListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get #canaries(): mongo.Collection<{ _id: string; at?: Date }> {
    return this.#database.db.collection(CANARIES)
  }

  /** `watch()` sends nothing by itself; the first `tryNext()` does, from a point in time that was before it. */
  async #open(token: unknown): Promise<Stream> {
    const db = this.#database.streamsDb
    const start = token === undefined ? { startAtOperationTime: await this.#operationTime() } : { resumeAfter: token }
    const stream = db.watch(PIPELINE, {
      fullDocument: 'updateLookup',
      maxAwaitTimeMS: 1_000,
      ...start,
    } as mongo.ChangeStreamOptions)
    this.#stream = stream
    const opened = stream.tryNext()
    await this.#sendCanary()
    const first = await opened
    this.#lastEventAt = performance.now()
    if (first !== null) this.#dispatch(first as Event)
    return stream
  }

  async #operationTime(): Promise<mongo.Timestamp> {
    const session = this.#database.streams.startSession()
    try {
      await this.#database.streamsDb.admin().command({ ping: 1 }, { session })
      if (session.operationTime === undefined) throw new Error('the server tells no operation time')
      return session.operationTime
    } finally {
      await session.endSession()
    }
  }

  async #follow(opened: Stream, signal: AbortSignal): Promise<void> {
    let stream = opened
    let token: unknown = stream.resumeToken
    let failures = 0
    let refusals = 0
    while (!signal.aborted) {
      try {
        const event = (await stream.next()) as Event
        failures = 0
        refusals = 0
        token = stream.resumeToken
        this.#lastEventAt = performance.now()
        this.#dispatch(event)
        if (event.operationType === 'invalidate') throw Object.assign(new Error('invalidated'), { code: 280 })
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        this.#log?.warn({ err: asError(error), failures }, 'change stream ended; opening it again')
        await stream.close().catch(() => undefined)
        const pause = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1))
        await sleep(pause, undefined, { signal }).catch(() => undefined)
        if (signal.aborted) return
        const lost = isHistoryLost(error) || refusals >= RESUMES_BEFORE_RESET
        try {
          stream = await this.#open(lost ? undefined : token)
          token = stream.resumeToken
          refusals = 0
          if (lost) this.#tellLost('HISTORY_LOST')
        } catch (reopening) {
          // The next round finds this stream closed and tries again, later each time.
          this.#log?.warn({ err: asError(reopening) }, 'change stream could not be opened')
          // A server that answers and refuses the token won't take it later either; one that is away may.
          if (isHistoryLost(reopening)) refusals = RESUMES_BEFORE_RESET
          else if (reopening instanceof mongo.MongoServerError) refusals += 1
        }
      }
    }
  }

  #dispatch(event: Event): void {
    switch (event.operationType) {
      case 'insert':
      case 'update':
      case 'replace': {
        if (event.ns.coll === CANARIES || isRenewal(event)) return
        const doc = event.fullDocument ?? null
        // Without a document its delete follows.
        if (doc !== null) this.#tell({ collection: event.ns.coll as CollectionName, id: event.documentKey._id, doc })
        return
      }
      case 'delete':
        if (event.ns.coll !== CANARIES) {
          this.#tell({ collection: event.ns.coll as CollectionName, id: event.documentKey._id, doc: null })
        }
        return
      case 'drop':
      case 'rename':
      case 'dropDatabase':
      case 'invalidate':
        this.#tellLost('COLLECTION_GONE')
        return
      default:
        return
    }
  }

  #tell(change: Change): void {
    for (const listener of this.#listeners) this.#guarded(() => listener.change(change))
  }

  #tellLost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void {
    for (const listener of this.#listeners) this.#guarded(() => listener.lost(reason))
  }

  /** One listener's fault must not keep the others from hearing. */
  #guarded(tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#log?.error({ err: asError(error) }, 'a listener of the change feed failed')
    }
  }

  /** A stream can fall silent without an error: a write of our own must come back through it. */
  async #sendCanary(): Promise<void> {
    const silentMs = performance.now() - this.#lastEventAt
    if (this.#lastEventAt > 0 && silentMs > this.#stalledMs) {
      this.#log?.warn({ silentMs }, 'change stream is stalled; opening it again')
      this.#lastEventAt = performance.now()
      await this.#stream?.close().catch(() => undefined)
    }
    await this.#canaries
      .updateOne({ _id: this.#id }, [{ $set: { at: '$$NOW' } }], { upsert: true })
      .catch((error: unknown) => this.#log?.debug({ err: asError(error) }, 'canary not written'))
  }
}

function isHistoryLost(error: unknown): boolean {
  const { code, hasErrorLabel } = error as { code?: unknown; hasErrorLabel?: (label: string) => boolean }
  if (typeof code === 'number' && LOST_CODES.has(code)) return true
  return typeof hasErrorLabel === 'function' && hasErrorLabel.call(error, LOST_LABEL)
}

/** Renewed leases are the commonest write of all, and nobody watches them. */
function isRenewal(event: Event): boolean {
  if (event.operationType !== 'update') return false
  const { updatedFields, removedFields } = event.updateDescription
  const fields = Object.keys(updatedFields ?? {})
  return fields.length > 0 && fields.every((field) => field === 'lease.expiresAt') && (removedFields?.length ?? 0) === 0
}
