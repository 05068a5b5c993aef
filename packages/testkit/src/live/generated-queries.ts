import fc from 'fast-check'
import { mongo, Types } from 'mongoose'

type Doc = Record<string, unknown>

const IDS = ['65f000000000000000000001', '65f000000000000000000002', '65f0000000000000000000ff'] as const
const DATES = ['2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z', '1969-12-31T23:59:59.999Z'] as const
const TEXTS = ['', 'a', 'A', 'ab', 'b', 'É', 'é', '\uffee', '😀', '1', 'x\ny', 'a.b*c'] as const
const NUMBERS = [0, -0, 1, -1, 1.5, 2, 0.1, 2 ** 53, 1e300] as const

const text = fc.constantFrom(...TEXTS)
const number = fc.constantFrom(...NUMBERS)
const moment = fc.constantFrom(...DATES).map((at) => new Date(at))

/** Decimal128s that no double equals. */
const INEXACT = ['0.1', '9007199254740993', '9E+6000', '1E-6000'] as const

/** Values that a client writes in a filter on the user's own fields. */
const operand = fc.oneof(text, number, fc.boolean(), fc.constant(null), moment)
const comparable = fc.oneof(text, number, moment)

/** Stored values: those of filters, the same numbers in other types, and types that no filter can name. */
const scalar = fc.oneof(
  { weight: 8, arbitrary: operand },
  { weight: 1, arbitrary: fc.constantFrom(...IDS).map((id) => new Types.ObjectId(id)) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      new mongo.Double(1),
      new mongo.Double(-0),
      mongo.Long.fromNumber(1),
      mongo.Long.fromNumber(2 ** 53),
      mongo.Long.fromString('9007199254740993'),
      mongo.Decimal128.fromString('1'),
      mongo.Decimal128.fromString('1.50'),
      mongo.Decimal128.fromString('-0'),
      mongo.Decimal128.fromString('NaN'),
      ...INEXACT.map((digits) => mongo.Decimal128.fromString(digits)),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
      new mongo.Binary(Buffer.from('a')),
      new mongo.Timestamp({ t: 1, i: 1 }),
      new mongo.MinKey(),
      new mongo.MaxKey(),
    ),
  },
)

/** Any value of a document: scalars of every type, nested arrays, documents in both. */
const storedValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
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
  'progress.a',
  'output.a.b',
  'checkpoint.b',
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
        fc.record({ $gt: ordered, $ne: values }),
        fc.record({ $in: fc.array(values, { maxLength: 3 }) }),
        fc.record({ $nin: fc.array(values, { maxLength: 3 }) }),
        fc.record({ $all: fc.array(values, { minLength: 1, maxLength: 2 }) }),
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

const id = fc.constantFrom(...IDS)
const date = fc.constantFrom(...DATES)
const own = fc
  .tuple(fc.constantFrom(...PATHS), condition(operand, comparable))
  .map(([path, asked]): Doc => ({ [path]: asked }))
const known = fc.oneof(
  fc.record({ parent: condition(fc.option(id), id) }),
  fc.record({ deadline: condition(fc.option(date), date) }),
  fc.record({ name: condition(fc.option(text), text) }),
  fc.record({ worker: condition(fc.option(text), text) }),
  fc.record({ rev: condition(fc.option(number), number) }),
  fc.record({ lazy: fc.oneof(fc.boolean(), fc.record({ $ne: fc.boolean() }), fc.record({ $exists: fc.boolean() })) }),
  fc.record({ 'error.code': condition(fc.option(text), text) }),
)
const leaf: fc.Arbitrary<Doc> = fc.oneof({ weight: 3, arbitrary: own }, { weight: 2, arbitrary: known })

