import { type CollectionName, FleetError, type ResetReason, type Row } from '@taskfleet/protocol'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { KeptCounts } from '../history/kept-counts.ts'
import { RollUps } from '../history/roll-ups.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'
import { isHeavy } from './bounded-read.ts'
import type { Feed } from './feed.ts'
import type { Change } from './feed-events.ts'
import { requireCountable, requireIndexed } from './indexed.ts'
import { type AttentionListener, type AttentionSource, LiveAttention } from './live-attention.ts'
import { LiveQuery, type LiveQueryListener, type LiveQueryOptions } from './live-query.ts'
import { LiveStats } from './live-stats.ts'
import { createMatcher } from './matcher.ts'
import { type CompiledQuery, canonical, readsContent } from './query.ts'
import { ViewIndex } from './view-index.ts'
import { WideFeed } from './wide-feed.ts'

/** One watcher of a live query. */
export interface Watch<R extends Row = Row> {
  live: LiveQuery<R>
  /** Ends this watch. The view is closed some time after its last watch. May be called twice. */
  close(): void
}

/** How long a view stays open after its last watcher has left, so that a client that reconnects can resume. */
const LINGER_MS = 30_000

/** One watcher of statistics. */
export interface StatsWatch {
  live: LiveStats
  close(): void
}

/** One watcher of what needs somebody. */
export interface AttentionWatch {
  live: LiveAttention
  close(): void
}

/** How much may stay open without watchers. The views that were left first are closed first. */
const LINGERING = {
  all: { views: 400, bytes: 16 * 1024 * 1024 },
  ofOne: { views: 100, bytes: 4 * 1024 * 1024 },
} as const

/** The caller for whom a view is opened. */
export interface Opener {
  /** A view without watchers counts against the limit of the owner who opened it. */
  owner?: string
  /** Called just before the database is read. Throws if the view may not be opened. */
  admit?: () => void
}

interface Lingering {
  owner: string | undefined
  bytes: number
  drop: () => void
}

/** A view or statistics that all watchers of the same query share. */
interface Shared<Live> {
  live: Live
  ready: Promise<void>
  watches: number
  owner: string | undefined
  lingering: NodeJS.Timeout | undefined
}

interface Entry extends Shared<LiveQuery> {
  auditedAt: number
}

/** The views of one collection, with indexes for the views that a change may concern. */
interface Shelf {
  index: ViewIndex<LiveQuery>
  /** The views that track a document, by its id. They get every change of it. */
  knowing: Map<string, Set<LiveQuery>>
  /** Views that are being read. Every change may concern them. */
  collecting: Set<LiveQuery>
}

/** The approximate memory of statistics. */
const STATS_BYTES = 16 * 1024
const AUDIT_MS = 45_000
/** The most views that are compared with the database in a second. */
const AUDITS_A_SECOND = 5
/** A difference that lasts longer than this isn't explained by a change on its way. */
const AUDIT_AGAIN_MS = 1_000
/** How many views read at the same time when all must read again, so that the database isn't overloaded. */
const READS_AT_ONCE = 8
/** As `READS_AT_ONCE`, for rows that may have hundreds of kilobytes each. */
const HEAVY_READS_AT_ONCE = 1

/** The open views of a process. Watchers of the same query share one view. A change goes only to views that it may concern. */
export class LiveQueries {
  readonly #database: FleetDatabase
  readonly #options: LiveQueryOptions
  readonly #log: Logger | undefined
  readonly #open = new Map<string, Entry>()
  readonly #stats = new Map<string, Shared<LiveStats>>()
  readonly #attention = new Map<string, Shared<LiveAttention>>()
  readonly #lingering = new Map<Shared<unknown>, Lingering>()
  readonly #shelves = new Map<CollectionName, Shelf>()
  readonly #unsubscribe: () => void
  /** Only while something is open must the feed report all changes. */
  readonly #all: WideFeed
  /** Only while a view reads the content of tasks must the feed report it. */
  readonly #whole: WideFeed
  readonly #audits: WatchLoop
  readonly #reads = pLimit(READS_AT_ONCE)
  readonly #heavyReads = pLimit(HEAVY_READS_AT_ONCE)
  readonly #attentionReads = pLimit(1)
  #mended = 0
  #audited = 0

