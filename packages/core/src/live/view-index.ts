import { driver } from '../database/driver.ts'
import { leaves } from './matcher.ts'
import { type Range, Ranges, rangeOf } from './ranges.ts'

type Filter = Record<string, unknown>
type Doc = Record<string, unknown>

/** Fields with few different values, so that an index on them narrows little. The last ones narrow least. */
const WEAK = ['version', 'queue', 'name', 'priority', 'lazy', 'role', 'state', 'paused', 'status']
/** Fields whose values are shared by few documents. */
const STRONG = ['_id', 'key', 'parent', 'after', 'replayOf', 'event', 'schedule', 'worker']

/** Views with the same condition of equality, or without one. */
class Bucket<V> {
  readonly #anyValue = new Set<V>()
  readonly #ranges = new Ranges<V>()

  get isEmpty(): boolean {
    return this.#anyValue.size === 0 && this.#ranges.isEmpty
  }

  add(view: V, range: Range | undefined): void {
    if (range === undefined) this.#anyValue.add(view)
    else this.#ranges.add(view, range)
  }

  remove(view: V, range: Range | undefined): void {
    if (range === undefined) this.#anyValue.delete(view)
    else this.#ranges.remove(view, range)
  }

  collect(doc: Doc, found: Set<V>): void {
    for (const view of this.#anyValue) found.add(view)
    this.#ranges.collect(doc, found)
  }

  all(found: Set<V>): void {
    for (const view of this.#anyValue) found.add(view)
    this.#ranges.all(found)
  }
}

/**
 * Finds the views that a document may concern, without checking each view. It indexes one equality condition of each filter,
 * such as `worker: …` or `'input.customer': …`, and one range, such as `createdAt: { $gte: …, $lt: … }`. Views with neither
 * are returned for every document.
 */
export class ViewIndex<V> {
  /** By path, then by value. */
  readonly #byPath = new Map<string, Map<string, Bucket<V>>>()
  readonly #others = new Bucket<V>()

  add(view: V, filter: Filter): void {
    const best = bestCondition(filter)
    const range = rangeOf(filter)
    if (best === undefined) {
      this.#others.add(view, range)
      return
    }
    const values = this.#byPath.get(best.path) ?? new Map<string, Bucket<V>>()
    this.#byPath.set(best.path, values)
    for (const value of best.values) {
      const bucket = values.get(value) ?? new Bucket()
      values.set(value, bucket)
      bucket.add(view, range)
    }
  }

  remove(view: V, filter: Filter): void {
    const best = bestCondition(filter)
    const range = rangeOf(filter)
    if (best === undefined) {
      this.#others.remove(view, range)
      return
    }
    const values = this.#byPath.get(best.path)
    if (values === undefined) return
    for (const value of best.values) {
      const bucket = values.get(value)
      bucket?.remove(view, range)
      if (bucket?.isEmpty === true) values.delete(value)
    }
    if (values.size === 0) this.#byPath.delete(best.path)
  }

  /** Adds to `found` every view whose filter the document may fit. */
  collect(doc: Doc, found: Set<V>): void {
    this.#others.collect(doc, found)
    for (const [path, values] of this.#byPath) {
      for (const leaf of leaves(doc, path.split('.'))) {
        const value = valueKey(leaf)
        if (value === INCOMPARABLE) for (const bucket of values.values()) bucket.all(found)
        else if (value !== null) values.get(value)?.collect(doc, found)
      }
    }
  }
}

/** A number of a type whose equality can't be decided by its text. */
const INCOMPARABLE = Symbol('incomparable')

/** The same key for equal values; null for values that no indexed condition has. */
function valueKey(value: unknown): string | typeof INCOMPARABLE | null {
  if (typeof value === 'string') return `t${value}`
  if (typeof value === 'number') return Number.isInteger(value) ? `n${BigInt(value)}` : `n${value}`
  if (typeof value === 'bigint') return `n${value}`
  if (typeof value === 'boolean') return `b${value}`
  if (value instanceof driver.ObjectId) return `i${value.toHexString()}`
  if (value instanceof Date) return `d${value.getTime()}`
  if (value instanceof driver.Long) return `n${value.toString()}`
  return value instanceof driver.Decimal128 ? INCOMPARABLE : null
}

interface Condition {
  path: string
  values: string[]
}

/** The required condition that narrows the most. */
function bestCondition(filter: Filter): Condition | undefined {
  return conditions(filter).sort((a, b) => weakness(a) - weakness(b))[0]
}

function conditions(filter: Filter): Condition[] {
  return Object.entries(filter).flatMap(([path, condition]) => {
    if (path === '$and') return (condition as Filter[]).flatMap(conditions)
    if (path.startsWith('$')) return []
    const { $eq, $in } = condition as { $eq?: unknown; $in?: unknown[] }
    const asked = $eq !== undefined ? [$eq] : $in
    const values = asked?.map(valueKey)
    // A null also fits documents without the field.
    return values?.every((value) => typeof value === 'string') ? [{ path, values: [...new Set(values)] }] : []
  })
}

function weakness({ path, values }: Condition): number {
  const few = values.length > 10 ? 1 : 0
  if (STRONG.includes(path)) return few
  const weak = WEAK.indexOf(path)
  return 10 + weak + few
}
