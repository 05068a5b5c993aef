import type { QuerySort } from '@taskfleet/protocol'
import type { mongo, Types } from 'mongoose'
import { driver } from '../database/driver.ts'
import { isPlainObject } from '../documents/plain.ts'

/** Orders two documents as MongoDB's sort would. */
export type Comparator = (a: Record<string, unknown>, b: Record<string, unknown>) => number

/** MongoDB's order between types. */
const RANKS = {
  least: 0,
  nothing: 1,
  null: 2,
  number: 3,
  text: 4,
  object: 5,
  array: 6,
  binary: 7,
  id: 8,
  boolean: 9,
  date: 10,
  timestamp: 11,
  other: 12,
  greatest: 13,
} as const

/** Stands for an empty array in sorting. */
const NOTHING = Symbol('nothing')

/** The rank of a value's type in that order. A missing value counts as null. */
export function typeRank(value: unknown): number {
  if (value === undefined || value === null) return RANKS.null
  if (typeof value === 'number' || typeof value === 'bigint') return RANKS.number
  if (typeof value === 'string') return RANKS.text
  if (typeof value === 'boolean') return RANKS.boolean
  if (value instanceof driver.ObjectId) return RANKS.id
  if (value instanceof Date) return RANKS.date
  if (Array.isArray(value)) return RANKS.array
  if (value instanceof driver.Binary) return RANKS.binary
  // Checked before Long, which it extends.
  if (value instanceof driver.Timestamp) return RANKS.timestamp
  if (value instanceof driver.Long || value instanceof driver.Decimal128) return RANKS.number
  if (value === NOTHING) return RANKS.nothing
  if (value instanceof driver.MinKey) return RANKS.least
  if (value instanceof driver.MaxKey) return RANKS.greatest
  return isPlainObject(value) ? RANKS.object : RANKS.other
}

/** The order of two values. Two values of a rare type, such as regular expressions, count as equal. */
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
      return isDecimal(a) || isDecimal(b) ? compareDecimals(a, b) : compareNumbers(numberOf(a), numberOf(b))
    case RANKS.boolean:
    case RANKS.date:
      return compareNumbers(Number(a), Number(b))
    case RANKS.object:
      return compareEntries(Object.entries(a as object), Object.entries(b as object))
    case RANKS.array:
      return compareEntries(Object.entries(a as unknown[]), Object.entries(b as unknown[]))
    case RANKS.binary:
      return compareBinaries(a as mongo.Binary, b as mongo.Binary)
    case RANKS.timestamp:
      return compareNumbers((a as mongo.Timestamp).toBigInt(), (b as mongo.Timestamp).toBigInt())
    default:
      return 0
  }
}

/** An int64 that JavaScript's numbers can't hold is a `Long`, and is compared exactly as a bigint. */
const numberOf = (value: unknown): number | bigint =>
  value instanceof driver.Long ? value.toBigInt() : typeof value === 'bigint' ? value : Number(value)

const isDecimal = (value: unknown): boolean => value instanceof driver.Decimal128

/** Whether a value is NaN, of any numeric type. */
export const isNaNumber = (value: unknown): boolean =>
  Number.isNaN(value) || (isDecimal(value) && String(value) === 'NaN')

/** A Decimal128 has more digits and larger exponents than a double, so values that are equal as doubles may still differ. */
function compareDecimals(a: unknown, b: unknown): number {
  const rough = compareNumbers(Number(numberOf(a)), Number(numberOf(b)))
  if (rough !== 0) return rough
  const [left, right] = [exactly(a), exactly(b)]
  if (left === undefined || right === undefined) {
    // Both are NaN, or both are infinite as doubles with the same sign. A truly infinite value is further out.
    const sign = Math.sign(Number(numberOf(a))) || 0
    return sign * (Number(left === undefined) - Number(right === undefined))
  }
  const exponent = Math.min(left.exponent, right.exponent)
  const [x, y] = [left, right].map((one) => one.digits * 10n ** BigInt(one.exponent - exponent))
  return x! < y! ? -1 : x! > y! ? 1 : 0
}

/** A finite number as `digits × 10^exponent`. A hundred digits are more than a Decimal128 has. */
function exactly(value: unknown): { digits: bigint; exponent: number } | undefined {
  const text = typeof value === 'number' ? value.toPrecision(100) : String(value)
  const parts = /^(-?\d+)\.?(\d*)(?:e([+-]?\d+))?$/i.exec(text)
  if (parts === null) return undefined
  const [, whole = '', fraction = '', exponent = '0'] = parts
  return { digits: BigInt(whole + fraction), exponent: Number(exponent) - fraction.length }
}

/** NaN comes before every other number, and equals itself. */
function compareNumbers(a: number | bigint, b: number | bigint): number {
  if (a < b) return -1
  if (a > b) return 1
  return Number(Number.isNaN(b)) - Number(Number.isNaN(a))
}

/** MongoDB compares UTF-8 bytes. That is the order of code points, not of UTF-16 units. */
function compareText(a: string, b: string): number {
  if (a === b) return 0
  const plain = !/[\ud800-\udfff]/.test(a + b)
  if (plain) return a < b ? -1 : 1
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** Compares field by field: the value's type, then the field's name, then the value. The shorter one comes first. */
function compareEntries(a: [string, unknown][], b: [string, unknown][]): number {
  for (const [index, [name, value]] of a.entries()) {
    const other = b[index]
    if (other === undefined) return 1
    const order = typeRank(value) - typeRank(other[1]) || compareText(name, other[0]) || compareValues(value, other[1])
    if (order !== 0) return order
  }
  return a.length - b.length
}

const compareBinaries = (a: mongo.Binary, b: mongo.Binary): number =>
  a.length() - b.length() || a.sub_type - b.sub_type || Buffer.compare(a.value(), b.value())

/** The value to sort by. For an array, that is the element that comes first in this direction. */
function sortedBy(value: unknown, direction: 1 | -1): unknown {
  if (!Array.isArray(value)) return value
  if (value.length === 0) return NOTHING
  return value.reduce((first: unknown, one: unknown) => (compareValues(one, first) * direction < 0 ? one : first))
}

export function compareBy(sort: QuerySort): Comparator {
  const keys = Object.entries(sort)
  return (a, b) => {
    for (const [field, direction] of keys) {
      const order = compareValues(sortedBy(a[field], direction), sortedBy(b[field], direction))
      if (order !== 0) return order * direction
    }
    return 0
  }
}