  constructor(database: FleetDatabase, feed: Feed, options: LiveQueryOptions = {}) {
    this.#database = database
    this.#options = { causal: database.causal, ...options }
    this.#log = options.log
    this.#all = new WideFeed(feed, 'all')
    this.#whole = new WideFeed(feed, 'whole')
    this.#unsubscribe = feed.subscribe({
      change: (change) => {
        for (const live of this.#concerned(change)) this.#pass(live, change)
        if (change.collection === 'tasks') for (const { live } of this.#stats.values()) live.change(change)
        for (const { live } of this.#attention.values()) live.change(change)
      },
      lost: (reason) => {
        for (const { live } of this.#open.values()) this.#reset(live, reason)
        for (const { live } of this.#stats.values()) live.lost()
        for (const { live } of this.#attention.values()) live.lost()
      },
    })
    this.#audits = new WatchLoop({
      look: () => this.#audit(),
      everyMs: Math.min(1_000, options.auditMs ?? AUDIT_MS),
      log: options.log,
      failed: 'live queries could not be compared with the database',
    })
    void this.#audits.start()
  }

  /** Statistics of the tasks that fit a filter. Watchers of the same filter share them. */
  async watchStats(
    filter: Record<string, unknown>,
    listener: Parameters<LiveStats['subscribe']>[0],
    opener: Opener = {},
  ): Promise<StatsWatch> {
    const key = JSON.stringify(canonical(filter))
    return this.#share({
      readsContent: readsContent(filter),
      find: () => this.#stats.get(key),
      open: () => this.#openStats(key, filter, opener),
      drop: (shared) => this.#dropStats(key, shared),
      bytes: () => STATS_BYTES,
      subscribe: (live) => live.subscribe(listener),
    })
  }

