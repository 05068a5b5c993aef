import { mongo, Types } from 'mongoose'
import type { QuerySort } from '../protocol.ts'

/** Orders two documents as MongoDB's sort would. */
export type Comparator = (a: Record<string, unknown>, b: Record<string, unknown>) => number

/** MongoDB's order between types. */
const RANKS = {
  null: 1,
  number: 2,
  text: 3,
  object: 4,
  array: 5,
  binary: 6,
  id: 7,
  boolean: 8,
  date: 9,
  other: 10,
} as const

/** Where a value's type stands in that order; a missing value counts as null. */
export function typeRank(value: unknown): number {
  if (value === undefined || value === null) return RANKS.null
  if (typeof value === 'number' || typeof value === 'bigint') return RANKS.number
  if (typeof value === 'string') return RANKS.text
  if (typeof value === 'boolean') return RANKS.boolean
  if (value instanceof Types.ObjectId) return RANKS.id
  if (value instanceof Date) return RANKS.date
  if (Array.isArray(value)) return RANKS.array
  if (value instanceof mongo.Binary) return RANKS.binary
  if (value instanceof mongo.Long || value instanceof mongo.Decimal128) return RANKS.number
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null ? RANKS.object : RANKS.other
}

/** The order of two values of a kind that may be sorted by; others count as equal within their type. */
export function compareValues(a: unknown, b: unknown): number {
  const rank = typeRank(a)
  const ranks = rank - typeRank(b)
  if (ranks !== 0) return ranks
  switch (rank) {
    case RANKS.text:
      return compareText(a as string, b as string)
    case RANKS.id:
      return compareText((a as Types.ObjectId).toHexString(), (b as Types.ObjectId).toHexString())
    case RANKS.number:
      return compareNumbers(numberOf(a), numberOf(b))
    case RANKS.boolean:
    case RANKS.date:
      return compareNumbers(Number(a), Number(b))
    default:
      return 0
  }
}

/** An int64 that JavaScript's numbers can't hold arrives as a `Long`, and compares exactly as a bigint. */
const numberOf = (value: unknown): number | bigint =>
  value instanceof mongo.Long ? value.toBigInt() : typeof value === 'bigint' ? value : Number(value)

/** NaN comes before every other number, and equals itself. */
function compareNumbers(a: number | bigint, b: number | bigint): number {
  if (a < b) return -1
  if (a > b) return 1
  return Number(Number.isNaN(b)) - Number(Number.isNaN(a))
}

/** MongoDB compares UTF-8 bytes, which is the order of code points and not that of UTF-16 units. */
function compareText(a: string, b: string): number {
  if (a === b) return 0
  const plain = !/[\ud800-\udfff]/.test(a + b)
  if (plain) return a < b ? -1 : 1
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

export function compareBy(sort: QuerySort): Comparator {
  const keys = Object.entries(sort)
  return (a, b) => {
    for (const [field, direction] of keys) {
      const order = compareValues(a[field], b[field])
      if (order !== 0) return order * direction
    }
    return 0
  }
}
