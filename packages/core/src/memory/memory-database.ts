import { COLLECTIONS, type CollectionName } from '@taskfleet/protocol'
import type { Connection, mongo } from 'mongoose'
import type { SigningOptions } from '../auth/signing.ts'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { INDEXES } from '../database/indexes.ts'
import { ServerClock } from '../database/server-clock.ts'
import { Fleet } from '../fleet.ts'
import type { Feed, FeedListener } from '../live/feed.ts'
import { LiveQueries } from '../live/live-queries.ts'
import type { LiveQueryOptions } from '../live/live-query.ts'
import { MemoryCollection } from './memory-collection.ts'
import { MemorySession, type Turns } from './memory-session.ts'

/** The current document, or null if it is gone. */
export interface MemoryChange {
  collection: string
  id: unknown
  doc: mongo.Document | null
}

const isWatched = (name: string): name is CollectionName => (COLLECTIONS as readonly string[]).includes(name)

const unique = INDEXES.filter((index) => index.unique === true)

/**
 * The parts of MongoDB that a fleet needs, in this process's memory, for tests without a database. It evaluates the fleet's own
 * filters, updates and aggregations, so no rule is written twice. Nothing is durable, and only this process sees it. Transactions
 * run one after the other and are all or nothing, but operations outside of a transaction see its writes at once.
 */
export class MemoryDatabase {
  readonly clock = new MemoryClock()
  readonly #collections = new Map<string, MemoryCollection>()
  readonly #listeners = new Set<(change: MemoryChange) => void>()
  /** Has the interface of the driver's `Db`. */
  readonly db: mongo.Db
  readonly connection: Connection

  constructor() {
    const dropDatabase = async (): Promise<void> => this.#collections.clear()
    const db = { collection: (name: string) => this.#collection(name), dropDatabase }
    const turns: Turns = { last: Promise.resolve() }
    const client = {
      db: () => db,
      startSession: () => new MemorySession(turns),
      withSession: async <T>(act: (session: MemorySession) => Promise<T>): Promise<T> => {
        const session = new MemorySession(turns)
        try {
          return await act(session)
        } finally {
          await session.endSession()
        }
      },
    }
    this.db = db as unknown as mongo.Db
    this.connection = { name: 'memory', getClient: () => client } as unknown as Connection
  }

  /** A fleet on this database, with every operation and all rules. */
  fleet(options: { signing?: SigningOptions } = {}): Fleet {
    return new Fleet(this.database, options)
  }

  /** Live queries and statistics on this database. */
  liveQueries(options: LiveQueryOptions = {}): LiveQueries {
    return new LiveQueries(this.database, this.feed(), options)
  }

  /** Reports every change when it is committed. */
  feed(): Feed {
    const { clock } = this
    return {
      isDirect: true,
      start: async () => undefined,
      stop: async () => undefined,
      subscribe: ({ change }: FeedListener) =>
        this.onChange(({ collection, id, doc }) => {
          if (isWatched(collection)) change({ collection, id, doc })
        }),
      get reportedUntil() {
        return clock.now()
      },
      lagMs: 0,
      widen: async () => () => undefined,
    }
  }

  /** The parts that a fleet, its live queries and a worker use. */
  get database(): FleetDatabase {
    const { connection, clock, db } = this
    const parts = {
      ...{ connection, clock, db, name: connection.name, getClient: () => connection.getClient() },
      memory: this,
      uri: 'memory:',
      availability: { awayMs: 0, answers: async () => true },
      requireSchema: async () => undefined,
      causal: { read: <T>(act: () => Promise<T>): Promise<T> => act() },
      // None: the collections have their indexes from the start.
      expectedIndexes: () => [],
      ensureIndexes: async () => [],
      close: async () => undefined,
    }
    return parts as unknown as FleetDatabase
  }

  /** Calls the listener with every committed change. Returns a function that unsubscribes. */
  onChange(listener: (change: MemoryChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #collection(name: string): MemoryCollection {
    const there = this.#collections.get(name)
    if (there !== undefined) return there
    const collection = new MemoryCollection(name, {
      unique: unique.filter((index) => index.collection === name),
      now: () => this.clock.now(),
      onChange: (id, doc) => {
        for (const listener of [...this.#listeners]) listener({ collection: name, id, doc })
      },
    })
    this.#collections.set(name, collection)
    return collection
  }
}

/** Never behind the clock with which a program dates what it asks for: otherwise what is due now might not be due yet. */
class MemoryClock extends ServerClock {
  override now(): Date {
    return new Date(Math.max(Date.now(), super.now().getTime()))
  }

  override past(): Date {
    return this.now()
  }
}
