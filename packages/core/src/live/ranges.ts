import { IntervalTree } from '@flatten-js/interval-tree'
import { driver } from '../database/driver.ts'
import { isNaNumber, typeRank } from './compare.ts'
import { leaves } from './matcher.ts'

type Filter = Record<string, unknown>
type Doc = Record<string, unknown>

/** A range that a filter requires: the values of one type between two ends. Both ends belong to it. */
export interface Range {
  path: string
  /** The `typeRank` of its values. */
  rank: number
  /** The `position` of its ends, or infinite. */
  low: number
  high: number
}

/** The ranges of one path. */
interface OfPath<V> {
  parts: string[]
  /** By `typeRank`. */
  trees: Map<number, IntervalTree<Set<V>>>
  /** The views of each range. Views with the same range share a node of the tree. */
  views: Map<string, Set<V>>
}

/**
 * Finds the views whose range contains a value of a document, without checking each view. The intervals of a path are in an
 * augmented red-black tree (Cormen et al., Introduction to Algorithms, "Interval trees"), so a look-up takes logarithmic time.
 */
export class Ranges<V> {
  readonly #byPath = new Map<string, OfPath<V>>()

  get isEmpty(): boolean {
    return this.#byPath.size === 0
  }

  add(view: V, { path, rank, low, high }: Range): void {
    const ofPath: OfPath<V> = this.#byPath.get(path) ?? { parts: path.split('.'), trees: new Map(), views: new Map() }
    this.#byPath.set(path, ofPath)
    const key = keyOf(rank, low, high)
    const views = ofPath.views.get(key)
    if (views !== undefined) {
      views.add(view)
      return
    }
    const alone = new Set([view])
    ofPath.views.set(key, alone)
    const tree = ofPath.trees.get(rank) ?? new IntervalTree<Set<V>>()
    ofPath.trees.set(rank, tree)
    tree.insert([low, high], alone)
  }

  remove(view: V, { path, rank, low, high }: Range): void {
    const ofPath = this.#byPath.get(path)
    const views = ofPath?.views.get(keyOf(rank, low, high))
    if (ofPath === undefined || views === undefined) return
    views.delete(view)
    if (views.size > 0) return
    ofPath.views.delete(keyOf(rank, low, high))
    const tree = ofPath.trees.get(rank)
    tree?.remove([low, high], views)
    if (tree?.isEmpty() === true) ofPath.trees.delete(rank)
    if (ofPath.views.size === 0) this.#byPath.delete(path)
  }

  /** Adds to `found` every view whose range a document may fit. */
  collect(doc: Doc, found: Set<V>): void {
    for (const { parts, trees, views } of this.#byPath.values()) {
      const [value, ...others] = leaves(doc, parts)
      // One element of an array may fit one end of a range, and another element the other end.
      const some: Iterable<Set<V>> = others.length > 0 ? views.values() : treeAt(trees, value)
      for (const fitting of some) for (const view of fitting) found.add(view)
    }
  }

  /** Adds all views to `found`. */
  all(found: Set<V>): void {
    for (const { views } of this.#byPath.values()) {
      for (const some of views.values()) for (const view of some) found.add(view)
    }
  }
}

function treeAt<V>(trees: OfPath<V>['trees'], value: unknown): Iterable<Set<V>> {
  const tree = trees.get(typeRank(value))
  const at = tree === undefined ? undefined : position(value)
  return tree === undefined || at === undefined ? [] : (tree.search([at, at]) as Iterable<Set<V>>)
}

const keyOf = (rank: number, low: number, high: number): string => `${rank} ${low} ${high}`

/** The range that a filter requires: with two ends if possible, otherwise with one. Undefined if it requires none. */
export function rangeOf(filter: Filter): Range | undefined {
  const ranges = rangesOf(filter)
  return ranges.find(({ low, high }) => Number.isFinite(low) && Number.isFinite(high)) ?? ranges[0]
}

function rangesOf(filter: Filter): Range[] {
  return Object.entries(filter).flatMap(([path, condition]) => {
    if (path === '$and') return (condition as Filter[]).flatMap(rangesOf)
    if (path.startsWith('$')) return []
    const { $gt, $gte, $lt, $lte } = condition as Record<string, unknown>
    const operands = [$gt, $gte, $lt, $lte].filter((operand) => operand !== undefined)
    const [first] = operands
    const rank = typeRank(first)
    if (operands.length === 0 || operands.some((operand) => position(operand) === undefined)) return []
    // With ends of two types, only arrays fit.
    if (operands.some((operand) => typeRank(operand) !== rank)) return []
    const above = [$gt, $gte].filter((operand) => operand !== undefined).map((operand) => position(operand)!)
    const below = [$lt, $lte].filter((operand) => operand !== undefined).map((operand) => position(operand)!)
    const low = Math.max(Number.NEGATIVE_INFINITY, ...above)
    const high = Math.min(Number.POSITIVE_INFINITY, ...below)
    // Only arrays fit a range whose ends are exchanged, and those are found by the path alone.
    return [{ path, rank, low: Math.min(low, high), high: Math.max(low, high) }]
  })
}

/** How many hexadecimal digits of an id, and bytes of a text, a number holds exactly. */
const ID_DIGITS = 13
const TEXT_BYTES = 6

/**
 * A number for a value that is never lower than that of a smaller value of the same type. Different values may have the same number.
 *
 * @returns undefined for values that fit no range: NaN, and types without an order here
 */
function position(value: unknown): number | undefined {
  if (isNaNumber(value)) return undefined
  if (typeof value === 'number') return value
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.getTime()
  if (typeof value === 'bigint' || value instanceof driver.Decimal128) return Number(value.toString())
  // A timestamp is also a `Long`.
  if (value instanceof driver.Timestamp) return undefined
  if (value instanceof driver.Long) return Number(value.toBigInt())
  if (value instanceof driver.ObjectId) return Number.parseInt(value.toHexString().slice(0, ID_DIGITS), 16)
  if (typeof value !== 'string') return undefined
  // The order of texts is that of their UTF-8 bytes. One more unit, so that half a surrogate pair is never among those bytes.
  const bytes = Buffer.alloc(TEXT_BYTES)
  Buffer.from(value.slice(0, TEXT_BYTES + 1)).copy(bytes)
  return bytes.readUIntBE(0, TEXT_BYTES)
}
