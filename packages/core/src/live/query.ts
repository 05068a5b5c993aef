import { COLLECTIONS, type CollectionName, FleetError, type QuerySort } from '@taskfleet/protocol'
import type { Bounds } from '../auth/reach.ts'
import { driver } from '../database/driver.ts'
import { tieBreak } from '../database/query-plan.ts'
import { escapeRegex, isPlainObject } from '../documents/plain.ts'
import { byEnd, byPhase } from './by-phase.ts'
import { type Comparator, compareBy } from './compare.ts'
import { FIELDS, type FieldType, fieldType, SECRET_FIELDS, TASK_CONTENT } from './fields.ts'
import { createMatcher, type Matcher } from './matcher.ts'

/** Limits of one query. */
export const QUERY_LIMITS = {
  rows: 1_000,
  filterBytes: 4_096,
  depth: 6,
  nodes: 100,
  alternatives: 200,
  sortKeys: 4,
} as const
const DEFAULT_LIMIT = 100
const CONTENT: ReadonlySet<string> = new Set(TASK_CONTENT)

/** A checked query: the same tree for MongoDB and for the matcher, which must agree. */
export interface CompiledQuery {
  collection: CollectionName
  /** What the query means, in MongoDB's operators. */
  filter: Record<string, unknown>
  /** As `filter`, written so that a server can use its indexes. */
  dbFilter: Record<string, unknown>
  /** Whether it reads the content of tasks, which only a whole feed reports. */
  readsContent: boolean
  /** For documents as they come from the feed. */
  matches: Matcher
  sort: QuerySort
  compare: Comparator
  limit: number
  /** For MongoDB; an inclusion only if the client requested fields. */
  projection: Record<string, 0 | 1>
  /** The fields of a row; undefined for all fields that aren't heavy or secret. */
  fields: readonly string[] | undefined
  /** The part of a document that may be shown; all of it if undefined. */
  show: Bounds['show']
  /** Equal for queries that mean the same view. */
  key: string
}

/**
 * Compiles a client's query. A filter is never passed on unchecked: every operator, path and value in the result was
 * recognised first.
 *
 * @param bounds limits what the client may see
 * @throws {FleetError} `BAD_REQUEST`, `BAD_FILTER`, `FILTER_TOO_BIG`, `UNKNOWN_FIELD`, `BAD_VALUE`, `BAD_SORT` (also for
 *   `limit`), `BAD_FIELDS`
 */
export function compileQuery(request: unknown, bounds?: Bounds): CompiledQuery {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new FleetError('BAD_REQUEST', 'A query must be an object')
  }
  const asked = request as Record<string, unknown>
  const collection = asked.collection ?? 'tasks'
  if (!isCollection(collection)) {
    throw new FleetError('BAD_REQUEST', `'collection' must be one of ${COLLECTIONS.join(', ')}`, {
      field: 'collection',
    })
  }
  if (asked.skip !== undefined) {
    throw new FleetError('BAD_SORT', "A live query can't skip rows. Use a filter on the field it is sorted by", {
      field: 'skip',
    })
  }
  const own = compileFilter(asked.filter ?? {}, collection)
  const sort = compileSort(asked.sort ?? { _id: -1 }, collection)
  const within = bounds === undefined ? own : { $and: [bounds.filter, own] }
  const isByEnd = collection === 'tasks' && Object.keys(sort)[0] === 'finishedAt'
  const filter = isByEnd ? byEnd(within) : within
  if (bounds?.hidden !== undefined) refuseHidden(asked.filter ?? {}, sort, bounds.hidden)
  const limit = compileLimit(asked.limit ?? DEFAULT_LIMIT)
  const fields = compileFields(asked.fields, collection)
  return {
    collection,
    filter,
    dbFilter: collection === 'tasks' ? byPhase(filter) : filter,
    readsContent: collection === 'tasks' && readsContent(filter, fields),
    matches: createMatcher(filter),
    sort,
    compare: compareBy(sort),
    limit,
    fields,
    show: bounds?.show,
    projection: projection(collection, fields, sort),
    // Keys with different permissions never share a view.
    key: JSON.stringify([
      collection,
      canonical(filter),
      Object.entries(sort),
      limit,
      fields ?? null,
      bounds !== undefined,
    ]),
  }
}

/** @throws {FleetError} `UNKNOWN_FIELD` */
function refuseHidden(filter: unknown, sort: QuerySort, hidden: readonly string[]): void {
  const asked = [...pathsOf(filter), ...Object.keys(sort)]
  const one = asked.find((path) => hidden.includes(path.split('.')[0]!))
  if (one !== undefined)
    throw new FleetError('UNKNOWN_FIELD', `This key may not use the field '${one}'`, { field: one })
}

