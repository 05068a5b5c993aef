import type { Delta, Row } from '@taskfleet/protocol'
import { mongo } from 'mongoose'
import { MOST_BYTES, sizeOf } from './bounded-read.ts'
import type { Comparator } from './compare.ts'
import type { Matcher } from './matcher.ts'

type Doc = Record<string, unknown>

/** What a view needs of a query. */
export interface ViewQuery<R extends Row> {
  matches: Matcher
  compare: Comparator
  limit: number
  toRow: (doc: Doc) => R
  /** Only what `compare` looks at, so that a view doesn't hold whole documents. */
  toSortKey: (doc: Doc) => Doc
  /** Told when the view begins or ceases to know anything about a document. */
  onKnown?: (id: string, known: boolean) => void
}

interface Entry<R extends Row> {
  id: string
  rev: number
  sortKey: Doc
  row: R
  bytes: number
}

/** What a change did: nothing, something, or that the window can't be known without asking the database again. */
export type Applied = 'unchanged' | 'changed' | 'requery'

/** What a row takes beside its content. */
const ROW_BYTES = 512

/** How many rows a query reads at most: the window, what stands ready behind it, and one to know whether there is more. */
export const readAhead = (limit: number): number => limit * 2 + 1

/**
 * The window over a query's result, kept by changes alone. It holds a prefix of the result in order, up to twice the
 * limit, and whether that is all of it: a row that leaves the window is replaced from behind without a query.
 *
 * Pure: no clock, no database. `apply` moves the present on; `flush` says what changed since the last flush.
 */
export class View<R extends Row> {
  readonly #query: ViewQuery<R>
  #entries: Entry<R>[] = []
  readonly #byId = new Map<string, Entry<R>>()
  /** The `rev` of rows that left lately, the latest last. */
  readonly #left = new Map<string, number>()
  /** Whether `#entries` is the whole result and not only its beginning. */
  #complete = false
  #bytes = 0
  #published: readonly Entry<R>[] = []

  constructor(query: ViewQuery<R>) {
    this.#query = query
  }

  /** About how much it holds. */
  get bytes(): number {
    return this.#bytes
  }

  /** How much of that is in one row. */
  bytesOf(id: string): number {
    return this.#byId.get(id)?.bytes ?? 0
  }

  /** The window as it was last flushed. */
  get rows(): R[] {
    return this.#published.map(({ row }) => row)
  }

  /**
   * Replaces what is known by what the database answered to a query for `readAhead(limit)` rows, in order. Changes that
   * came while it was asked are applied afterwards.
   *
   * @param cut whether there are more rows that did not fit into a view
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

  /** Nothing is known any more, not even how old it was: another document may have taken an id. */
  forget(): void {
    const known = [...this.#byId.keys(), ...this.#left.keys()]
    this.#entries = []
    this.#byId.clear()
    this.#bytes = 0
    this.#left.clear()
    this.#complete = false
    for (const id of known) this.#query.onKnown?.(id, false)
  }

  /** What a change of anything but these, that doesn't fit the query, can't concern. */
  knows(id: string): boolean {
    return this.#byId.has(id) || this.#left.has(id)
  }

  /** The window as it is now, flushed or not, with the revision of each row. */
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

  /** A document as it is now, or null when it is gone. */
  apply(id: unknown, doc: Doc | null): Applied {
    const key = idText(id)
    const before = this.#byId.get(key)
    if (doc === null) {
      if (this.#left.delete(key)) this.#unknown(key)
    }
    // The database was asked after this change was sent, and said something newer.
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

  /** What subscribers must do to get from the last flush to the present; null when nothing. */
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
    // Behind the last known row there may be others that come before this one.
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

  /** How new a row was that left: what is older must not bring it back. */
  #remember(id: string, rev: number): void {
    this.#left.delete(id)
    this.#left.set(id, rev)
    this.#query.onKnown?.(id, true)
    const [oldest] = this.#left.keys()
    if (this.#left.size <= readAhead(this.#query.limit) || oldest === undefined) return
    this.#left.delete(oldest)
    this.#unknown(oldest)
  }

  /** The same entry where nothing changed that a subscriber could see, so that `flush` finds nothing. */
  #entry(id: string, doc: Doc, sortKey: Doc, before: Entry<R> | undefined): Entry<R> {
    const row = this.#query.toRow(doc)
    const rev = revOf(doc)
    // Every row shows its `rev`, so that most need not be compared as text.
    const same = before !== undefined && before.rev === rev && JSON.stringify(before.row) === JSON.stringify(row)
    // Fields that are not shown may still decide the order.
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
const idText = (id: unknown): string => (id instanceof mongo.ObjectId ? id.toHexString() : String(id))
