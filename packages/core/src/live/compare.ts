import { Types } from 'mongoose'
import type { QuerySort } from '../protocol.ts'

/** Orders two documents as MongoDB's sort would. */
export type Comparator = (a: Record<string, unknown>, b: Record<string, unknown>) => number

/** MongoDB's order between types; a missing value counts as null. */
function rank(value: unknown): number {
  if (value === undefined || value === null) return 1
  if (typeof value === 'number' || typeof value === 'bigint') return 2
  if (typeof value === 'string') return 3
  if (value instanceof Types.ObjectId) return 7
  if (typeof value === 'boolean') return 8
  if (value instanceof Date) return 9
  return Array.isArray(value) ? 5 : 4
}

/** The order of two values of a kind that may be sorted by; others count as equal within their type. */
export function compareValues(a: unknown, b: unknown): number {
  const ranks = rank(a) - rank(b)
  if (ranks !== 0) return ranks
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b)
  if (a instanceof Types.ObjectId && b instanceof Types.ObjectId) return compareText(a.toHexString(), b.toHexString())
  const [left, right] = [Number(a), Number(b)]
  return left < right ? -1 : left > right ? 1 : 0
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
