import type { Fleet } from '@taskfleet/core'
import { ChangeFeed, compileQuery, countOpen, LiveQueries, toRow } from '@taskfleet/core/internal'
import {
  applyDelta,
  type CollectionName,
  type CollectionRows,
  type Delta,
  type QueryRequest,
  type TaskStatus,
} from '@taskfleet/protocol'
import { makeLog } from './options.ts'

export type CollectionQuery<N extends CollectionName> = QueryRequest & { collection: N }

/** Called with all rows and what has changed; null when all were read anew. */
export type RowsSeen<N extends CollectionName> = (
  rows: readonly CollectionRows[N][],
  delta: Delta<CollectionRows[N]> | null,
) => void

/** How many tasks of each queue are in each status. */
export type QueueCounts = Record<string, Partial<Record<TaskStatus, number>>>

/** What a command reads of a fleet, from its database or through a gateway. */
export interface FleetView {
  /** The rows that match now. @throws {FleetError} as `compileQuery` */
  rows<N extends CollectionName>(query: CollectionQuery<N>): Promise<CollectionRows[N][]>
  /** Calls back with the rows that match now, and at every change until the command ends or the returned function is called. */
  watchRows<N extends CollectionName>(query: CollectionQuery<N>, seen: RowsSeen<N>): Promise<() => void>
  queueCounts(): Promise<QueueCounts>
  /** The fleet's time, in milliseconds. */
  now(): number
}

export class DatabaseView implements FleetView {
  readonly #fleet: Fleet
  #feed: ChangeFeed | undefined
  #queries: LiveQueries | undefined

  constructor(fleet: Fleet) {
    this.#fleet = fleet
  }

  async rows<N extends CollectionName>(query: CollectionQuery<N>): Promise<CollectionRows[N][]> {
    const { collection, dbFilter, projection, sort, limit, fields } = compileQuery(query)
    const found = this.#fleet.database.db.collection(collection).find(dbFilter, { projection })
    const docs = await found.sort(sort).limit(limit).toArray()
    return docs.map((doc) => toRow<CollectionRows[N]>(collection, doc, fields))
  }

  async watchRows<N extends CollectionName>(query: CollectionQuery<N>, seen: RowsSeen<N>): Promise<() => void> {
    const compiled = compileQuery(query)
    let rows: readonly CollectionRows[N][] = []
    const watch = await (await this.#live()).watch<CollectionRows[N]>(compiled, {
      delta: (delta) => {
        rows = applyDelta<CollectionRows[N]>(rows, delta)
        seen(rows, delta)
      },
      reset: (reset) => {
        rows = reset.rows
        seen(rows, null)
      },
    })
    rows = watch.live.rows
    seen(rows, null)
    return () => watch.close()
  }

  async queueCounts(): Promise<QueueCounts> {
    const counts: QueueCounts = {}
    for (const { queue, status, count } of await countOpen(this.#fleet.tasks)) {
      counts[queue] = { ...counts[queue], [status]: (counts[queue]?.[status] ?? 0) + count }
    }
    return counts
  }

  now(): number {
    return this.#fleet.database.clock.now().getTime()
  }

  /** May be called twice. */
  async close(): Promise<void> {
    this.#queries?.stop()
    await this.#feed?.stop()
  }

  async #live(): Promise<LiveQueries> {
    if (this.#queries !== undefined) return this.#queries
    const { database } = this.#fleet
    const log = makeLog('error')
    this.#feed = new ChangeFeed(database, { log })
    await this.#feed.start()
    this.#queries = new LiveQueries(database, this.#feed, { log })
    return this.#queries
  }
}