/** A filter of a client, with every operator of the allow-list, in nested groups. */
export const askedFilter: fc.Arbitrary<Doc> = fc.letrec<{ filter: Doc; group: Doc }>((tie) => ({
  group: fc
    .tuple(
      fc.constantFrom('$and', '$or', '$nor'),
      fc.array(
        fc.oneof(
          { weight: 6, arbitrary: leaf },
          { weight: 1, arbitrary: fc.constant({}) },
          { weight: 2, arbitrary: tie('filter') },
        ),
        { minLength: 1, maxLength: 3 },
      ),
    )
    .map(([group, of]) => ({ [group]: of })),
  filter: fc.oneof(
    { maxDepth: 1, depthSize: 'small' },
    fc.oneof(
      { weight: 4, arbitrary: leaf },
      { weight: 1, arbitrary: fc.tuple(leaf, leaf).map(([one, other]) => ({ ...one, ...other })) },
    ),
    tie('group'),
    fc.tuple(leaf, tie('group')).map(([one, group]) => ({ ...one, ...group })),
  ),
})).filter

const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const document = maybe(fc.dictionary(fc.constantFrom('a', 'b'), storedValue, { maxKeys: 2 }))

/** A stored task, by this or another program. */
export const storedTask: fc.Arbitrary<Doc> = fc
  .record({
    name: maybe(fc.oneof(text, fc.constant(null))),
    worker: maybe(text),
    rev: maybe(fc.oneof(number, fc.constantFrom(Number.NaN, null))),
    lazy: maybe(fc.boolean()),
    deadline: maybe(fc.oneof(moment, fc.constant(null))),
    parent: maybe(
      fc.oneof(
        id.map((hex) => new Types.ObjectId(hex)),
        fc.constant(null),
      ),
    ),
    error: maybe(fc.record({ code: text })),
    input: fc.oneof(
      { weight: 6, arbitrary: document },
      { weight: 1, arbitrary: storedValue as fc.Arbitrary<Doc | undefined> },
    ),
    progress: document,
    output: document,
    checkpoint: document,
  })
  .map((doc) => Object.fromEntries(Object.entries(doc).filter(([, value]) => value !== undefined)))

/** The servers that tests may use, by their answer to `buildInfo`. */
export type ServerKind = 'mongod' | 'secantusd-rs' | 'secantusdb'

export async function serverKind(db: mongo.Db): Promise<ServerKind> {
  const info = await db.admin().command({ buildInfo: 1 })
  if (!('secantusVersion' in info)) return 'mongod'
  return 'allocator' in info ? 'secantusd-rs' : 'secantusdb'
}

type Gap = (path: string, condition: unknown) => boolean
const names = (condition: unknown, text: string): boolean => JSON.stringify(condition).includes(text)

/**
 * With an index in the path both stand-ins take a value without fields at that index, and an empty array, for a document
 * that lacks the rest, so that conditions which hold for null find it; mongod's `db/matcher/path.cpp` doesn't.
 */
const nullByIndex: Gap = (path, condition) => /\.\d+(\.|$)/.test(path) && names(condition, 'null')
/** Both read `00` as an index; mongod compares indexes as text. */
const indexWithZeros: Gap = (path) => /\.0\d/.test(path)
/** The one in Python doesn't find a document that lacks the field by `$all: [null]`; mongod does. */
const allOfNull: Gap = (_path, condition) => names(condition, '"$all"') && names(condition, 'null')

const GAPS: Record<ServerKind, readonly Gap[]> = {
  mongod: [],
  'secantusd-rs': [nullByIndex, indexWithZeros],
  secantusdb: [nullByIndex, indexWithZeros, allOfNull],
}

/** Whether the server is known to differ from mongod. */
export function differsFromMongod(kind: ServerKind, asked: Doc): boolean {
  return Object.entries(asked).some(([key, value]) =>
    key.startsWith('$')
      ? (value as Doc[]).some((one) => differsFromMongod(kind, one))
      : GAPS[kind].some((gap) => gap(key, value)),
  )
}

/** The stand-in in Python compares a Decimal128 with a double as doubles; mongod compares exactly. */
export function isComparedExactly(kind: ServerKind, value: unknown): boolean {
  if (kind !== 'secantusdb') return true
  if (value instanceof mongo.Decimal128) return INEXACT.every((text) => text !== value.toString())
  if (Array.isArray(value)) return value.every((one) => isComparedExactly(kind, one))
  const plain = typeof value === 'object' && value !== null && !('_bsontype' in value) && !(value instanceof Date)
  return !plain || Object.values(value).every((one) => isComparedExactly(kind, one))
}
