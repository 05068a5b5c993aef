import fc from 'fast-check'
import { mongo, Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { useDatabase } from '../testing/index.ts'
import { createMatcher } from './matcher.ts'
import { compileQuery } from './query.ts'

const held = useDatabase()

type Doc = Record<string, unknown>

const IDS = ['65f000000000000000000001', '65f000000000000000000002', '65f0000000000000000000ff'] as const
const DATES = ['2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z', '1969-12-31T23:59:59.999Z'] as const
const TEXTS = ['', 'a', 'A', 'ab', 'b', 'É', 'é', '\uffee', '😀', '1', 'x\ny', 'a.b*c'] as const
const NUMBERS = [0, -0, 1, -1, 1.5, 2, 2 ** 53, 1e300] as const

const text = fc.constantFrom(...TEXTS)
const number = fc.constantFrom(...NUMBERS)

/** Values as a client writes them in a filter on what is the user's own. */
const operand = fc.oneof(
  text,
  number,
  fc.boolean(),
  fc.constant(null),
  fc.constantFrom(...DATES).map((at) => new Date(at)),
)
const comparable = fc.oneof(
  text,
  number,
  fc.constantFrom(...DATES).map((at) => new Date(at)),
)

/** Stored values: what filters may ask for, and kinds they can't name. */
const scalar = fc.oneof(
  { weight: 8, arbitrary: operand },
  { weight: 1, arbitrary: fc.constantFrom(...IDS).map((id) => new Types.ObjectId(id)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      new mongo.Binary(Buffer.from('a')),
      Number.NaN,
      mongo.Long.fromString('9007199254740993'),
    ),
  },
)
const stored: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    scalar,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b', '0', '1'), tie('value'), { maxKeys: 3 }),
  ),
})).value

const PATHS = [
  'input.a',
  'input.b',
  'input.a.b',
  'input.a.0',
  'input.a.1',
  'input.a.0.b',
  'input.a.b.0',
  'input.a.0.1',
  'input.b.a.b',
  'input.a.00',
] as const

function condition(values: fc.Arbitrary<unknown>, ordered: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.letrec<{ one: Doc; plain: unknown }>((tie) => ({
    plain: fc.oneof({ weight: 1, arbitrary: values }, { weight: 6, arbitrary: tie('one') }),
    one: fc.oneof(
      { maxDepth: 2, depthSize: 'small' },
      fc.oneof(
        fc.record({ $eq: values }),
        fc.record({ $ne: values }),
        fc.record({ $gt: ordered }),
        fc.record({ $gte: ordered }),
        fc.record({ $lt: ordered }),
        fc.record({ $lte: ordered }),
        fc.record({ $gte: ordered, $lt: ordered }),
        fc.record({ $in: fc.array(values, { maxLength: 3 }) }),
        fc.record({ $nin: fc.array(values, { maxLength: 3 }) }),
        // The Python stand-in does not find a document that lacks the field by `$all: [null]`; mongod does.
        fc.record({
          $all: fc.array(
            values.filter((value) => value !== null),
            { minLength: 1, maxLength: 2 },
          ),
        }),
        fc.record({ $exists: fc.boolean() }),
        fc.record({ $size: fc.integer({ min: 0, max: 2 }) }),
        fc.record({ $contains: fc.constantFrom('a', 'É', '.', '*', 'x\ny', '😀') }),
        fc.record({ $prefix: fc.constantFrom('a', 'A', 'É', 'x\n') }),
      ),
      fc.record({ $not: tie('one') }),
      fc.record({ $elemMatch: tie('one') }),
    ),
  })).plain
}

const own = fc
  .tuple(fc.constantFrom(...PATHS), condition(operand, comparable))
  .map(([path, asked]): Doc => ({ [path]: asked }))
const id = fc.constantFrom(...IDS)
const date = fc.constantFrom(...DATES)
const known = fc.oneof(
  fc.record({ parent: condition(fc.option(id), id) }),
  fc.record({ deadline: condition(fc.option(date), date) }),
  fc.record({ name: condition(fc.option(text), text) }),
  fc.record({ rev: condition(fc.option(number), number) }),
  fc.record({ lazy: fc.oneof(fc.boolean(), fc.record({ $ne: fc.boolean() }), fc.record({ $exists: fc.boolean() })) }),
  fc.record({ 'error.code': condition(fc.option(text), text) }),
)
const leaf: fc.Arbitrary<Doc> = fc.oneof({ weight: 3, arbitrary: own }, { weight: 2, arbitrary: known })
const filter: fc.Arbitrary<Doc> = fc.oneof(
  { weight: 4, arbitrary: leaf },
  { weight: 1, arbitrary: fc.tuple(leaf, leaf).map(([one, other]) => ({ ...one, ...other })) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('$and', '$or', '$nor'),
        fc.array(fc.oneof(leaf, fc.constant({})), { minLength: 1, maxLength: 3 }),
      )
      .map(([group, of]) => ({ [group]: of })),
  },
)

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const task: fc.Arbitrary<Doc> = fc
  .record({
    name: maybe(fc.oneof(text, fc.constant(null))),
    rev: maybe(fc.oneof(number, fc.constantFrom(Number.NaN, null))),
    lazy: maybe(fc.boolean()),
    deadline: maybe(
      fc.oneof(
        date.map((at) => new Date(at)),
        fc.constant(null),
      ),
    ),
    parent: maybe(
      fc.oneof(
        id.map((hex) => new Types.ObjectId(hex)),
        fc.constant(null),
      ),
    ),
    error: maybe(fc.record({ code: text })),
    input: maybe(fc.dictionary(fc.constantFrom('a', 'b'), stored, { maxKeys: 2 })),
  })
  .map((doc) => Object.fromEntries(Object.entries(doc).filter(([, value]) => value !== undefined)))