  /**
   * What needs somebody. Watchers of the same reach share it, and it is read only while there are any.
   *
   * @param reach equal for callers that see the same
   */
  async watchAttention(
    reach: string,
    source: AttentionSource,
    listener: AttentionListener,
    { owner }: Opener = {},
  ): Promise<AttentionWatch> {
    return this.#share({
      readsContent: false,
      lingers: false,
      find: () => this.#attention.get(reach),
      open: () => this.#openAttention(reach, source, owner),
      drop: (shared) => this.#dropAttention(reach, shared),
      bytes: ({ bytes }) => bytes,
      subscribe: (live) => live.subscribe(listener),
    })
  }

  #openAttention(reach: string, source: AttentionSource, owner: string | undefined): Shared<LiveAttention> {
    // Those of several reaches are read one after the other, so that many limited keys don't overload the database.
    const inTurn: AttentionSource = {
      list: () => this.#attentionReads(() => source.list()),
      read: () => this.#attentionReads(() => source.read()),
    }
    const live = new LiveAttention(inTurn, { log: this.#log })
    const entry = { live, ready: live.open(), watches: 0, owner, lingering: undefined }
    this.#attention.set(reach, entry)
    return entry
  }

  #dropAttention(reach: string, entry: Shared<LiveAttention>): void {
    entry.live.close()
    if (this.#attention.get(reach) === entry) this.#attention.delete(reach)
    this.#releaseFeed(entry)
  }

  /**
   * Joins an open entry, or opens it for the first watcher. After the last watcher has left, it stays open for a while, unless `lingers`
   * is false.
   */
  async #share<Live, Open extends Shared<Live>>(kind: {
    readsContent: boolean
    lingers?: false
    find: () => Open | undefined
    open: () => Open
    drop: (shared: Open) => void
    bytes: (live: Live) => number
    subscribe: (live: Live) => () => void
  }): Promise<{ live: Live; close(): void }> {
    const shared = kind.find() ?? (await this.#openIn(kind.readsContent ? this.#whole : this.#all, kind))
    shared.watches += 1
    clearTimeout(shared.lingering)
    this.#lingering.delete(shared)
    let unsubscribe: (() => void) | undefined
    let closed = false
    const close = (): void => {
      if (closed) return
      closed = true
      unsubscribe?.()
      shared.watches -= 1
      if (shared.watches > 0) return
      const drop = (): void => kind.drop(shared)
      if (kind.lingers === false) {
        drop()
        return
      }
      shared.lingering = setTimeout(drop, this.#options.lingerMs ?? LINGER_MS).unref()
      this.#lingering.set(shared, { owner: shared.owner, bytes: kind.bytes(shared.live), drop })
      this.#makeRoom(({ owner }) => owner === shared.owner, LINGERING.ofOne)
      this.#makeRoom(() => true, LINGERING.all)
    }
    try {
      await shared.ready
    } catch (error) {
      close()
      kind.drop(shared)
      throw error
    }
    unsubscribe = kind.subscribe(shared.live)
    return { live: shared.live, close }
  }

  /** While it is open, the feed reports what it needs. */
  async #openIn<Open extends object>(
    feed: WideFeed,
    { find, open }: { find: () => Open | undefined; open: () => Open },
  ): Promise<Open> {
    return feed.during(() => {
      const found = find()
      if (found !== undefined) return found
      const opened = open()
      feed.hold(opened)
      return opened
    })
  }

  #makeRoom(counts: (one: Lingering) => boolean, most: { views: number; bytes: number }): void {
    const lingering = [...this.#lingering.values()].filter(counts)
    let bytes = lingering.reduce((sum, one) => sum + one.bytes, 0)
    while (lingering.length > most.views || bytes > most.bytes) {
      const oldest = lingering.shift()!
      bytes -= oldest.bytes
      oldest.drop()
    }
  }

  #openStats(key: string, filter: Record<string, unknown>, { owner }: Opener): Shared<LiveStats> {
    const { db, causal, clock } = this.#database
    const tasks = db.collection<TaskDocument>('tasks')
    const rollUps = new RollUps(db, { clock, log: this.#log })
    const live = new LiveStats({
      ...{ tasks, causal, clock },
      counts: new KeptCounts({ db, tasks, clock, rollUps, log: this.#log }),
      filter,
      matches: createMatcher(filter),
      log: this.#log,
    })
    const entry = { live, ready: Promise.resolve(), watches: 0, owner, lingering: undefined }
    this.#stats.set(key, entry)
    // Registered before it reads, so that it gets every change from now on.
    entry.ready = requireCountable(tasks, filter).then(() => live.open())
    return entry
  }

  #dropStats(key: string, entry: Shared<LiveStats>): void {
    clearTimeout(entry.lingering)
    this.#lingering.delete(entry)
    entry.live.close()
    if (this.#stats.get(key) === entry) this.#stats.delete(key)
    this.#releaseFeed(entry)
  }

  /** How many views are open. */
  get size(): number {
    return this.#open.size + this.#stats.size + this.#attention.size
  }

  /** How many comparisons with the database there have been. */
  get audited(): number {
    return this.#audited
  }

  /** How many views an audit had to repair; should be 0. */
  get mended(): number {
    return this.#mended
  }

  /** Resolves when the view is exact. After that, `listener` is called for every change. */
  async watch<R extends Row = Row>(
    query: CompiledQuery,
    listener: LiveQueryListener<R>,
    opener: Opener = {},
  ): Promise<Watch<R>> {
    const { live, close } = await this.#share<LiveQuery, Entry>({
      readsContent: query.readsContent,
      find: () => this.#open.get(query.key),
      open: () => this.#openView(query, opener),
      drop: (shared) => this.#drop(query.key, shared),
      bytes: ({ bytes }) => bytes,
      subscribe: (live) => live.subscribe(listener as unknown as LiveQueryListener),
    })
    return { live: live as unknown as LiveQuery<R>, close }
  }

  #releaseFeed(entry: Shared<unknown>): void {
    this.#all.release(entry)
    this.#whole.release(entry)
  }

  #openView(query: CompiledQuery, { owner, admit }: Opener): Entry {
    const shelf = this.#shelf(query.collection)
    const documents = this.#database.db.collection(query.collection)
    const live: LiveQuery = new LiveQuery(query, documents, this.#options, {
      onKnown: (id, known) => {
        const views = shelf.knowing.get(id)
        if (known) shelf.knowing.set(id, (views ?? new Set()).add(live))
        else if (views?.delete(live) && views.size === 0) shelf.knowing.delete(id)
      },
      onCollecting: (collecting) => {
        if (collecting) shelf.collecting.add(live)
        else shelf.collecting.delete(live)
      },
      onOutgrown: () => this.#drop(query.key, entry),
    })
    const open = async (): Promise<void> => {
      await requireIndexed(documents, query)
      if (this.#open.get(query.key) !== entry) throw new FleetError('GONE', 'This live query was closed')
      admit?.()
      // Registered before it reads, so that it gets every change from now on.
      shelf.index.add(live, query.filter)
      entry.auditedAt = performance.now()
      return live.open()
    }
    const entry: Entry = {
      live,
      ready: Promise.resolve(),
      watches: 0,
      owner,
      lingering: undefined,
      auditedAt: performance.now(),
    }
    this.#open.set(query.key, entry)
    entry.ready = this.#readsOf(query)(open)
    return entry
  }

  #readsOf({ collection, fields }: CompiledQuery): LimitFunction {
    return isHeavy(collection, fields) ? this.#heavyReads : this.#reads
  }

  #shelf(collection: CollectionName): Shelf {
    const shelf = this.#shelves.get(collection) ?? { index: new ViewIndex(), knowing: new Map(), collecting: new Set() }
    this.#shelves.set(collection, shelf)
    return shelf
  }

  #concerned({ collection, id, doc }: Change): Iterable<LiveQuery> {
    const shelf = this.#shelves.get(collection)
    if (shelf === undefined) return []
    const found = new Set(shelf.knowing.get(String(id)))
    if (doc !== null) shelf.index.collect(doc, found)
    for (const live of shelf.collecting) found.add(live)
    return found
  }

  /** If one view fails on a change, the other views must still get it. */
  #pass(live: LiveQuery, change: Change): void {
    try {
      live.change(change)
    } catch (error) {
      this.#log?.error({ err: asError(error), id: change.id }, 'a live query failed on a change; reading again')
      this.#reset(live, 'HISTORY_LOST')
    }
  }

  #reset(live: LiveQuery, reason: ResetReason): void {
    live.beginReset()
    this.#readsOf(live.query)(() => live.reset(reason)).catch((error: unknown) =>
      this.#log?.error({ err: asError(error) }, 'a live query could not be reset'),
    )
  }

  /** Compares the views whose turn it is with the database. This proves that no change was missed. */
  async #audit(): Promise<void> {
    const dueSince = performance.now() - (this.#options.auditMs ?? AUDIT_MS)
    const due = [...this.#open.values()].filter(({ auditedAt }) => auditedAt <= dueSince)
    for (const entry of due.slice(0, AUDITS_A_SECOND)) {
      entry.auditedAt = performance.now()
      await entry.ready
      this.#audited += 1
      if (!(await this.#differsForGood(entry.live))) continue
      this.#mended += 1
      this.#log?.error({ query: entry.live.query.key }, 'a live query differed from the database; reading again')
      this.#reset(entry.live, 'AUDIT')
    }
  }

  /** A change on its way causes a temporary difference. Under constant changes, the comparison proves nothing. */
  async #differsForGood(live: LiveQuery): Promise<boolean> {
    if (await live.audit()) return false
    const { seq, epoch } = live
    await new Promise((resolve) => setTimeout(resolve, AUDIT_AGAIN_MS).unref())
    if (await live.audit()) return false
    return live.seq === seq && live.epoch === epoch
  }

  #drop(key: string, entry: Entry): void {
    clearTimeout(entry.lingering)
    this.#lingering.delete(entry)
    if (this.#open.get(key) !== entry) return
    this.#open.delete(key)
    const { live } = entry
    live.close()
    this.#shelf(live.query.collection).index.remove(live, live.query.filter)
    this.#releaseFeed(entry)
  }

  stop(): void {
    void this.#audits.stop()
    this.#unsubscribe()
    for (const [key, entry] of this.#open) this.#drop(key, entry)
    for (const [key, entry] of this.#stats) this.#dropStats(key, entry)
    for (const [reach, entry] of this.#attention) this.#dropAttention(reach, entry)
  }
}
