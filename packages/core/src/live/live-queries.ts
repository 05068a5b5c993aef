import { type CollectionName, FleetError, type ResetReason, type Row } from '@taskfleet/protocol'
import pLimit, { type LimitFunction } from 'p-limit'
import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { asError } from '../thrown.ts'
import { WatchLoop } from '../watch-loop.ts'
import { isHeavy } from './bounded-read.ts'
import type { Feed } from './feed.ts'
import type { Change } from './feed-events.ts'
import { LiveQuery, type LiveQueryListener, type LiveQueryOptions } from './live-query.ts'
import { LiveStats } from './live-stats.ts'
import { createMatcher } from './matcher.ts'
import { type CompiledQuery, canonical } from './query.ts'
import { ViewIndex } from './view-index.ts'

/** One watcher's share of a live query. */
export interface Watch<R extends Row = Row> {
  live: LiveQuery<R>
  /** Gives the share back; a while after the last one the view is closed. May be called twice. */
  close(): void
}

/** How long a view stays open after its last watcher left: a client that lost its connection can go on where it was. */
const LINGER_MS = 30_000

/** One watcher's share of statistics. */
export interface StatsWatch {
  live: LiveStats
  close(): void
}

/** How much may be open without watchers. What was left first is closed first. */
const LINGERING = {
  all: { views: 400, bytes: 16 * 1024 * 1024 },
  ofOne: { views: 100, bytes: 4 * 1024 * 1024 },
} as const

/** On whose behalf something is opened. */
export interface Opener {
  /** What lingers counts against whoever opened it. */
  owner?: string
  /** Called just before the database is read; throws when the view may not be opened after all. */
  admit?: () => void
}

interface Lingering {
  owner: string | undefined
  bytes: number
  drop: () => void
}

/** What those who ask the same share. */
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

/** The views of one collection, and which of them a change may concern. */
interface Shelf {
  index: ViewIndex<LiveQuery>
  /** Which views know a document. They get every change of it. */
  knowing: Map<string, Set<LiveQuery>>
  /** Views that are being read: whatever changes may concern them. */
  collecting: Set<LiveQuery>
}

/** About what statistics take. */
const STATS_BYTES = 16 * 1024
const AUDIT_MS = 45_000
/** How many views are compared with the database in a second at most. */
const AUDITS_A_SECOND = 5
/** After this time, a difference is not one that a change on its way explains. */
const AUDIT_AGAIN_MS = 1_000
/** How many views read at a time when all have to: the database has others to serve. */
const READS_AT_ONCE = 8
/** The same for rows that may have hundreds of kilobytes each. */
const HEAVY_READS_AT_ONCE = 1

/** The open views of a process: those who ask the same share one, and a change visits those only that it may concern. */
export class LiveQueries {
  readonly #database: FleetDatabase
  readonly #options: LiveQueryOptions
  readonly #log: Logger | undefined
  readonly #open = new Map<string, Entry>()
  readonly #stats = new Map<string, Shared<LiveStats>>()
  readonly #lingering = new Map<Shared<unknown>, Lingering>()
  readonly #shelves = new Map<CollectionName, Shelf>()
  readonly #feed: Feed
  readonly #unsubscribe: () => void
  /** What is held of the feed while something is open: only then must it tell everything. */
  #everything: Promise<() => void> | undefined
  #opening = 0
  readonly #audits: WatchLoop
  readonly #reads = pLimit(READS_AT_ONCE)
  readonly #heavyReads = pLimit(HEAVY_READS_AT_ONCE)
  #mended = 0
  #audited = 0

