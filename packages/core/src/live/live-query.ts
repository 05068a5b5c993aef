import { randomUUID } from 'node:crypto'
import { type Delta, type ResetReason, type Row, rowsChecksum } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { CausalReads } from '../database/causal-reads.ts'
import { asError } from '../thrown.ts'
import type { Change } from './change-feed.ts'
import { Frames } from './frames.ts'
import type { CompiledQuery } from './query.ts'
import { readAhead, View } from './view.ts'
import { toRow } from './wire.ts'

export type SequencedDelta<R extends Row = Row> = Delta<R> & { seq: number }

export interface LiveQueryListener<R extends Row = Row> {
  delta(delta: SequencedDelta<R>): void
  reset(reset: { epoch: string; seq: number; rows: R[]; reason: ResetReason }): void
}

export interface LiveQueryOptions {
  /** Once busy, at most one delta in this time; an idle view answers at once. In milliseconds. */
  coalesceMs?: number
  /** How many past deltas are kept for `resume`. */
  ring?: number
  /** How long a view stays open without watchers, in milliseconds. */
  lingerMs?: number
  /** About how often each view is compared with the database, in milliseconds. */
  auditMs?: number
  /** With it a read knows at least what the feed has shown. */
  causal?: Pick<CausalReads, 'read'>
  log?: Logger | undefined
}

/** Told to whoever passes changes on, so that a view is not asked about what can't concern it. */
export interface Interest {
  /** The view begins or ceases to know anything about a document. */
  onKnown?: (id: string, known: boolean) => void
  /** While it is being read, every change may concern it. */
  onCollecting?: (collecting: boolean) => void
}

/** How many deltas a view that was idle sends at once before frames begin: an insertion, its claim and its start. */
const BURST = 3
const MAX_QUERY_MS = 2_000
const READ_AGAIN_AFTER_MS = 500

/**
 * One query's view over the feed, shared by all who ask the same. It is opened in the order that leaves no gap: changes
 * are kept back, the database is read, then the kept changes are applied.
 */
export class LiveQuery<R extends Row = Row> {
  readonly query: CompiledQuery
  readonly #collection: mongo.Collection
  readonly #view: View<R>
  readonly #interest: Interest
  readonly #listeners = new Set<LiveQueryListener<R>>()
  readonly #ring: SequencedDelta<R>[] = []
  readonly #ringSize: number
  readonly #log: Logger | undefined
  readonly #causal: LiveQueryOptions['causal']
  #epoch = newEpoch()
  #seq = 0
  /** Changes that came while the database was being read; null while none is. */
  #kept: Change[] | null = null
  #reading: Promise<void> | undefined
  #nextReading: Promise<void> | undefined
  #opened = false
  /** A reset was asked for, and the next read that begins starts from nothing. */
  #forgetting = false
  /** Ends the wait for the next flush; undefined while none is awaited. */
  #cancelFlush: (() => void) | undefined
  readonly #frames: Frames
  #closed = false

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
    const sortKeys = Object.keys(query.sort)
    this.#view = new View<R>({
      matches: query.matches,
      compare: query.compare,
      limit: query.limit,
      toRow: (doc) => toRow<R>(query.collection, doc, query.fields),
      toSortKey: (doc) => Object.fromEntries(sortKeys.map((key) => [key, doc[key]])),
      ...(interest.onKnown === undefined ? {} : { onKnown: interest.onKnown }),
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

  get idle(): boolean {
    return this.#listeners.size === 0
  }

