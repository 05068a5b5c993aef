import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Delta, type ResetReason, type Row, rowsChecksum } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { CausalReads } from '../database/causal-reads.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'
import { batchFor, MOST_BYTES, readBounded } from './bounded-read.ts'
import type { Change } from './feed-events.ts'
import { Frames } from './frames.ts'
import { notifyEach } from './notify-each.ts'
import type { CompiledQuery } from './query.ts'
import { keepsChanges, QUERY_TRANSITIONS, type QueryAction, type QueryEvent, type QueryState } from './query-states.ts'
import { readAhead, View } from './view.ts'
import { toRow } from './wire.ts'

export type SequencedDelta<R extends Row = Row> = Delta<R> & { seq: number }

export interface LiveQueryListener<R extends Row = Row> {
  /** @param bytes about how many bytes its rows have */
  delta(delta: SequencedDelta<R>, bytes: number): void
  reset(reset: { epoch: string; seq: number; rows: R[]; reason: ResetReason }): void
  /** The view became too big and is closed. A new request for it fails with `TOO_BIG`. */
  outgrown?(): void
}

export interface LiveQueryOptions {
  /** A busy view emits at most one delta in this time; an idle view emits at once. In milliseconds. */
  coalesceMs?: number
  /** How many past deltas are kept for `resume`. */
  ring?: number
  /** How long a view stays open without watchers, in milliseconds. */
  lingerMs?: number
  /** About how often each view is compared with the database, in milliseconds. */
  auditMs?: number
  /** If given, a read includes at least all changes that the feed has reported. */
  causal?: Pick<CausalReads, 'read'>
  log?: Logger | undefined
}

/** Notifications to the caller that passes changes on, so that it can skip changes that don't concern the view. */
export interface Interest {
  /** The view starts or stops tracking a document. */
  onKnown?: (id: string, known: boolean) => void
  /** The view starts or stops reading. During a read, every change may concern it. */
  onCollecting?: (collecting: boolean) => void
  /** The view has become too big. */
  onOutgrown?: () => void
}

/** How many deltas an idle view emits at once before frames begin: for a task's insertion, claim and start. */
const BURST = 3
/** How many bytes of past deltas are kept for `resume`. */
const RING_BYTES = 1024 * 1024
const MAX_QUERY_MS = 2_000
const READ_AGAIN_AFTER_MS = 500

/**
 * One query's view over the feed, shared by all subscribers of the same query. It opens without a gap: changes are kept, then
 * the database is read, then the kept changes are applied.
 */
export class LiveQuery<R extends Row = Row> {
  readonly query: CompiledQuery
  readonly #collection: mongo.Collection
  readonly #view: View<R>
  readonly #interest: Interest
  readonly #listeners = new Set<LiveQueryListener<R>>()
  readonly #ring: SequencedDelta<R>[] = []
  /** The size of each delta in the ring, in bytes. */
  readonly #ringBytes: number[] = []
  readonly #ringSize: number
  readonly #log: Logger | undefined
  readonly #causal: LiveQueryOptions['causal']
  #epoch = newEpoch()
  #seq = 0
  #state: QueryState = 'opening'
  readonly #reads: WatchLoop
  /** Changes that arrived while the database was being read. */
  #kept: Change[] = []
  /** The number of resets so far. */
  #resets = 0
  /** The error of the latest read. */
  #failure: unknown
  /** Cancels the scheduled flush; undefined while there is none. */
  #cancelFlush: (() => void) | undefined
  readonly #frames: Frames