/** @param paths what it reads besides the filter's paths */
export const readsContent = (filter: unknown, paths: readonly string[] = []): boolean =>
  [...pathsOf(filter), ...paths].some((path) => CONTENT.has(path.split('.')[0]!))

function pathsOf(filter: unknown): string[] {
  if (Array.isArray(filter)) return filter.flatMap(pathsOf)
  if (!isPlainObject(filter)) return []
  return Object.entries(filter).flatMap(([key, value]) => (GROUPS.has(key) ? pathsOf(value) : [key]))
}

/** Prepares a value for `JSON.stringify` as a key: types that it would lose get a tag, and the order of keys doesn't matter. */
export function canonical(value: unknown): unknown {
  if (value instanceof RegExp) return { regex: String(value) }
  if (value instanceof driver.ObjectId) return { id: value.toHexString() }
  if (value instanceof Date) return { date: value.getTime() }
  if (Array.isArray(value)) return value.map(canonical)
  if (!isPlainObject(value)) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.map(([key, inner]) => [key, canonical(inner)])
}

const isCollection = (name: unknown): name is CollectionName => COLLECTIONS.includes(name as CollectionName)

/** Compiles a filter alone, for commands on all tasks that match it. */
export function compileFilter(filter: unknown, collection: CollectionName = 'tasks'): Record<string, unknown> {
  if (!isPlainObject(filter)) throw new FleetError('BAD_FILTER', "'filter' must be an object", { field: 'filter' })
  const budget = { nodes: QUERY_LIMITS.nodes }
  // The nodes are counted first, so that `JSON.stringify` never walks a filter of extreme depth.
  const compiled = compileGroup(filter, { collection, path: 'filter', depth: 0, budget })
  if (Buffer.byteLength(JSON.stringify(filter)) > QUERY_LIMITS.filterBytes) throw tooBig('filter')
  return compiled
}

interface Place {
  collection: CollectionName
  /** The path in the client's filter, for the error's `field`. */
  path: string
  depth: number
  budget: { nodes: number }
}

const tooBig = (path: string): FleetError =>
  new FleetError(
    'FILTER_TOO_BIG',
    `A filter may have at most ${QUERY_LIMITS.filterBytes} bytes, ${QUERY_LIMITS.nodes} conditions and ${QUERY_LIMITS.depth} levels`,
    { field: path },
  )

const badFilter = (message: string, path: string): FleetError => new FleetError('BAD_FILTER', message, { field: path })

function spend(place: Place): void {
  place.budget.nodes -= 1
  if (place.budget.nodes < 0 || place.depth > QUERY_LIMITS.depth) throw tooBig(place.path)
}

const GROUPS = new Set(['$and', '$or', '$nor'])

function compileGroup(filter: Record<string, unknown>, place: Place): Record<string, unknown> {
  const compiled: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(filter)) {
    const inner = { ...place, path: `${place.path}.${key}`, depth: place.depth + 1 }
    spend(inner)
    if (GROUPS.has(key)) {
      if (!Array.isArray(value) || value.length === 0) throw badFilter(`'${key}' takes a list of filters`, inner.path)
      // Empty filters have no conditions, but still cost time.
      if (value.length > inner.budget.nodes) throw tooBig(inner.path)
      compiled[key] = value.map((one, index) => {
        const path = `${inner.path}.${index}`
        if (!isPlainObject(one)) throw badFilter(`'${key}' takes a list of filters`, path)
        return compileGroup(one, { ...inner, path })
      })
    } else if (key.startsWith('$')) {
      throw badFilter(`The operator '${key}' is not allowed here`, inner.path)
    } else {
      const type = fieldType(place.collection, key)
      if (type === undefined) {
        const name = key.length > 80 ? `${key.slice(0, 80)}…` : key
        throw new FleetError('UNKNOWN_FIELD', `There is no field '${name}'`, { field: `${place.path}.${name}` })
      }
      compiled[key] = compileField(value, type, inner)
    }
  }
  return compiled
}

/** Compiles a field's condition, always to the long form `{ $eq: … }`. */
function compileField(value: unknown, type: FieldType, place: Place): Record<string, unknown> {
  if (!isPlainObject(value)) return { $eq: castValue(value, type, place) }
  const entries = Object.entries(value)
  if (entries.length === 0) throw badFilter('A condition must not be empty', place.path)
  const compiled: Record<string, unknown> = {}
  for (const [operator, operand] of entries) {
    const inner = { ...place, path: `${place.path}.${operator}`, depth: place.depth + 1 }
    spend(inner)
    const compile = Object.hasOwn(OPERATORS, operator) ? OPERATORS[operator] : undefined
    if (EXTENDED_JSON.has(operator)) {
      throw new FleetError(
        'BAD_VALUE',
        `'${place.path}' takes a plain value, not extended JSON such as '${operator}'`,
        {
          field: inner.path,
        },
      )
    }
    if (compile === undefined) throw badFilter(`The operator '${operator}' is not allowed here`, inner.path)
    const condition = compile(operand, type, inner, operator)
    // MongoDB allows one pattern in a condition: the second would replace the first.
    if ('$regex' in condition && '$regex' in compiled) {
      throw badFilter(
        "To use '$contains' and '$prefix' on one field, put them into two filters of an '$and'",
        inner.path,
      )
    }
    Object.assign(compiled, condition)
  }
  return compiled
}