  /** What proves the window as of `seq` without its content. */
  get checksum(): { epoch: string; seq: number; count: number; checksum: string } {
    const rows = this.rows as (R & { rev?: number })[]
    return { epoch: this.#epoch, seq: this.#seq, count: rows.length, checksum: rowsChecksum(rows) }
  }

  /**
   * Whether the window is what the database says. While something changes the answer may be no without a fault: ask again.
   */
  async audit(): Promise<boolean> {
    const docs = await this.#find({ rev: 1 }, this.query.limit)
    const stored = docs.map(({ _id, rev }) => `${String(_id)}:${typeof rev === 'number' ? rev : 0}`)
    const held = this.#view.revisions.map(({ id, rev }) => `${id}:${rev}`)
    // One that was closed meanwhile holds nothing, and nobody looks at it.
    return this.#closed || this.#kept !== null || JSON.stringify(stored) === JSON.stringify(held)
  }

  /** Reads for the first time. Changes must be passed to `change` from before this is called. */
  async open(): Promise<void> {
    this.#reading = this.#read().finally(() => {
      this.#reading = undefined
    })
    await this.#reading
    // What came meanwhile may have used up what stands behind the window.
    while ((this.#reading ?? this.#nextReading) !== undefined) await (this.#reading ?? this.#nextReading)
    this.#view.flush()
    this.#opened = true
  }

  /** Returns its undo. */
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
    if (this.#kept !== null) this.#kept.push(change)
    else this.#apply(change)
  }

  /** What is known counts no longer: until the reset has read, every change is kept. */
  beginReset(): void {
    this.#forgetting = true
    if (this.#kept === null) this.#collect([])
  }

  /** Starts a new epoch from what the database says now. */
  async reset(reason: ResetReason): Promise<void> {
    this.#forgetting = true
    await this.#readAgain()
    if (this.#closed) return
    this.#view.flush()
    this.#epoch = newEpoch()
    this.#seq = 0
    this.#ring.length = 0
    this.#tell((listener) => listener.reset({ epoch: this.#epoch, seq: 0, rows: this.rows, reason }))
  }

  close(): void {
    this.#closed = true
    this.#cancelFlush?.()
    this.#listeners.clear()
    // Nobody is to be told of documents on its behalf any more.
    this.#view.forget()
    this.#interest.onCollecting?.(false)
  }

  #apply(change: Change): void {
    const applied = this.#view.apply(change.id, change.doc)
    if (applied === 'requery') void this.#reread()
    if (applied !== 'unchanged') this.#scheduleFlush()
  }

  /** One query however many changes ask for it. A window at its edge stays as it is until the answer is there. */
  async #reread(): Promise<void> {
    await this.#readAgain()
    this.#scheduleFlush()
  }

  /** Resolves when a read is done that began after this was called; all who wait share it. */
  #readAgain(): Promise<void> {
    if (this.#reading === undefined) {
      this.#reading = this.#readUntilDone().finally(() => {
        this.#reading = undefined
      })
      return this.#reading
    }
    this.#nextReading ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#nextReading = undefined
        return this.#readAgain()
      })
    return this.#nextReading
  }

  async #readUntilDone(): Promise<void> {
    while (!this.#closed) {
      try {
        return await this.#read()
      } catch (error) {
        this.#log?.warn({ err: asError(error) }, 'a live query could not be read; trying again')
        await new Promise((resolve) => setTimeout(resolve, READ_AGAIN_AFTER_MS).unref())
      }
    }
  }

  /** Where it fails, changes are kept on: the window is not known until a read succeeds. */
  async #read(): Promise<void> {
    // Those of a failed read are in what the database says now.
    this.#collect([])
    const forgetting = this.#forgetting
    const docs = await this.#find(this.query.projection, readAhead(this.query.limit))
    if (this.#closed) return
    if (forgetting) {
      this.#forgetting = false
      this.#view.forget()
    }
    this.#view.read(docs)
    const kept = this.#kept ?? []
    this.#collect(null)
    // An exact window, which a busy collection may not leave for long: show it before it is used up again.
    if (this.#opened && kept.length > 0 && this.#frames.wait(performance.now()) === 0) this.#flush()
    for (const change of kept) this.#apply(change)
  }

  #find(projection: mongo.Document, limit: number): Promise<mongo.Document[]> {
    const { filter, sort } = this.query
    const find = (session?: mongo.ClientSession): Promise<mongo.Document[]> =>
      this.#collection
        .find(filter, { projection, maxTimeMS: MAX_QUERY_MS, ...(session === undefined ? {} : { session }) })
        .sort(sort)
        .limit(limit)
        .toArray()
    return this.#causal === undefined ? find() : this.#causal.read(find)
  }

  #collect(kept: Change[] | null): void {
    this.#kept = kept
    this.#interest.onCollecting?.(kept !== null)
  }

  #scheduleFlush(): void {
    if (this.#cancelFlush !== undefined || this.#closed) return
    const flush = (): void => {
      this.#cancelFlush = undefined
      this.#flush()
    }
    const wait = this.#frames.wait(performance.now())
    if (wait > 0) {
      const timer = setTimeout(flush, wait)
      this.#cancelFlush = () => clearTimeout(timer)
    } else {
      // Not before the rest of what came in the same batch, and without the millisecond that a timer takes.
      const turn = setImmediate(flush)
      this.#cancelFlush = () => clearImmediate(turn)
    }
  }

  #flush(): void {
    // Half a window must not be shown: the read that is under way flushes when it is done.
    if (this.#kept !== null || this.#closed) return
    const delta = this.#view.flush()
    if (delta === null) return
    this.#frames.take(performance.now())
    this.#seq += 1
    const sequenced = { ...delta, seq: this.#seq }
    this.#ring.push(sequenced)
    if (this.#ring.length > this.#ringSize) this.#ring.shift()
    this.#tell((listener) => listener.delta(sequenced))
  }

  /** One listener's fault must neither keep the others from hearing nor end the process. */
  #tell(tell: (listener: LiveQueryListener<R>) => void): void {
    for (const listener of this.#listeners) {
      try {
        tell(listener)
      } catch (error) {
        this.#log?.error({ err: asError(error) }, 'a listener of a live query failed')
      }
    }
  }
}

const newEpoch = (): string => randomUUID().slice(0, 13)
