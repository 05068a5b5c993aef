import { FleetError } from '@taskfleet/protocol'
import { Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { compileFilter, compileQuery, QUERY_LIMITS } from './query.ts'

const marker = globalThis as { compromised?: boolean }
const CODE = 'globalThis.compromised = true; return true'
const HEX = '65f000000000000000000001'

function refusal(request: unknown): { code: string; field: string | undefined; ms: number } {
  const startedAt = performance.now()
  try {
    compileQuery(request)
  } catch (error) {
    if (!(error instanceof FleetError)) throw error
    return { code: error.code, field: error.field, ms: performance.now() - startedAt }
  }
  return { code: 'ACCEPTED', field: undefined, ms: performance.now() - startedAt }
}

const refusedFilter = (filter: unknown): { code: string; field: string | undefined; ms: number } => refusal({ filter })

/** `{ [operator]: [{ [operator]: … }] }`, without recursion. */
function nested(operator: string, depth: number, wrap: (inner: unknown) => unknown): Record<string, unknown> {
  let filter: Record<string, unknown> = { name: 'x' }
  for (let level = 0; level < depth; level += 1) filter = { [operator]: wrap(filter) }
  return filter
}

describe('a filter is rejected with a code and the path', () => {
  const table: [string, unknown, string, string][] = [
    ['code at the top', { $where: CODE }, 'BAD_FILTER', 'filter.$where'],
    ['code as a function', { $where: () => true }, 'BAD_FILTER', 'filter.$where'],
    ['code in a group', { $or: [{ $where: CODE }] }, 'BAD_FILTER', 'filter.$or.0.$where'],
    ['code in $not', { name: { $not: { $where: CODE } } }, 'BAD_FILTER', 'filter.name.$not.$where'],
    [
      'code in $elemMatch',
      { 'input.a': { $elemMatch: { $where: CODE } } },
      'BAD_FILTER',
      'filter.input.a.$elemMatch.$where',
    ],
    ['code on a field', { name: { $where: CODE } }, 'BAD_FILTER', 'filter.name.$where'],
    ...[
      '$expr',
      '$function',
      '$accumulator',
      '$jsonSchema',
      '$text',
      '$near',
      '$comment',
      '$rand',
      '$sampleRate',
    ].flatMap((operator): [string, unknown, string, string][] => [
      [`${operator} at the top`, { [operator]: {} }, 'BAD_FILTER', `filter.${operator}`],
      [`${operator} on a field`, { name: { [operator]: {} } }, 'BAD_FILTER', `filter.name.${operator}`],
    ]),
    ['an expensive pattern', { name: { $regex: '^(a+)+$' } }, 'BAD_FILTER', 'filter.name.$regex'],
    ['a broken pattern', { name: { $regex: '(' } }, 'BAD_FILTER', 'filter.name.$regex'],
    ['a huge pattern', { name: { $regex: 'a'.repeat(10_240) } }, 'BAD_FILTER', 'filter.name.$regex'],
    ['unknown flags', { name: { $regex: 'a', $options: 'zz' } }, 'BAD_FILTER', 'filter.name.$regex'],
    ['a pattern object', { name: /a/ }, 'BAD_VALUE', 'filter.name'],
    ['a huge $contains', { name: { $contains: 'a'.repeat(257) } }, 'BAD_FILTER', 'filter.name.$contains'],
    ['an empty $contains', { name: { $contains: '' } }, 'BAD_FILTER', 'filter.name.$contains'],
    ['a NUL in $prefix', { name: { $prefix: 'a\0' } }, 'BAD_FILTER', 'filter.name.$prefix'],
    ['a line separator', { name: { $contains: 'a\u2028b' } }, 'BAD_FILTER', 'filter.name.$contains'],
    ['two patterns in one', { name: { $contains: 'a', $prefix: 'b' } }, 'BAD_FILTER', 'filter.name.$prefix'],
    ['$type as a number', { name: { $type: 2 } }, 'BAD_FILTER', 'filter.name.$type'],
    ['$type as a text', { name: { $type: 'constructor' } }, 'BAD_FILTER', 'filter.name.$type'],
    ['$mod of null', { rev: { $mod: null } }, 'BAD_FILTER', 'filter.rev.$mod'],
    ['$mod by zero', { rev: { $mod: [0, 0] } }, 'BAD_FILTER', 'filter.rev.$mod'],
    ['$size below zero', { 'input.a': { $size: -1 } }, 'BAD_FILTER', 'filter.input.a.$size'],
    ['$size of a half', { 'input.a': { $size: 0.5 } }, 'BAD_FILTER', 'filter.input.a.$size'],
    ['$in of a text', { name: { $in: 'x' } }, 'BAD_FILTER', 'filter.name.$in'],
    ['$in of null', { name: { $in: null } }, 'BAD_FILTER', 'filter.name.$in'],
    ['$all of nothing', { name: { $all: [] } }, 'BAD_FILTER', 'filter.name.$all'],
    ['$and of an object', { $and: {} }, 'BAD_FILTER', 'filter.$and'],
    ['$and of nothing', { $and: [] }, 'BAD_FILTER', 'filter.$and'],
    ['$and of values', { $and: [1] }, 'BAD_FILTER', 'filter.$and.0'],
    ['$exists of a text', { name: { $exists: 'no' } }, 'BAD_FILTER', 'filter.name.$exists'],
    ['$gt of null', { rev: { $gt: null } }, 'BAD_FILTER', 'filter.rev.$gt'],
    ['$not of a value', { rev: { $not: 1 } }, 'BAD_FILTER', 'filter.rev.$not'],
    ['$elemMatch on fields', { 'input.a': { $elemMatch: { b: 1 } } }, 'BAD_FILTER', 'filter.input.a.$elemMatch'],
    ['an empty condition', { rev: {} }, 'BAD_FILTER', 'filter.rev'],
    ['an operator from the prototype', { rev: { constructor: 1 } }, 'BAD_FILTER', 'filter.rev.constructor'],
    ['a list', [], 'BAD_FILTER', 'filter'],
    ['a text', 'x', 'BAD_FILTER', 'filter'],
    ['a deep $and', nested('$and', 7, (inner) => [inner]), 'FILTER_TOO_BIG', `filter${'.$and.0'.repeat(6)}.$and`],
    [
      'an endless $and',
      nested('$and', 20_000, (inner) => [inner]),
      'FILTER_TOO_BIG',
      `filter${'.$and.0'.repeat(6)}.$and`,
    ],
    [
      'an endless $not',
      { name: nested('$not', 20_000, (inner) => inner) },
      'FILTER_TOO_BIG',
      `filter.name${'.$not'.repeat(6)}`,
    ],
    ['a long $in', { rev: { $in: Array.from({ length: 1_000_000 }, () => 1) } }, 'FILTER_TOO_BIG', 'filter.rev.$in'],
    ['a wide $or', { $or: Array.from({ length: 100_000 }, () => ({ rev: 1 })) }, 'FILTER_TOO_BIG', 'filter.$or'],
    ['a wide $or of nothing', { $or: Array.from({ length: 100_000 }, () => ({})) }, 'FILTER_TOO_BIG', 'filter.$or'],
    ['too many bytes', { name: 'x'.repeat(65_537) }, 'FILTER_TOO_BIG', 'filter'],
    [
      'too many conditions',
      Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`input.f${index}`, { $gt: 1 }])),
      'FILTER_TOO_BIG',
      'filter.input.f50',
    ],
    ['constructor.name', { 'constructor.name': 1 }, 'UNKNOWN_FIELD', 'filter.constructor.name'],
    ['__proto__.x', { '__proto__.x': 1 }, 'UNKNOWN_FIELD', 'filter.__proto__.x'],
    ['__proto__', JSON.parse('{"__proto__": 1}'), 'UNKNOWN_FIELD', 'filter.__proto__'],
    ['input.__proto__.x', { 'input.__proto__.x': 1 }, 'UNKNOWN_FIELD', 'filter.input.__proto__.x'],
    ['lease.id', { 'lease.id': 'x' }, 'UNKNOWN_FIELD', 'filter.lease.id'],
    ['lease', { lease: { $exists: true } }, 'UNKNOWN_FIELD', 'filter.lease'],
    ['signature', { signature: null }, 'UNKNOWN_FIELD', 'filter.signature'],
    ['attempts.lease', { 'attempts.lease': 'x' }, 'UNKNOWN_FIELD', 'filter.attempts.lease'],
    ['a..b', { 'input..b': 1 }, 'UNKNOWN_FIELD', 'filter.input..b'],
    ['$a', { $a: 1 }, 'BAD_FILTER', 'filter.$a'],
    ['input.$a', { 'input.$a': 1 }, 'UNKNOWN_FIELD', 'filter.input.$a'],
    ['no name', { '': 1 }, 'UNKNOWN_FIELD', 'filter.'],
    ['a field that tasks lack', { colour: 'red' }, 'UNKNOWN_FIELD', 'filter.colour'],
    ['a field in a group', { $and: [{ rev: 1 }, { colour: 'red' }] }, 'UNKNOWN_FIELD', 'filter.$and.1.colour'],
    ['a text for a date', { runAt: 'tomorrow' }, 'BAD_VALUE', 'filter.runAt'],
    ['a loose date', { runAt: '5' }, 'BAD_VALUE', 'filter.runAt'],
    ['a date without its zone', { runAt: '2026-01-31T12:00:00' }, 'BAD_VALUE', 'filter.runAt'],
    ['a number for a date', { runAt: 5 }, 'BAD_VALUE', 'filter.runAt'],
    ['an invalid date', { 'input.at': new Date(Number.NaN) }, 'BAD_VALUE', 'filter.input.at'],
    ['a text for an id', { _id: 'x' }, 'BAD_VALUE', 'filter._id'],
    ['a text for a number', { rev: '1' }, 'BAD_VALUE', 'filter.rev'],
    ['no number', { rev: Number.NaN }, 'BAD_VALUE', 'filter.rev'],
    ['an endless number', { 'input.a': Number.POSITIVE_INFINITY }, 'BAD_VALUE', 'filter.input.a'],
    ['a number for a text', { name: 1 }, 'BAD_VALUE', 'filter.name'],
    ['a text for a boolean', { lazy: 'true' }, 'BAD_VALUE', 'filter.lazy'],
    ['a document as a value', { 'input.a': { $eq: { b: 1 } } }, 'BAD_VALUE', 'filter.input.a.$eq'],
    ['a list as a value', { 'input.a': [1] }, 'BAD_VALUE', 'filter.input.a'],
    ['an id within $in', { _id: { $in: [HEX, 'x'] } }, 'BAD_VALUE', 'filter._id.$in.1'],
    ...['$oid', '$date', '$numberLong', '$code', '$symbol', '$dbPointer'].flatMap(
      (wrapper): [string, unknown, string, string][] => [
        [`extended JSON ${wrapper}`, { _id: { [wrapper]: HEX } }, 'BAD_VALUE', `filter._id.${wrapper}`],
        [`${wrapper} within $in`, { _id: { $in: [{ [wrapper]: HEX }] } }, 'BAD_VALUE', 'filter._id.$in.0'],
      ],
    ),
  ]
  test.each(table)('%s', (_name, filter, code, field) => {
    expect(refusedFilter(filter)).toMatchObject({ code, field })
    expect(marker.compromised).toBeUndefined()
  })

  test('in less than 5 ms each', () => {
    const slow = table.filter(([, filter]) => Math.min(...[1, 2, 3].map(() => refusedFilter(filter).ms)) > 5)
    expect(slow.map(([name]) => name)).toEqual([])
  })

  test('also if it selects the tasks of a command', () => {
    expect(() => compileFilter(nested('$and', 20_000, (inner) => [inner]))).toThrow(FleetError)
    expect(() => compileFilter({ $where: CODE })).toThrow(FleetError)
  })
})