/** Extended JSON, which writes a value with its type. It isn't allowed, since the field decides the type here. */
const EXTENDED_JSON = new Set([
  '$oid',
  '$date',
  '$numberInt',
  '$numberLong',
  '$numberDouble',
  '$numberDecimal',
  '$binary',
  '$uuid',
  '$timestamp',
  '$code',
  '$scope',
  '$symbol',
  '$ref',
  '$dbPointer',
  '$regularExpression',
  '$undefined',
  '$minKey',
  '$maxKey',
])

type Compile = (operand: unknown, type: FieldType, place: Place, operator: string) => Record<string, unknown>

const scalar: Compile = (operand, type, place, operator) => ({ [operator]: castValue(operand, type, place) })

const ordered: Compile = (operand, type, place, operator) => {
  const value = castValue(operand, type, place)
  if (value === null || typeof value === 'boolean')
    throw badFilter(`'${operator}' takes a number, text, date or id`, place.path)
  return { [operator]: value }
}

const list: Compile = (operand, type, place, operator) => {
  if (!Array.isArray(operand)) throw badFilter(`'${operator}' takes a list`, place.path)
  if (operand.length > QUERY_LIMITS.alternatives) throw tooBig(place.path)
  return { [operator]: operand.map((one, index) => castValue(one, type, { ...place, path: `${place.path}.${index}` })) }
}

const text = (operand: unknown, place: Place, operator: string): string => {
  if (typeof operand !== 'string' || operand.length === 0 || operand.length > 256) {
    throw badFilter(`'${operator}' takes a text of 1 to 256 characters`, place.path)
  }
  // JavaScript and MongoDB's PCRE have no common syntax for these characters in a pattern.
  if (/[\0\u2028\u2029]/.test(operand)) throw badFilter(`'${operator}' takes one line of plain text`, place.path)
  return escapeRegex(wellFormed(operand))
}

const OPERATORS: Record<string, Compile> = {
  $eq: scalar,
  $ne: scalar,
  $gt: ordered,
  $gte: ordered,
  $lt: ordered,
  $lte: ordered,
  $in: list,
  $nin: list,
  $all: (operand, type, place, operator) => {
    const compiled = list(operand, type, place, operator)
    if ((compiled.$all as unknown[]).length === 0) throw badFilter("'$all' takes at least one value", place.path)
    return compiled
  },
  $exists: (operand, _type, place) => {
    if (typeof operand !== 'boolean') throw badFilter("'$exists' takes true or false", place.path)
    return { $exists: operand }
  },
  $size: (operand, _type, place) => {
    if (!Number.isInteger(operand) || (operand as number) < 0 || (operand as number) > 1_000_000) {
      throw badFilter("'$size' takes a whole number from 0", place.path)
    }
    return { $size: operand }
  },
  $not: (operand, type, place) => {
    if (!isPlainObject(operand)) throw badFilter("'$not' takes a condition", place.path)
    return { $not: compileField(operand, type, place) }
  },
  $elemMatch: (operand, type, place) => {
    if (!isPlainObject(operand)) throw badFilter("'$elemMatch' takes a condition", place.path)
    if (Object.keys(operand).some((key) => !key.startsWith('$'))) {
      throw badFilter("'$elemMatch' takes a condition on the elements themselves", place.path)
    }
    return { $elemMatch: compileField(operand, type, place) }
  },
  // By code points and with Unicode case folding, as in MongoDB.
  $contains: (operand, _type, place) => ({ $regex: new RegExp(text(operand, place, '$contains'), 'iu') }),
  $prefix: (operand, _type, place) => ({ $regex: new RegExp(`^${text(operand, place, '$prefix')}`, 'u') }),
}

/** Requires a time zone, because a time without one would mean a different moment on each host. */
const ISO_DATE = /^[+-]?\d{4,6}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2}))?$/

/** The text as it is stored: half a surrogate pair can't be encoded as UTF-8. */
const wellFormed = (value: string): string => Buffer.from(value).toString()

const toDate = (value: unknown): Date | undefined =>
  typeof value === 'string' || value instanceof Date ? new Date(value) : undefined

