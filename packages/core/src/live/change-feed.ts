import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { COLLECTIONS, type CollectionName, FleetError } from '@taskfleet/protocol'
import { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { Service } from '../service.ts'
import { TRANSITIONS } from '../task/lifecycle.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'

/** A document as it is now, or that it is gone. `doc` may be newer than the event: order by `rev`. */
export type Change = { collection: CollectionName; id: unknown; doc: mongo.Document | null }

export interface FeedListener {
  change(change: Change): void
  /** Changes may have been missed: read again what you keep. */
  lost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void
}

export interface ChangeFeedOptions {
  log?: Logger
  /**
   * `work`: of tasks that are taken up or completed nothing is told, unless somebody asks for `everything`. That is half of
   * all changes of a busy fleet, and those who run tasks have no use for them. `all` by default.
   */
  scope?: FeedScope
  /** For how long everything is told after the last one who asked for it has gone, in milliseconds. */
  lingerMs?: number
  /** How often a write is sent to come back through the stream, in milliseconds. */
  canaryMs?: number
  /** A stream that stays silent for so long is opened anew, in milliseconds. */
  stalledMs?: number
}

export type FeedScope = 'work' | 'all'

const CANARIES = 'canaries'
const ALL = [
  {
    $match: {
      $or: [
        { 'ns.coll': { $in: [...COLLECTIONS, CANARIES] } },
        { operationType: 'rename', 'to.coll': { $in: [...COLLECTIONS] } },
        { operationType: { $in: ['dropDatabase', 'invalidate'] } },
      ],
    },
  },
]
const WORK = [
  ...ALL,
  {
    $match: {
      $nor: [
        {
          'ns.coll': 'tasks',
          'updateDescription.updatedFields.status': { $in: [TRANSITIONS.claim.to, TRANSITIONS.complete.to] },
          // Who waits for a place in a limited queue must hear that one was taken or has become free.
          'updateDescription.updatedFields.slot': { $exists: false },
          'updateDescription.removedFields': { $ne: 'slot' },
        },
      ],
    },
  },
]
/** Fixed for each scope: a resume token is bound to its pipeline. */
const PIPELINES: Record<FeedScope, mongo.Document[]> = { all: ALL, work: WORK }
const LOST_CODES = new Set([286, 280, 260, 40647, 9])
const LOST_LABEL = 'NonResumableChangeStreamError'
const FIRST_RETRY_MS = 100
const LAST_RETRY_MS = 5_000
const RESUMES_BEFORE_RESET = 3
const STALLS_BEFORE_RESET = 2
/** How long a stream may be silent once the database is back, in milliseconds. */
const PROBE_MS = 2_000
/** A server that does not answer must not keep a process from ending. */
const LAST_CLOSE_MS = 1_000
/** How long those who ask for everything wait for it, in milliseconds. */
const WIDENING_MS = 5_000

type Stream = mongo.ChangeStream
type Event = mongo.ChangeStreamDocument
/** Where a stream starts: after an event that was seen, or at a time before the first one. */
type Place = { resumeAfter: unknown } | { startAtOperationTime: mongo.Timestamp }

/**
 * The one change stream of a process, shared by all who want to know. It reopens itself with its token and a back-off;
 * where the history is gone it starts anew and tells its listeners to read again.
 */
export class ChangeFeed extends Service {
  readonly #database: FleetDatabase
  readonly #log: Logger | undefined
  readonly #canaryMs: number
  readonly #stalledMs: number
  readonly #listeners = new Set<FeedListener>()
  readonly #id = `feed:${randomUUID()}`
  #lastEventAt = 0
  /** Since when a canary has been on its way, by `performance.now()`. */
  #canaryOut: number | undefined
  #lagMs = 0
  #reportedUntil = 0
  #probing: NodeJS.Timeout | undefined
  readonly #canariesUnderWay = new Set<Promise<void>>()
  /** Gives up the stream that is being waited for. */
  #giveUp: ((why: Error) => void) | undefined
  readonly #leastScope: FeedScope
  readonly #lingerMs: number
  /** What is to be told, and what the open stream tells. */
  #scope: FeedScope
  #openScope: FeedScope | undefined
  /** How many want everything. */
  #wanting = 0
  #narrowing: NodeJS.Timeout | undefined
  readonly #onOpened = new Set<() => void>()
  /** The open stream's. */
  #session: mongo.ClientSession | undefined

  constructor(database: FleetDatabase, options: ChangeFeedOptions = {}) {
    super()
    this.#database = database
    this.#log = options.log
    this.#leastScope = options.scope ?? 'all'
    this.#scope = this.#leastScope
    this.#lingerMs = options.lingerMs ?? 60_000
    this.#canaryMs = options.canaryMs ?? 5_000
    this.#stalledMs = options.stalledMs ?? 15_000
  }

  /** When it has started, the stream is really open: what is written from then on is reported. */
  protected override async onStart(): Promise<void> {
    const from = { startAtOperationTime: await this.#operationTime() }
    this.defer(() => Promise.race([this.#removeCanary(), sleep(LAST_CLOSE_MS, undefined, { ref: false })]))
    const stream = await this.#open(from)
    const stopping = new AbortController()
    const following = this.#follow(stream, from, stopping.signal)
    this.defer(() => {
      stopping.abort()
      return following
    })
    this.defer(() => clearTimeout(this.#narrowing))
    this.defer(() => clearTimeout(this.#probing))
    this.defer(this.#database.availability.onBack(() => this.#probe()))
    const canary = { look: () => this.#sendCanary(), everyMs: this.#canaryMs, log: this.#log }
    await this.use(new WatchLoop({ ...canary, failed: 'canary not written' }))
  }

  /** One that is on its way would come back to life after it was deleted. */
  async #removeCanary(): Promise<void> {
    await Promise.all(this.#canariesUnderWay)
    await this.#canaries.deleteOne({ _id: this.#id }).catch(() => undefined)
  }

  /** Returns its undo. */
  subscribe(listener: FeedListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Resolves when every change is told, and goes on being told until the function that it returns is called. Where that
   * needs another stream, listeners are told to read again.
   *
   * @throws {FleetError} `NO_DATABASE`
   */
  async everything(): Promise<() => void> {
    let held = true
    const release = (): void => {
      if (!held) return
      held = false
      this.#wanting -= 1
      if (this.#wanting > 0) return
      this.#narrowing = setTimeout(() => this.#tellOnly(this.#leastScope), this.#lingerMs).unref()
    }
    this.#wanting += 1
    clearTimeout(this.#narrowing)
    this.#tellOnly('all')
    try {
      await this.#opened('all')
      return release
    } catch (error) {
      release()
      throw error
    }
  }

  #tellOnly(scope: FeedScope): void {
    this.#scope = scope
    if (this.#openScope !== scope) this.#giveUp?.(new OtherScope('what is wanted has changed'))
  }

  async #opened(scope: FeedScope): Promise<void> {
    if (this.#openScope === scope || !this.running) return
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        if (this.#openScope !== scope) return
        clearTimeout(late)
        this.#onOpened.delete(done)
        resolve()
      }
      const late = setTimeout(() => {
        this.#onOpened.delete(done)
        reject(new FleetError('NO_DATABASE', 'The database does not answer'))
      }, WIDENING_MS)
      this.#onOpened.add(done)
    })
  }

  /** Every change that was made before this moment of the server's time has been reported; the start of time before the first. */
  get reportedUntil(): Date {
    return new Date(this.#reportedUntil)
  }

  /** How long a write took to come back through the stream, in milliseconds; it grows while one doesn't. */
  get lagMs(): number {
    return this.#canaryOut === undefined ? this.#lagMs : Math.max(this.#lagMs, performance.now() - this.#canaryOut)
  }

  get #canaries(): mongo.Collection<{ _id: string; at?: Date }> {
    return this.#database.db.collection(CANARIES)
  }

  /** `watch()` sends nothing by itself; the first `tryNext()` does, from a point in time that was before it. */
  async #open(from: Place): Promise<Stream> {
    const scope = this.#scope
    // Of its own, so that it knows the set's time with which others can read what this has shown.
    const session = this.#database.streams.startSession()
    const stream = this.#database.streamsDb.watch(PIPELINES[scope], {
      fullDocument: 'updateLookup',
      maxAwaitTimeMS: 1_000,
      session,
      ...from,
    } as mongo.ChangeStreamOptions)
    stream.once('close', () => void session.endSession().catch(() => undefined))
    this.#session = session
    try {
      const [first] = await Promise.all([this.#answered(stream.tryNext()), this.#writeCanary()])
      this.#lastEventAt = performance.now()
      this.#openScope = scope
      if (first !== null) this.#dispatch(first as Event)
      return stream
    } catch (error) {
      discard(stream)
      throw error
    }
  }

  /** The client for streams waits for ever by design; the opening of one must not. */
  async #answered<T>(asked: Promise<T>): Promise<T> {
    const giveUp = new AbortController()
    const late = sleep(this.#stalledMs, undefined, { signal: giveUp.signal }).then(() => {
      throw new Error(`the server did not answer within ${this.#stalledMs} ms`)
    })
    try {
      return await Promise.race([asked, late])
    } finally {
      giveUp.abort()
      late.catch(() => undefined)
    }
  }

  async #operationTime(): Promise<mongo.Timestamp> {
    const session = this.#database.streams.startSession()
    try {
      await this.#answered(this.#database.streamsDb.admin().command({ ping: 1 }, { session }))
      if (session.operationTime === undefined) throw new Error('the server tells no operation time')
      return session.operationTime
    } finally {
      await session.endSession()
    }
  }

  async #follow(opened: Stream, from: Place, signal: AbortSignal): Promise<void> {
    let stream: Stream | undefined = opened
    let place = placeOf(opened) ?? from
    let failures = 0
    let refusals = 0
    let stalls = 0
    let lost = false
    while (!signal.aborted) {
      try {
        if (stream === undefined) {
          // Another pipeline takes no token of this one.
          if (this.#openScope !== this.#scope) lost = true
          if (lost) place = { startAtOperationTime: await this.#operationTime() }
          stream = await this.#open(place)
          place = placeOf(stream) ?? place
          refusals = 0
          if (lost) this.#tellLost('HISTORY_LOST')
          lost = false
          for (const opened of this.#onOpened) opened()
        }
        if (this.#openScope !== this.#scope) throw new OtherScope('what is wanted has changed')
        const event = await this.#next(stream, signal)
        if (event === undefined) break
        failures = 0
        stalls = 0
        place = placeOf(stream) ?? place
        this.#lastEventAt = performance.now()
        this.#dispatch(event)
        if (event.operationType === 'invalidate') throw new HistoryLost('the stream was invalidated')
      } catch (error) {
        if (signal.aborted) break
        if (error instanceof OtherScope) {
          if (stream !== undefined) discard(stream)
          stream = undefined
          continue
        }
        // A server that answers and refuses the token won't take it later either; one that is away may.
        if (stream === undefined && error instanceof mongo.MongoServerError) refusals += 1
        // A server that was away for long goes on where it was; one that stays silent after that has lost the place.
        if (error instanceof Stalled) stalls += 1
        if (isHistoryLost(error) || refusals >= RESUMES_BEFORE_RESET || stalls >= STALLS_BEFORE_RESET) lost = true
        if (lost) stalls = 0
        if (stream !== undefined) discard(stream)
        stream = undefined
        failures += 1
        this.#log?.warn({ err: asError(error), failures, lost }, 'change stream ended; opening it again')
        const pause = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** (failures - 1))
        await sleep(pause, undefined, { signal }).catch(() => undefined)
      }
    }
    if (stream !== undefined)
      await Promise.race([stream.close().catch(() => undefined), sleep(LAST_CLOSE_MS, undefined, { ref: false })])
  }

  /** The next event, or undefined when stopping. A stream that stalled may never say anything, not even that it failed. */
  async #next(stream: Stream, signal: AbortSignal): Promise<Event | undefined> {
    let interrupt: (() => void) | undefined
    const interrupted = new Promise<undefined>((resolve, reject) => {
      interrupt = () => resolve(undefined)
      signal.addEventListener('abort', interrupt, { once: true })
      this.#giveUp = reject
    })
    if (signal.aborted) return undefined
    try {
      return (await Promise.race([stream.next(), interrupted])) as Event | undefined
    } finally {
      this.#giveUp = undefined
      if (interrupt !== undefined) signal.removeEventListener('abort', interrupt)
    }
  }

  #dispatch(event: Event): void {
    // Before anybody reads because of it.
    if ('clusterTime' in event) this.#database.causal.saw(event.clusterTime, this.#session?.clusterTime)
    this.#report(event)
    // A cluster time counts whole seconds; events of the same one may follow.
    const seconds = event.clusterTime?.getHighBitsUnsigned() ?? 0
    this.#reportedUntil = Math.max(this.#reportedUntil, seconds * 1_000)
  }

  #report(event: Event): void {
    switch (event.operationType) {
      case 'insert':
      case 'update':
      case 'replace': {
        if (event.ns.coll === CANARIES) this.#onCanary(String(event.documentKey._id))
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
        if (event.ns.coll !== CANARIES) this.#tellLost('COLLECTION_GONE')
        return
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
    if (silentMs > this.#stalledMs) this.#giveUp?.(new Stalled(`the stream was silent for ${Math.round(silentMs)} ms`))
    await this.#writeCanary()
  }

  /**
   * The database is back. A stream may still wait on a connection that broke without a word: then it is opened anew, at its place,
   * and not only when it has been silent for long.
   */
  #probe(): void {
    const askedAt = performance.now()
    void this.#writeCanary()
    clearTimeout(this.#probing)
    this.#probing = setTimeout(() => {
      if (this.#lastEventAt < askedAt) this.#giveUp?.(new Stalled('the stream is silent though the database is back'))
    }, PROBE_MS)
  }

  #onCanary(id: string): void {
    if (id !== this.#id || this.#canaryOut === undefined) return
    this.#lagMs = performance.now() - this.#canaryOut
    this.#canaryOut = undefined
  }

  #writeCanary(): Promise<void> {
    this.#canaryOut ??= performance.now()
    const writing = this.#canaries
      .updateOne({ _id: this.#id }, [{ $set: { at: '$$NOW' } }], { upsert: true })
      .catch((error: unknown) => this.#log?.debug({ err: asError(error) }, 'canary not written'))
      .then(() => {
        this.#canariesUnderWay.delete(writing)
      })
    this.#canariesUnderWay.add(writing)
    return writing
  }
}

/** Not awaited: the server at its other end may be the one that doesn't answer. */
function discard(stream: Stream): void {
  stream.close().catch(() => undefined)
}

function placeOf(stream: Stream): Place | undefined {
  const token: unknown = stream.resumeToken
  return token === undefined || token === null ? undefined : { resumeAfter: token }
}

/** The stream works, and tells more or less than is wanted. */
class OtherScope extends Error {}

/** The stream tells nothing any more, not even that it failed. Its token may be as good as ever. */
class Stalled extends Error {}

/** What was missed can't be had. */
class HistoryLost extends Error {}

function isHistoryLost(error: unknown): boolean {
  if (error instanceof HistoryLost) return true
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