describe('the rest of a query is rejected with a code and the path', () => {
  const nineKeys = Object.fromEntries(
    ['_id', 'name', 'status', 'queue', 'priority', 'runAt', 'order', 'rev', 'attempt'].map((key) => [key, 1]),
  )
  test.each<[string, unknown, string, string | undefined]>([
    ['no object', null, 'BAD_REQUEST', undefined],
    ['a list', [], 'BAD_REQUEST', undefined],
    ['another collection', { collection: 'keys' }, 'BAD_REQUEST', 'collection'],
    ['a collection of the prototype', { collection: '__proto__' }, 'BAD_REQUEST', 'collection'],
    ['an object of fields', { fields: { x: '$lease.id' } }, 'BAD_FIELDS', 'fields'],
    ['all fields', { fields: ['*'] }, 'BAD_FIELDS', 'fields.0'],
    ['an expression', { fields: ['name', { x: { $function: {} } }] }, 'BAD_FIELDS', 'fields.1'],
    ['a field path as a text', { fields: ['$lease.id'] }, 'BAD_FIELDS', 'fields.0'],
    ['a secret', { fields: ['lease'] }, 'BAD_FIELDS', 'fields.0'],
    ['within a secret', { fields: ['name', 'lease.id'] }, 'BAD_FIELDS', 'fields.1'],
    ['the lease of an attempt', { fields: ['attempts.lease'] }, 'BAD_FIELDS', 'fields.0'],
    ['a prototype', { fields: ['input.__proto__'] }, 'BAD_FIELDS', 'fields.0'],
    ['too many fields', { fields: Array.from({ length: 65 }, () => 'name') }, 'BAD_FIELDS', 'fields'],
    ['skip', { skip: 5 }, 'BAD_SORT', 'skip'],
    ['a sort by what is the user’s own', { sort: { 'input.x': 1 } }, 'BAD_SORT', 'sort.input.x'],
    ['a sort below a field', { sort: { 'error.code': 1 } }, 'BAD_SORT', 'sort.error.code'],
    ['a sort by a list', { collection: 'workers', sort: { queues: 1 } }, 'BAD_SORT', 'sort.queues'],
    ['nine keys', { sort: nineKeys }, 'BAD_SORT', 'sort'],
    ['a direction of 2', { sort: { rev: 2 } }, 'BAD_SORT', 'sort.rev'],
    ['a sort by score', { sort: { rev: { $meta: 'textScore' } } }, 'BAD_SORT', 'sort.rev'],
    ['a sort as a list', { sort: [['rev', 1]] }, 'BAD_SORT', 'sort'],
    ['no rows', { limit: 0 }, 'BAD_SORT', 'limit'],
    ['fewer than none', { limit: -1 }, 'BAD_SORT', 'limit'],
    ['a thousand million rows', { limit: 1e9 }, 'BAD_SORT', 'limit'],
    ['half a row', { limit: 1.5 }, 'BAD_SORT', 'limit'],
  ])('%s', (_name, request, code, field) => {
    expect(refusal(request)).toMatchObject({ code, field })
  })
})