/** Converts a value to the field's type. Texts are parsed as ids or dates if the field has those. */
function castValue(value: unknown, type: FieldType, place: Place): unknown {
  if (value === null) return null
  const bad = (wanted: string): FleetError =>
    new FleetError('BAD_VALUE', `'${place.path}' takes ${wanted}`, { field: place.path })
  if (typeof value === 'object' && !(value instanceof Date)) throw bad('a single value')
  switch (type) {
    case 'id':
      if (typeof value === 'string' && /^[0-9a-f]{24}$/i.test(value)) return new driver.ObjectId(value)
      throw bad('an id: 24 hexadecimal digits')
    case 'date': {
      const date = typeof value === 'string' && !ISO_DATE.test(value) ? undefined : toDate(value)
      if (date !== undefined && !Number.isNaN(date.getTime())) return date
      throw bad('a date: an ISO 8601 text such as 2026-01-31 or 2026-01-31T12:00:00Z')
    }
    case 'number':
      if (typeof value === 'number' && Number.isFinite(value)) return value
      throw bad('a number')
    case 'boolean':
      if (typeof value === 'boolean') return value
      throw bad('true or false')
    case 'text':
      if (typeof value === 'string') return wellFormed(value)
      throw bad('a text')
    case 'any':
      if (typeof value === 'number' && !Number.isFinite(value)) throw bad('a finite number')
      if (value instanceof Date && Number.isNaN(value.getTime())) throw bad('a valid date')
      if (typeof value === 'string') return wellFormed(value)
      if (typeof value === 'number' || typeof value === 'boolean' || value instanceof Date) return value
      throw bad('a text, number, date, true, false or null')
  }
}

function compileSort(sort: unknown, collection: CollectionName): QuerySort {
  const bad = (message: string, field = 'sort'): FleetError => new FleetError('BAD_SORT', message, { field })
  if (!isPlainObject(sort)) throw bad("'sort' must be an object such as { priority: -1 }")
  const entries = Object.entries(sort)
  if (entries.length > QUERY_LIMITS.sortKeys) throw bad(`A sort may have at most ${QUERY_LIMITS.sortKeys} keys`)
  const { known, lists } = FIELDS[collection]
  const sortable = Object.keys(known).filter((field) => !field.includes('.') && !lists.includes(field))
  const compiled: QuerySort = {}
  for (const [field, direction] of entries) {
    if (!sortable.includes(field)) {
      throw bad(`Sorting is possible by ${sortable.join(', ')}`, `sort.${field.slice(0, 80)}`)
    }
    if (direction !== 1 && direction !== -1) throw bad('A direction must be 1 or -1', `sort.${field}`)
    compiled[field] = direction
  }
  // Breaks ties, so that the order is always defined.
  if (!Object.hasOwn(compiled, '_id')) compiled._id = tieBreak(collection, compiled)
  return compiled
}

function compileLimit(limit: unknown): number {
  if (Number.isInteger(limit) && (limit as number) >= 1 && (limit as number) <= QUERY_LIMITS.rows)
    return limit as number
  throw new FleetError('BAD_SORT', `'limit' must be a whole number from 1 to ${QUERY_LIMITS.rows}`, { field: 'limit' })
}

function compileFields(fields: unknown, collection: CollectionName): readonly string[] | undefined {
  if (fields === undefined) return undefined
  const bad = (field: string): FleetError =>
    new FleetError('BAD_FIELDS', `'fields' must be a list of the document's fields, such as ["status", "input.file"]`, {
      field,
    })
  if (!Array.isArray(fields) || fields.length > 64) throw bad('fields')
  const { known, open, rowWithout } = FIELDS[collection]
  const tops = new Set([...Object.keys(known), ...open, ...rowWithout].map((path) => path.split('.')[0]))
  tops.add('control').add('error')
  for (const [index, field] of fields.entries()) {
    const path = `fields.${index}`
    if (typeof field !== 'string') throw bad(path)
    const secret = SECRET_FIELDS[collection].includes(field.split('.')[0]!)
    if (secret || !(tops.has(field) || fieldType(collection, field) !== undefined)) throw bad(path)
  }
  // A path below another requested path adds nothing and would be an error in MongoDB.
  const unique = [...new Set(fields as string[])].sort()
  return unique.filter((field) => !unique.some((other) => field.startsWith(`${other}.`)))
}

function projection(
  collection: CollectionName,
  fields: readonly string[] | undefined,
  sort: QuerySort,
): Record<string, 0 | 1> {
  const { rowWithout } = FIELDS[collection]
  if (fields === undefined) {
    return Object.fromEntries([...rowWithout, ...SECRET_FIELDS[collection]].map((field) => [field, 0]))
  }
  const sorting = Object.keys(sort).filter((key) => !fields.some((field) => field === key))
  return Object.fromEntries([...fields, ...sorting, '_id', 'rev'].map((field) => [field, 1]))
}