/**
 * Where both stand-ins differ from mongod's `db/matcher/path.cpp`, which the matcher follows: with an index in the path
 * they take a value without fields at that index, and an empty array, for a document that lacks the rest, so that
 * conditions which hold for null find it; and they read `00` as an index.
 */
const INDEXED = /\.\d+(\.|$)/
function isGap(asked: Doc): boolean {
  return Object.entries(asked).some(([key, value]) =>
    key.startsWith('$')
      ? (value as Doc[]).some(isGap)
      : key.endsWith('.00') || (INDEXED.test(key) && JSON.stringify(value).includes('null')),
  )
}

describe('the matcher and the server agree', () => {
  test('on generated filters over generated documents', async () => {
    const collection = held.database.db.collection('matched')
    const [docs] = fc.sample(fc.array(task, { minLength: 60, maxLength: 60 }), 1)
    await collection.insertMany(docs!.map((doc, index) => ({ ...doc, _id: index as unknown as Types.ObjectId })))
    const docsHeld = await collection.find().sort({ _id: 1 }).toArray()
    await fc.assert(
      fc.asyncProperty(
        filter.filter((one) => !isGap(one)),
        async (asked) => {
          const compiled = compileQuery({ filter: asked })
          const found = await collection
            .find(compiled.filter, { projection: { _id: 1 } })
            .sort({ _id: 1 })
            .toArray()
          const matched = docsHeld.filter((doc) => compiled.matches(doc))
          expect(matched.map(({ _id }) => _id)).toEqual(found.map(({ _id }) => _id))
        },
      ),
      { numRuns: 200 },
    )
  })
})

describe('the matcher follows mongod', () => {
  const fits = (asked: Doc, input: unknown): boolean => compileQuery({ filter: asked }).matches({ input })

  test.each<[string, Doc, unknown, boolean]>([
    ['an array at the end stands for its elements', { 'input.a': 2 }, { a: [1, 2] }, true],
    ['but not where the path ends with its index', { 'input.a.1': 2 }, { a: [5, [2, 4]] }, false],
    ['arrays on the way are searched', { 'input.a.b': 1 }, { a: [{ c: 1 }, { b: 1 }] }, true],
    ['one level deep', { 'input.a.b': 1 }, { a: [[{ b: 1 }]] }, false],
    ['and deeper by index', { 'input.a.0.b': 1 }, { a: [[{ b: 1 }]] }, true],
    ['an index is compared as text', { 'input.a.00': 1 }, { a: [1] }, false],
    ['null is a missing field too', { 'input.a.b': null }, { a: 5 }, true],
    ['but nothing is missing from an empty array', { 'input.a.b': null }, { a: [] }, false],
    ['nor by index', { 'input.a.0': null }, { a: [] }, false],
    ['nor below a value without fields', { 'input.a.0.b': null }, { a: [5] }, false],
    ['what lacks the field counts as not having it', { 'input.a.b': { $exists: false } }, { a: [5] }, true],
    ['$elemMatch looks at elements as they are', { 'input.a': { $elemMatch: { $eq: 1 } } }, { a: [[1]] }, false],
    ['and all its conditions at one', { 'input.a': { $elemMatch: { $gt: 1, $lt: 3 } } }, { a: [1, 3] }, false],
    ['$elemMatch within $elemMatch', { 'input.a': { $elemMatch: { $elemMatch: { $eq: 1 } } } }, { a: [[1]] }, true],
    ['$all of null finds a missing field', { 'input.a': { $all: [null] } }, {}, true],
    ['$all may be met by different elements', { 'input.a': { $all: [1, 2] } }, { a: [2, 1] }, true],
    ['$ne needs every element to differ', { 'input.a': { $ne: 1 } }, { a: [1, 2] }, false],
    ['ranges hold within a type', { 'input.a': { $gt: 1 } }, { a: '2' }, false],
    ['no range holds for NaN', { 'input.a': { $lt: 5 } }, { a: Number.NaN }, false],
    ['NaN is no other number', { 'input.a': 5 }, { a: Number.NaN }, false],
    ['an int64 is a number', { 'input.a': { $gt: 1 } }, { a: mongo.Long.fromNumber(5) }, true],
    [
      'a binary has no fields',
      { 'input.a.buffer': { $exists: true } },
      { a: new mongo.Binary(Buffer.from('x')) },
      false,
    ],
    ['beyond the BMP, order is by code points', { 'input.a': { $gt: '\uffee' } }, { a: '😀' }, true],
  ])('%s', (_name, asked, input, expected) => {
    expect(fits(asked, input)).toBe(expected)
  })

  test('hostile keys of a document are keys like others', () => {
    const input = JSON.parse('{"__proto__": {"x": 1}, "hasOwnProperty": 1, "toJSON": 2, "_bsontype": "ObjectId"}')
    expect(fits({ 'input.hasOwnProperty': 1 }, input)).toBe(true)
    expect(fits({ 'input.toJSON': 2 }, input)).toBe(true)
    expect(fits({ 'input._bsontype': 'ObjectId' }, input)).toBe(true)
    expect(fits({ 'input.x': { $exists: true } }, input)).toBe(false)
    expect(fits({ 'input.toString': { $exists: true } }, {})).toBe(false)
    expect(({} as { x?: number }).x).toBeUndefined()
  })

  test('an operator that it does not know is refused when it is made', () => {
    expect(() => createMatcher({ a: { $where: '1' } })).toThrow(TypeError)
  })
})