  constructor(
    query: CompiledQuery,
    collection: mongo.Collection,
    options: LiveQueryOptions = {},
    interest: Interest = {},
  ) {
    this.#interest = interest
    this.query = query
    this.#collection = collection
    this.#ringSize = options.ring ?? 256
    this.#frames = new Frames(options.coalesceMs ?? 50, BURST)
    this.#log = options.log
    this.#causal = options.causal
    this.#reads = new WatchLoop({ look: () => this.#read(), failed: 'a live query could not be read' })
    const sortKeys = Object.keys(query.sort)
    this.#view = new View<R>({
      matches: query.matches,
      compare: query.compare,
      limit: query.limit,
      toRow: (doc) => toRow<R>(query.collection, query.show?.(doc) ?? doc, query.fields),
      toSortKey: (doc) => Object.fromEntries(sortKeys.map((key) => [key, doc[key]])),
      ...given({ onKnown: interest.onKnown }),
    })
  }

  get epoch(): string {
    return this.#epoch
  }

  get seq(): number {
    return this.#seq
  }

  /** The window as of `seq`. */
  get rows(): R[] {
    return this.#view.rows
  }

  /** About how many bytes it holds. */
  get bytes(): number {
    return this.#view.bytes + this.#heldInRing
  }

  get #heldInRing(): number {
    return this.#ringBytes.reduce((sum, bytes) => sum + bytes, 0)
  }

  get idle(): boolean {
    return this.#listeners.size === 0
  }

  /** Identifies the window as of `seq` without its content. */
  get checksum(): { epoch: string; seq: number; count: number; checksum: string } {
    const rows = this.rows as (R & { rev?: number })[]
    return { epoch: this.#epoch, seq: this.#seq, count: rows.length, checksum: rowsChecksum(rows) }
  }

  /**
   * Whether the window equals the database. During changes it may return false without a fault; then call it again.
   */
  async audit(): Promise<boolean> {
    const { docs } = await this.#find({ rev: 1 }, this.query.limit)
    const stored = docs.map(({ _id, rev }) => `${String(_id)}:${typeof rev === 'number' ? rev : 0}`)
    const held = this.#view.revisions.map(({ id, rev }) => `${id}:${rev}`)
    // A view that was closed in the meantime is empty and has no watchers.
    return this.#state !== 'live' || JSON.stringify(stored) === JSON.stringify(held)
  }

  /** Reads for the first time. The caller must already pass changes to `change`. */
  async open(): Promise<void> {
    this.#interest.onCollecting?.(true)
    await this.#reads.start()
    await this.#reads.look()
    if (this.#failure !== undefined) throw this.#failure
    // Changes during the read may have used up the rows in reserve.
    await this.#untilRead()
    this.#view.flush()
  }

  /** Returns a function that unsubscribes. */
  subscribe(listener: LiveQueryListener<R>): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The deltas after `seq`, or null when they can't be replayed. */
  replay(resume: { epoch: string; seq: number }): SequencedDelta<R>[] | null {
    if (resume.epoch !== this.#epoch || resume.seq > this.#seq) return null
    const missed = this.#ring.filter(({ seq }) => seq > resume.seq)
    return missed.length === this.#seq - resume.seq ? missed : null
  }

  change(change: Change): void {
    const action = this.#on('change')
    if (action === 'keep') this.#kept.push(change)
    if (action === 'apply') this.#apply(change)
  }

  /** The window is no longer valid. Until the reset has read the database, every change is kept. */
  beginReset(): void {
    this.#resets += 1
    this.#on('reset')
  }

  /** Starts a new epoch from the current state of the database. */
  async reset(reason: ResetReason): Promise<void> {
    this.beginReset()
    await this.#reads.look()
    await this.#untilRead()
    if (this.#state === 'closed') return
    this.#view.flush()
    this.#epoch = newEpoch()
    this.#seq = 0
    this.#ring.length = 0
    this.#ringBytes.length = 0
    this.#notify((listener) => listener.reset({ epoch: this.#epoch, seq: 0, rows: this.rows, reason }))
  }

  close(): void {
    if (this.#on('close') === 'none') return
    void this.#reads.stop()
    this.#cancelFlush?.()
    this.#listeners.clear()
    // The view stops tracking all documents.
    this.#view.forget()
  }

  /** Makes the transition of the table and returns its action. */
  #on(event: QueryEvent): QueryAction {
    if (this.#state === 'closed') return 'none'
    const { to, action } = QUERY_TRANSITIONS[this.#state][event]
    const kept = keepsChanges(this.#state)
    this.#state = to
    if (keepsChanges(to) !== kept) this.#interest.onCollecting?.(!kept)
    return action
  }

  #apply(change: Change): void {
    if (this.#state === 'closed') return
    const applied = this.#view.apply(change.id, change.doc)
    // Many changes cause only one query. Until it has answered, the window stays the same.
    if (applied === 'requery' && this.#on('short') === 'ask') this.#reads.lookIn(0)
    if (applied !== 'unchanged') this.#scheduleFlush()
    if (this.#view.bytes > MOST_BYTES) this.#outgrow()
  }

  #outgrow(): void {
    this.#log?.warn({ code: 'TOO_BIG', query: this.query.key }, 'a live query has become too big and is closed')
    this.#notify((listener) => listener.outgrown?.())
    this.#interest.onOutgrown?.()
    this.close()
  }

  async #untilRead(): Promise<void> {
    while (keepsChanges(this.#state)) await this.#reads.look()
  }

  /** Until a read succeeds, the window is not known and changes are kept. */
  async #read(): Promise<void> {
    if (!keepsChanges(this.#state)) return
    // The result of the read includes all earlier changes.
    this.#kept = []
    const resets = this.#resets
    try {
      const read = await this.#find(this.query.projection, readAhead(this.query.limit))
      this.#take(read, this.#on(resets === this.#resets ? 'readAnew' : 'read'))
      this.#failure = undefined
    } catch (error) {
      this.#failure = error
      if (this.#on('failed') !== 'askAgain') return
      if ((error as { code?: unknown }).code === 'TOO_BIG') {
        this.#outgrow()
        return
      }
      this.#log?.warn({ err: asError(error) }, 'a live query could not be read; trying again')
      await sleep(READ_AGAIN_AFTER_MS, undefined, { ref: false })
      this.#reads.lookIn(0)
    }
  }

  #take({ docs, cut }: { docs: mongo.Document[]; cut: boolean }, action: QueryAction): void {
    if (action === 'none') return
    if (action === 'replace') this.#view.forget()
    this.#view.read(docs, cut)
    const kept = this.#kept.splice(0)
    // The window is exact now. In a busy collection, that may not last long, so it is emitted at once.
    if (action === 'show' && kept.length > 0 && this.#frames.wait(performance.now()) === 0) this.#flush()
    for (const change of kept) this.#apply(change)
    this.#scheduleFlush()
  }

  #find(projection: mongo.Document, limit: number): Promise<{ docs: mongo.Document[]; cut: boolean }> {
    const { dbFilter, sort, collection, fields } = this.query
    const batchSize = batchFor(collection, fields)
    const find = (session?: mongo.ClientSession): Promise<{ docs: mongo.Document[]; cut: boolean }> => {
      const found = this.#collection
        .find(dbFilter, { projection, maxTimeMS: MAX_QUERY_MS, batchSize, ...given({ session }) })
        .sort(sort)
        .limit(limit)
      return readBounded(found, this.query.limit)
    }
    return this.#causal === undefined ? find() : this.#causal.read(find)
  }

  #scheduleFlush(): void {
    if (this.#cancelFlush !== undefined) return
    const flush = (): void => {
      this.#cancelFlush = undefined
      // An incomplete window must not be shown. The running read flushes when it is done.
      if (this.#on('frame') === 'flush') this.#flush()
    }
    const wait = this.#frames.wait(performance.now())
    if (wait > 0) {
      const timer = setTimeout(flush, wait)
      this.#cancelFlush = () => clearTimeout(timer)
    } else {
      // `setImmediate` runs after the rest of the batch, and without the delay of a timer.
      const turn = setImmediate(flush)
      this.#cancelFlush = () => clearImmediate(turn)
    }
  }

  #flush(): void {
    const delta = this.#view.flush()
    if (delta === null) return
    this.#frames.take(performance.now())
    this.#seq += 1
    const sequenced = { ...delta, seq: this.#seq }
    this.#ring.push(sequenced)
    const shown = [...delta.added, ...delta.changed]
    const bytes = shown.reduce((sum, { row }) => sum + this.#view.bytesOf(row._id), 0)
    this.#ringBytes.push(bytes)
    while (this.#ring.length > this.#ringSize || this.#heldInRing > RING_BYTES) {
      this.#ring.shift()
      this.#ringBytes.shift()
    }
    this.#notify((listener) => listener.delta(sequenced, bytes))
  }

  #notify(notify: (listener: LiveQueryListener<R>) => void): void {
    notifyEach(this.#listeners, notify, { log: this.#log, failed: 'a listener of a live query failed' })
  }
}

const newEpoch = (): string => randomUUID().slice(0, 13)
