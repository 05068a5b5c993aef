import { createHash } from 'node:crypto'
import { FleetError, type QuerySort } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { compileQuery } from '../live/query.ts'
import { parseId } from '../task/parse-value.ts'

type Row = Record<string, unknown>
type Filter = Record<string, unknown>
/** A sort value within a cursor: texts, numbers, booleans and null as they are, others with their type. */
type Told = string | number | boolean | null | { id: string } | { date: string }

/**
 * The end of a page: the sort values of its last row, and a digest of the query. Writes between two pages shift no rows,
 * because the next page is a range and not a number of rows to skip.
 */
export function writeCursor(query: string, sort: QuerySort, last: Row): string {
  const values = Object.keys(sort).map((field) => toTold(last[field], field))
  return Buffer.from(JSON.stringify({ q: query, at: values })).toString('base64url')
}

/**
 * A filter for the rows after a cursor.
 *
 * @throws {FleetError} `BAD_CURSOR`, also for a cursor from a different query
 */
export function readCursor(query: string, sort: QuerySort, cursor: string): Filter {
  return afterValues(sort, cursorValues(query, sort, cursor))
}

/**
 * The sort values of the last row of a page.
 *
 * @throws {FleetError} `BAD_CURSOR`, also for a cursor from a different query
 */
export function cursorValues(query: string, sort: QuerySort, cursor: string): Value[] {
  const bad = (message: string): FleetError => new FleetError('BAD_CURSOR', message, { field: 'cursor' })
  const told = decoded(cursor)
  if (typeof told !== 'object' || told === null || !Array.isArray(told.at)) {
    throw bad("This is not a cursor. Use the 'cursor' of the previous page unchanged")
  }
  if (told.q !== query)
    throw bad('This cursor is from a different query. Keep the filter and sort the same for all pages')
  const values = told.at.map(fromTold)
  if (values.length !== Object.keys(sort).length || values.includes(undefined)) {
    throw bad("This is not a cursor. Use the 'cursor' of the previous page unchanged")
  }
  return values as Value[]
}

function decoded(cursor: string): { q?: unknown; at?: unknown } | null {
  try {
    return JSON.parse(Buffer.from(cursor, 'base64url').toString()) as { q?: unknown; at?: unknown } | null
  } catch {
    return null
  }
}

/** Equal for queries that may share a cursor. */
export function queryDigest(filter: unknown, sort: unknown): string {
  const { key } = compileQuery({ ...given({ filter, sort }), limit: 1 })
  return createHash('sha256').update(key).digest('base64url').slice(0, 16)
}

type Value = string | number | boolean | null | Date | ReturnType<typeof parseId>

function toTold(value: unknown, field: string): Told {
  if (value === undefined || value === null) return null
  if (value instanceof Date) return { date: value.toISOString() }
  if (typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value)))
    return value
  if (typeof value === 'object' && 'toHexString' in value) return { id: String(value) }
  throw new FleetError('BAD_SORT', `A task on this page has no usable '${field}' for a cursor. Sort by another field`, {
    field: `sort.${field}`,
  })
}

function fromTold(told: unknown): Value | undefined {
  if (told === null || typeof told === 'string' || typeof told === 'number' || typeof told === 'boolean') return told
  if (typeof told !== 'object') return undefined
  const { id, date } = told as { id?: unknown; date?: unknown }
  if (typeof id === 'string' && /^[0-9a-f]{24}$/.test(id)) return parseId(id)
  if (typeof date !== 'string') return undefined
  const time = new Date(date)
  return Number.isNaN(time.getTime()) ? undefined : time
}

/** MongoDB's order between types. Comparison operators match values of one type only. */
const TYPES = [
  ['double', 'int', 'long', 'decimal'],
  ['string'],
  ['object'],
  ['array'],
  ['binData'],
  ['objectId'],
  ['bool'],
  ['date'],
  ['timestamp'],
  ['regex'],
]

function rankOf(value: Exclude<Value, null>): number {
  if (typeof value === 'number') return 0
  if (typeof value === 'string') return 1
  if (typeof value === 'boolean') return 6
  return value instanceof Date ? 7 : 5
}

/** The rows that come after these values in a sort whose last field is unique. */
function afterValues(sort: QuerySort, values: readonly Value[]): Filter {
  const fields = Object.entries(sort)
  const ways = fields.flatMap(([field, direction], index) => {
    const beyond = afterValue(field, direction, values[index]!)
    if (beyond === null) return []
    const same = fields.slice(0, index).map(([earlier], at) => ({ [earlier]: { $eq: values[at] } }))
    return [{ $and: [...same, beyond] }]
  })
  return ways.length === 0 ? { _id: { $in: [] } } : { $or: ways }
}

/** Null if nothing can come after the value. A missing value counts as null and comes first. */
function afterValue(field: string, direction: 1 | -1, value: Value): Filter | null {
  if (value === null) return direction === 1 ? { [field]: { $ne: null } } : null
  const rank = rankOf(value)
  if (direction === 1) {
    const later = TYPES.slice(rank + 1).flat()
    return { $or: [{ [field]: { $gt: value } }, { [field]: { $type: later } }] }
  }
  const earlier = TYPES.slice(0, rank).flat()
  const others = earlier.length === 0 ? [] : [{ [field]: { $type: earlier } }]
  return { $or: [{ [field]: { $lt: value } }, { [field]: { $eq: null } }, ...others] }
}
