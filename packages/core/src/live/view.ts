import type { Delta, Row } from '@taskfleet/protocol'
import { driver } from '../database/driver.ts'
import { MOST_BYTES, sizeOf } from './bounded-read.ts'
import type { Comparator } from './compare.ts'
import type { Matcher } from './matcher.ts'

type Doc = Record<string, unknown>

/** The parts of a query that a view needs. */
export interface ViewQuery<R extends Row> {
  matches: Matcher
  compare: Comparator
  limit: number
  toRow: (doc: Doc) => R
  /** Picks the fields that `compare` reads, so that a view doesn't hold whole documents. */
  toSortKey: (doc: Doc) => Doc
  /** Called when the view starts or stops tracking a document. */
  onKnown?: (id: string, known: boolean) => void
}

interface Entry<R extends Row> {
  id: string
  rev: number
  sortKey: Doc
  row: R
  bytes: number
}

/** The effect of a change: none, some, or that the database must be queried again to know the window. */
export type Applied = 'unchanged' | 'changed' | 'requery'

/** The memory of a row beside its content. */
const ROW_BYTES = 512

/** The most rows that a query reads: the window, as many rows in reserve, and one to know whether there are more. */
export const readAhead = (limit: number): number => limit * 2 + 1

/**
 * The window over a query's result, kept current by changes alone. It holds the first rows of the result in order, up to
 * twice the limit, and whether that is the whole result. So a row that leaves the window is replaced without a query.
 *
 * It is pure: no clock, no database. `apply` applies a change; `flush` returns what changed since the last flush.
 */
export class View<R extends Row> {
  readonly #query: ViewQuery<R>
  #entries: Entry<R>[] = []
  readonly #byId = new Map<string, Entry<R>>()
  /** The `rev` of rows that left recently, the latest last. */
  readonly #left = new Map<string, number>()
  /** Whether `#entries` is the whole result and not only its beginning. */
  #complete = false
  #bytes = 0
  #published: readonly Entry<R>[] = []

  constructor(query: ViewQuery<R>) {
    this.#query = query
  }

  /** About how many bytes it holds. */
  get bytes(): number {
    return this.#bytes
  }

  /** How many of them belong to one row. */
  bytesOf(id: string): number {
    return this.#byId.get(id)?.bytes ?? 0
  }

  /** The window as it was last flushed. */
  get rows(): R[] {
    return this.#published.map(({ row }) => row)
  }

