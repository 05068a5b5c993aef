import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { asError } from '../errors.ts'
import type { ResetReason, Row } from '../protocol.ts'
import type { Change, ChangeFeed } from './change-feed.ts'
import { LiveQuery, type LiveQueryListener, type LiveQueryOptions } from './live-query.ts'
import type { CompiledQuery } from './query.ts'

/** One watcher's share of a live query. */
export interface Watch<R extends Row = Row> {
  live: LiveQuery<R>
  /** Gives the share back; a while after the last one the view is closed. May be called twice. */
  close(): void
}

/** How long a view stays open after its last watcher left: a client that lost its connection can go on where it was. */
const LINGER_MS = 30_000

interface Entry {
  live: LiveQuery
  ready: Promise<void>
  watches: number
  lingering: NodeJS.Timeout | undefined
}

/** The open views of a process: those who ask the same share one. */
export class LiveQueries {
  readonly #database: FleetDatabase
  readonly #options: LiveQueryOptions
  readonly #log: Logger | undefined
  readonly #open = new Map<string, Entry>()
  readonly #unsubscribe: () => void

  constructor(database: FleetDatabase, feed: ChangeFeed, options: LiveQueryOptions = {}) {
    this.#database = database
    this.#options = options
    this.#log = options.log
    this.#unsubscribe = feed.subscribe({
      change: (change) => {
        for (const { live } of this.#open.values()) {
          if (live.query.collection === change.collection) this.#pass(live, change)
        }
      },
      lost: (reason) => {
        for (const { live } of this.#open.values()) this.#reset(live, reason)
      },
    })
  }

  /** How many views are open. */
  get size(): number {
    return this.#open.size
  }

  /** Resolves when the view is exact; `listener` hears of everything after that. */
  async watch<R extends Row = Row>(query: CompiledQuery, listener: LiveQueryListener<R>): Promise<Watch<R>> {
    let entry = this.#open.get(query.key)
    if (entry === undefined) {
      // Registered before it reads: what changes from now on is kept for it.
      const live = new LiveQuery(query, this.#database.db.collection(query.collection), this.#options)
      entry = { live, ready: live.open(), watches: 0, lingering: undefined }
      this.#open.set(query.key, entry)
    }
    const shared = entry
    shared.watches += 1
    clearTimeout(shared.lingering)
    const live = shared.live as unknown as LiveQuery<R>
    let unsubscribe: (() => void) | undefined
    const close = (): void => {
      if (closed) return
      closed = true
      unsubscribe?.()
      shared.watches -= 1
      if (shared.watches > 0) return
      shared.lingering = setTimeout(() => this.#drop(query.key, shared), this.#options.lingerMs ?? LINGER_MS).unref()
    }
    let closed = false
    try {
      await shared.ready
    } catch (error) {
      close()
      this.#drop(query.key, shared)
      throw error
    }
    unsubscribe = live.subscribe(listener)
    return { live, close }
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
    live
      .reset(reason)
      .catch((error: unknown) => this.#log?.error({ err: asError(error) }, 'a live query did not reset'))
  }

  #drop(key: string, entry: Entry): void {
    clearTimeout(entry.lingering)
    entry.live.close()
    if (this.#open.get(key) === entry) this.#open.delete(key)
  }

  stop(): void {
    this.#unsubscribe()
    for (const [key, entry] of this.#open) this.#drop(key, entry)
  }
}