describe('what is accepted', () => {
  test('defaults: all tasks, newest first, a hundred, without heavy or secret fields', () => {
    expect(compileQuery({})).toMatchObject({
      collection: 'tasks',
      filter: {},
      sort: { _id: -1 },
      limit: 100,
      fields: undefined,
      projection: { input: 0, output: 0, attempts: 0, checkpoint: 0, lease: 0, signature: 0 },
    })
  })

  test('texts are parsed as ids and dates by the type of the field, at any depth', () => {
    const id = new Types.ObjectId(HEX)
    expect(compileFilter({ _id: HEX, parent: { $in: [HEX.toUpperCase(), null] } })).toEqual({
      _id: { $eq: id },
      parent: { $in: [id, null] },
    })
    const date = new Date('2026-01-31T12:00:00Z')
    expect(
      compileFilter({ $or: [{ runAt: { $not: { $gte: '2026-01-31T13:00:00+01:00' } } }, { createdAt: date }] }),
    ).toEqual({ $or: [{ runAt: { $not: { $gte: date } } }, { createdAt: { $eq: date } }] })
    expect(compileFilter({ deadline: { $lt: '2026-01-31' } })).toEqual({ deadline: { $lt: new Date('2026-01-31') } })
    // Fields below `input` have no type, so a text stays a text.
    expect(compileFilter({ 'input.id': HEX })).toEqual({ 'input.id': { $eq: HEX } })
  })

  test('$prefix and $contains take their text literally', () => {
    const { matches } = compileQuery({ filter: { name: { $prefix: '^(a+)+$.*[-/' } } })
    expect(matches({ name: '^(a+)+$.*[-/tail' })).toBe(true)
    expect(matches({ name: 'aaaa' })).toBe(false)
    const contains = compileQuery({ filter: { name: { $contains: 'É(' } } }).matches
    expect(contains({ name: 'xé(y' })).toBe(true)
    expect(contains({ name: 'xey' })).toBe(false)
  })

  test('half a surrogate pair is compared as it would be stored', () => {
    expect(compileFilter({ name: '\ud800', 'input.a': { $in: ['\udc00'] } })).toEqual({
      name: { $eq: '\ufffd' },
      'input.a': { $in: ['\ufffd'] },
    })
  })

  test('a sort always ends with the id', () => {
    expect(Object.entries(compileQuery({ sort: { priority: -1 } }).sort)).toEqual([
      ['priority', -1],
      ['_id', 1],
    ])
    expect(compileQuery({ sort: {} }).sort).toEqual({ _id: 1 })
    expect(compileQuery({ sort: { _id: -1 } }).sort).toEqual({ _id: -1 })
  })

  test('fields are read together with the sort fields, and a path replaces the paths below it', () => {
    const query = compileQuery({ fields: ['input.a.b', 'input.a', 'name', 'name'], sort: { priority: 1 } })
    expect(query.fields).toEqual(['input.a', 'name'])
    expect(query.projection).toEqual({ 'input.a': 1, name: 1, priority: 1, _id: 1, rev: 1 })
  })

  test('exactly as much as the limits allow', () => {
    expect(compileQuery({ limit: QUERY_LIMITS.rows }).limit).toBe(1_000)
    expect(compileFilter({ rev: { $in: Array.from({ length: 200 }, (_, index) => index) } })).toBeDefined()
    const filter = { $and: [{ $or: [{ 'input.a': { $not: { $elemMatch: { $gt: 1 } } } }] }] }
    expect(compileFilter(filter)).toEqual(filter)
  })

  test("a key's reach limits every filter", () => {
    const { filter, matches } = compileQuery(
      { filter: { $or: [{ queue: 'b' }, { rev: 1 }] } },
      { filter: { queue: { $in: ['a'] } } },
    )
    expect(filter).toEqual({
      $and: [{ queue: { $in: ['a'] } }, { $or: [{ queue: { $eq: 'b' } }, { rev: { $eq: 1 } }] }],
    })
    expect(matches({ queue: 'a', rev: 1 })).toBe(true)
    expect(matches({ queue: 'b', rev: 1 })).toBe(false)
    expect(compileQuery({}, { filter: { queue: 'a' } }).matches({ queue: 'b' })).toBe(false)
  })
})