  /**
   * Replaces all rows by the database's result of a query for `readAhead(limit)` rows, in order. Changes that arrived during
   * the query are applied afterwards.
   *
   * @param cut whether there are more rows that didn't fit into a view
   */
  read(docs: readonly Doc[], cut = false): void {
    const known = new Map(this.#byId)
    const most = readAhead(this.#query.limit)
    this.#complete = docs.length < most && !cut
    this.#entries = docs.slice(0, most - 1).map((doc) => {
      const id = idOf(doc)
      return this.#entry(id, doc, this.#query.toSortKey(doc), known.get(id))
    })
    this.#entries.sort((a, b) => this.#query.compare(a.sortKey, b.sortKey))
    this.#byId.clear()
    this.#bytes = 0
    for (const entry of this.#entries) this.#hold(entry)
    for (const entry of known.values()) if (!this.#byId.has(entry.id)) this.#remember(entry.id, entry.rev)
  }

  /** Drops all rows and their revisions, because another document may now have one of the ids. */
  forget(): void {
    const known = [...this.#byId.keys(), ...this.#left.keys()]
    this.#entries = []
    this.#byId.clear()
    this.#bytes = 0
    this.#left.clear()
    this.#complete = false
    for (const id of known) this.#query.onKnown?.(id, false)
  }

  /** Whether the view tracks this document. A change of any other document matters only if it fits the query. */
  knows(id: string): boolean {
    return this.#byId.has(id) || this.#left.has(id)
  }

  /** The current window, flushed or not, with the revision of each row. */
  get revisions(): { id: string; rev: number }[] {
    return this.#entries.slice(0, this.#query.limit).map(({ id, rev }) => ({ id, rev }))
  }

  #hold(entry: Entry<R>): void {
    this.#byId.set(entry.id, entry)
    this.#bytes += entry.bytes
    this.#left.delete(entry.id)
    this.#query.onKnown?.(entry.id, true)
  }

  #unknown(id: string): void {
    if (!this.knows(id)) this.#query.onKnown?.(id, false)
  }

  /** Applies the current state of a document; null when it is gone. */
  apply(id: unknown, doc: Doc | null): Applied {
    const key = idText(id)
    const before = this.#byId.get(key)
    if (doc === null) {
      if (this.#left.delete(key)) this.#unknown(key)
    }
    // The database was read after this change and returned a newer revision.
    else if (revOf(doc) < (before?.rev ?? this.#left.get(key) ?? 0)) return 'unchanged'
    const matches = doc !== null && this.#query.matches(doc)
    if (before === undefined && !matches) return 'unchanged'
    if (before !== undefined) {
      this.#entries.splice(this.#entries.indexOf(before), 1)
      this.#byId.delete(key)
      this.#bytes -= before.bytes
      if (doc === null) this.#unknown(key)
    }
    if (matches) this.#insert(key, doc, before)
    else if (doc !== null) this.#remember(key, revOf(doc))
    return this.#complete || this.#entries.length >= this.#query.limit ? 'changed' : 'requery'
  }

  /** The delta from the last flush to the present; null when nothing changed. */
  flush(): Delta<R> | null {
    const window = this.#entries.slice(0, this.#query.limit)
    const before = new Map(this.#published.map((entry) => [entry.id, entry]))
    const delta: Delta<R> = { added: [], changed: [], removed: [] }
    window.forEach((entry, index) => {
      const was = before.get(entry.id)
      before.delete(entry.id)
      if (was === undefined) delta.added.push({ row: entry.row, index })
      else if (was !== entry) delta.changed.push({ row: entry.row, index })
    })
    delta.removed.push(...before.keys())
    this.#published = window
    return delta.added.length + delta.changed.length + delta.removed.length === 0 ? null : delta
  }

  #insert(id: string, doc: Doc, before: Entry<R> | undefined): void {
    const sortKey = this.#query.toSortKey(doc)
    const place = firstAfter(this.#entries, (other) => this.#query.compare(sortKey, other.sortKey) < 0)
    // Unread rows after the last known one may come before this row.
    if (place === this.#entries.length && !this.#complete) {
      this.#remember(id, revOf(doc))
      return
    }
    const entry = this.#entry(id, doc, sortKey, before)
    this.#entries.splice(place, 0, entry)
    this.#hold(entry)
    while (this.#entries.length > this.#query.limit * 2) this.#dropLast()
    while (this.#bytes > MOST_BYTES && this.#entries.length > this.#query.limit) this.#dropLast()
  }

  #dropLast(): void {
    const dropped = this.#entries.pop()
    if (dropped === undefined) return
    this.#byId.delete(dropped.id)
    this.#bytes -= dropped.bytes
    this.#remember(dropped.id, dropped.rev)
    this.#complete = false
  }

  /** Stores the revision of a row that left, so that an older change can't bring it back. */
  #remember(id: string, rev: number): void {
    this.#left.delete(id)
    this.#left.set(id, rev)
    this.#query.onKnown?.(id, true)
    const [oldest] = this.#left.keys()
    if (this.#left.size <= readAhead(this.#query.limit) || oldest === undefined) return
    this.#left.delete(oldest)
    this.#unknown(oldest)
  }

  /** Returns the same entry if no visible field changed, so that `flush` finds no difference. */
  #entry(id: string, doc: Doc, sortKey: Doc, before: Entry<R> | undefined): Entry<R> {
    const row = this.#query.toRow(doc)
    const rev = revOf(doc)
    // Every row has a `rev`. If it differs, the rows need not be compared as text.
    const same = before !== undefined && before.rev === rev && JSON.stringify(before.row) === JSON.stringify(row)
    // Fields that are not shown may still affect the order.
    if (same && this.#query.compare(before.sortKey, sortKey) === 0) return before
    return { id, rev, sortKey, row, bytes: sizeOf(row) + ROW_BYTES }
  }
}

function firstAfter<T>(sorted: readonly T[], isAfter: (item: T) => boolean): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (isAfter(sorted[middle]!)) high = middle
    else low = middle + 1
  }
  return low
}

const revOf = (doc: Doc): number => (typeof doc.rev === 'number' ? doc.rev : 0)
const idOf = (doc: Doc): string => idText(doc._id)
const idText = (id: unknown): string => (id instanceof driver.ObjectId ? id.toHexString() : String(id))