  constructor(database: FleetDatabase, feed: Feed, options: LiveQueryOptions = {}) {
    this.#database = database
    this.#options = { causal: database.causal, ...options }
    this.#log = options.log
    this.#feed = feed
    this.#unsubscribe = feed.subscribe({
      change: (change) => {
        for (const live of this.#concerned(change)) this.#pass(live, change)
        if (change.collection === 'tasks') for (const { live } of this.#stats.values()) live.change(change)
      },
      lost: (reason) => {
        for (const { live } of this.#open.values()) this.#reset(live, reason)
        for (const { live } of this.#stats.values()) live.lost()
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

  /** Statistics over the tasks that fit a filter; those who ask the same share them. */
  async watchStats(
    filter: Record<string, unknown>,
    listener: Parameters<LiveStats['subscribe']>[0],
    opener: Opener = {},
  ): Promise<StatsWatch> {
    const key = JSON.stringify(canonical(filter))
    return this.#share({
      find: () => this.#stats.get(key),
      open: () => this.#openStats(key, filter, opener),
      drop: (shared) => this.#dropStats(key, shared),
      bytes: () => STATS_BYTES,
      subscribe: (live) => live.subscribe(listener),
    })
  }

  /** A share of what is open already, or is opened for the first who asks. What nobody shares any more lingers for a while. */
  async #share<Live, Open extends Shared<Live>>(kind: {
    find: () => Open | undefined
    open: () => Open
    drop: (shared: Open) => void
    bytes: (live: Live) => number
    subscribe: (live: Live) => () => void
  }): Promise<{ live: Live; close(): void }> {
    const shared = kind.find() ?? (await this.#hearingAll(() => kind.find() ?? kind.open()))
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
    const live = new LiveStats({
      tasks: this.#database.db.collection('tasks'),
      causal: this.#database.causal,
      clock: this.#database.clock,
      filter,
      matches: createMatcher(filter),
      log: this.#log,
    })
    const entry = { live, ready: Promise.resolve(), watches: 0, owner, lingering: undefined }
    this.#stats.set(key, entry)
    // Registered before it reads: what changes from now on is kept for it.
    entry.ready = live.open()
    return entry
  }

  #dropStats(key: string, entry: Shared<LiveStats>): void {
    clearTimeout(entry.lingering)
    this.#lingering.delete(entry)
    entry.live.close()
    if (this.#stats.get(key) === entry) this.#stats.delete(key)
    this.#restIfIdle()
  }

  /** How many views are open. */
  get size(): number {
    return this.#open.size + this.#stats.size
  }

  /** How many comparisons with the database there have been. */
  get audited(): number {
    return this.#audited
  }

  /** How many views had to be mended by an audit; goal 0. */
  get mended(): number {
    return this.#mended
  }

  /** Resolves when the view is exact; `listener` is called for every change after that. */
  async watch<R extends Row = Row>(
    query: CompiledQuery,
    listener: LiveQueryListener<R>,
    opener: Opener = {},
  ): Promise<Watch<R>> {
    const { live, close } = await this.#share<LiveQuery, Entry>({
      find: () => this.#open.get(query.key),
      open: () => this.#openView(query, opener),
      drop: (shared) => this.#drop(query.key, shared),
      bytes: ({ bytes }) => bytes,
      subscribe: (live) => live.subscribe(listener as unknown as LiveQueryListener),
    })
    return { live: live as unknown as LiveQuery<R>, close }
  }

  /** Opens something, from when on the feed tells everything until nothing is open any more. */
  async #hearingAll<T>(open: () => T): Promise<T> {
    this.#opening += 1
    this.#everything ??= this.#feed.everything()
    const everything = this.#everything
    try {
      await everything
      return open()
    } catch (error) {
      if (this.#everything === everything) this.#everything = undefined
      throw error
    } finally {
      this.#opening -= 1
      this.#restIfIdle()
    }
  }

  #restIfIdle(): void {
    if (this.size > 0 || this.#opening > 0) return
    void this.#everything?.then(
      (release) => release(),
      () => undefined,
    )
    this.#everything = undefined
  }

  #openView(query: CompiledQuery, { owner, admit }: Opener): Entry {
    const shelf = this.#shelf(query.collection)
    const live: LiveQuery = new LiveQuery(query, this.#database.db.collection(query.collection), this.#options, {
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
      if (this.#open.get(query.key) !== entry) throw new FleetError('GONE', 'This live query was closed')
      admit?.()
      // Registered before it reads: what changes from now on is kept for it.
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

  /** A document that one view can't take must not be missed by the others. */
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
      this.#log?.error({ err: asError(error) }, 'a live query did not reset'),
    )
  }

  /** Compares those with the database whose turn it is. Notifications are hints; this proves that none was missed. */
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

  /** What is on its way makes a difference that passes; under changes without end nothing can be said. */
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
    this.#restIfIdle()
  }

  stop(): void {
    void this.#audits.stop()
    this.#unsubscribe()
    for (const [key, entry] of this.#open) this.#drop(key, entry)
    for (const [key, entry] of this.#stats) this.#dropStats(key, entry)
  }
}