describe('the key of a query', () => {
  const key = (request: object, filter?: Record<string, unknown>): string =>
    compileQuery(request, filter === undefined ? undefined : { filter }).key

  test.each<[string, object, object]>([
    ['the defaults are written out', {}, { collection: 'tasks', filter: {}, sort: { _id: -1 }, limit: 100 }],
    ['conditions come in another order', { filter: { rev: 1, name: 'a' } }, { filter: { name: 'a', rev: 1 } }],
    ['an equality is written short', { filter: { rev: 1 } }, { filter: { rev: { $eq: 1 } } }],
    [
      'a date is written in another zone',
      { filter: { runAt: '2026-01-31T12:00:00Z' } },
      { filter: { runAt: '2026-01-31T13:00:00+01:00' } },
    ],
    [
      'an id is written in capitals',
      { filter: { parent: 'abcdefabcdefabcdefabcdef' } },
      { filter: { parent: 'ABCDEFABCDEFABCDEFABCDEF' } },
    ],
    ['fields come in another order or twice', { fields: ['name', 'rev'] }, { fields: ['rev', 'name', 'rev'] }],
  ])('is the same where %s', (_name, one, other) => {
    expect(key(one)).toBe(key(other))
  })

  test.each<[string, object, object]>([
    ['the text of a pattern', { filter: { name: { $contains: 'a' } } }, { filter: { name: { $contains: 'b' } } }],
    ['the kind of a pattern', { filter: { name: { $contains: 'a' } } }, { filter: { name: { $prefix: 'a' } } }],
    ['a value’s type', { filter: { 'input.a': 1 } }, { filter: { 'input.a': '1' } }],
    [
      'a date and its text',
      { filter: { 'input.a': new Date(0) } },
      { filter: { 'input.a': new Date(0).toISOString() } },
    ],
    ['the order of the sort’s keys', { sort: { rev: 1, name: 1 } }, { sort: { name: 1, rev: 1 } }],
    ['the limit', { limit: 1 }, { limit: 2 }],
    ['the fields', {}, { fields: [] }],
    ['the collection', {}, { collection: 'workers' }],
  ])('differs by %s', (_name, one, other) => {
    expect(key(one)).not.toBe(key(other))
  })

  test('differs by the reach of the caller', () => {
    expect(key({}, { queue: { $in: ['a'] } })).not.toBe(key({}))
    expect(key({}, { queue: { $in: ['a'] } })).not.toBe(key({}, { queue: { $in: ['b'] } }))
  })
})
