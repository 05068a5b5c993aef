import { createContext, runInContext } from 'node:vm'
import { useDatabase } from '@taskfleet/testkit/use-database'
import fc from 'fast-check'
import { mongo } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { UnrecoverableError } from '../errors.ts'
import { keepProgress } from './keep-progress.ts'
import { keepValue } from './keep-value.ts'
import { VALUE_LIMIT } from './places.ts'

const database = useDatabase()

const throwing = (key: string): object =>
  Object.defineProperty({}, key, {
    enumerable: true,
    get: () => {
      throw new Error('not for you')
    },
  })
const circle: Record<string, unknown> = { around: [] }
;(circle.around as unknown[]).push(circle)
const nested = (depth: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < depth; level += 1) value = { a: value }
  return value
}
/** A hundred levels with two paths to each next one: 2^100 leaves. */
const bomb = (): unknown => {
  let value: unknown = 1
  for (let level = 0; level < 99; level += 1) value = [value, value]
  return value
}
const { proxy: revoked, revoke } = Proxy.revocable({}, {})
revoke()
class Point {
  x = 1
}

const REFUSED: Record<string, [value: unknown, path?: string]> = {
  'an invalid Date': [new Date('garbage')],
  'a class of dates': [new (class extends Date {})()],
  'a BigInt above 64 bits': [2n ** 70n],
  'a function': [() => 1],
  'a symbol': [Symbol('s')],
  'a Promise': [Promise.resolve(1)],
  'a Map': [new Map([[1, 2]])],
  'a Set': [new Set([1])],
  'an Error': [new Error('lost')],
  'a RegExp': [/a/g],
  'a URL': [new URL('http://host/')],
  Headers: [new Headers()],
  'a boxed number': [Object(5)],
  'bytes of JavaScript': [new Uint16Array([1, 70_000])],
  'an instance of a class': [new Point()],
  'half a surrogate pair': ['a\ud800'],
  'half a surrogate pair as a key': [{ '\ud800': 1 }, 'v.\ufffd'],
  'an operator as a key': [{ $gt: 1 }, 'v.$gt'],
  'a dotted key': [{ 'a.b': 1 }, 'v.a.b'],
  'a key with NUL': [{ 'a\0b': 1 }, 'v.a\0b'],
  'an empty key': [{ '': 1 }, 'v.'],
  'a prototype': [JSON.parse('{"__proto__":{}}'), 'v.__proto__'],
  "the driver's own mark": [{ _bsontype: 'ObjectId' }, 'v._bsontype'],
  'a symbol as a key': [{ [Symbol('s')]: 1 }],
  'undefined in a list': [[1, undefined], 'v.1'],
  'a list with holes': [new Array(3)],
  'a list with names': [/(?<n>a)/.exec('a')],
  'a circle': [circle, 'v.around.0'],
  'a getter that throws': [throwing('x')],
  'a proxy that throws': [
    new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('trap')
        },
      },
    ),
  ],
  'a revoked proxy': [revoked],
  'more than 100 levels': [nested(100)],
  'five thousand levels': [nested(5_000)],
  'an Int32 of BSON': [new mongo.BSON.Int32(5)],
  'a Long that is a number': [mongo.Long.fromNumber(5)],
  'a RegExp of BSON': [new mongo.BSONRegExp('a')],
}

describe.each(['input', 'output', 'checkpoint', 'event', 'answer'] as const)('as %s', (place) => {
  test.each(Object.entries(REFUSED))('%s is refused with its path', (_what, [value, path = 'v']) => {
    const refused = expect.objectContaining({
      code: `BAD_${place.toUpperCase()}`,
      field: expect.stringContaining(path),
    })
    expect(() => keepValue({ v: value }, place, '')).toThrow(refused)
  })
})

test.each(['input', 'checkpoint', 'event', 'answer', 'progress', 'sentInput'] as const)(
  'a BigInt and a Buffer as %s are refused: they would come back as something else',
  (place) => {
    for (const v of [5n, Buffer.from('abc')]) expect(() => keepValue({ v }, place)).toThrow(/would come back as/)
  },
)

test.each(['event', 'answer', 'progress', 'sentInput'] as const)(
  'NaN and Infinity as %s are refused, since JSON has no form for them',
  (place) => {
    for (const v of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      expect(() => keepValue({ v }, place)).toThrow(/JSON has no number/)
    }
  },
)

test("an output keeps whole numbers of 64 bits and bytes in BSON's types", () => {
  const bytes = Buffer.from('abc')
  const kept = keepValue({ few: -5n, wide: [2n ** 53n, -(2n ** 63n)], bytes }, 'output')
  bytes[0] = 0
  expect(kept).toStrictEqual({ few: -5, wide: [2n ** 53n, -(2n ** 63n)], bytes: new Uint8Array([97, 98, 99]) })
  expect(() => keepValue(2n ** 63n, 'output')).toThrow(/beyond 64 bits/)
})

test('an invalid value from a handler fails its task without a retry', () => {
  expect(() => keepValue(() => 1, 'output')).toThrow(UnrecoverableError)
  expect(() => keepValue(() => 1, 'input')).not.toThrow(UnrecoverableError)
})

test('a kept value comes back from the database unchanged', async () => {
  const value = {
    text: 'häß \u{1f600} \0 $secret',
    numbers: [0, -0, 1.5, -7, 2 ** 31, 2 ** 60, 5e-324, Number.MAX_VALUE, Number.NaN, Number.NEGATIVE_INFINITY],
    flags: [true, false, null],
    at: [new Date(0), new Date(-1), new Date('9999-12-31T23:59:59.999Z')],
    id: new mongo.ObjectId(),
    bytes: new mongo.Binary(Buffer.from([1, 2, 3])),
    uuid: new mongo.UUID(),
    decimal: mongo.Decimal128.fromString('0.1'),
    long: mongo.Long.fromString('9007199254740993'),
    deep: nested(98),
    empty: [{}, []],
  }
  const kept = keepValue(value, 'input')
  expect(kept).toStrictEqual(value)
  const values = database.database.db.collection<{ _id: number; value: unknown }>('values')
  await values.insertOne({ _id: 1, value: kept })
  expect((await values.findOne({ _id: 1 }))?.value).toStrictEqual(value)
})

test('a field that is undefined is left out; what was checked is a copy', () => {
  const given = { a: undefined, b: { at: new Date(1) } }
  const kept = keepValue(given, 'input')
  given.b.at.setTime(2)
  expect(kept).toStrictEqual({ b: { at: new Date(1) } })
  let reads = 0
  const counting = {
    get n() {
      reads += 1
      return reads
    },
  }
  expect([keepValue(counting, 'input'), reads]).toStrictEqual([{ n: 1 }, 1])
})

test('plain objects of another realm are plain', () => {
  const foreign = runInContext('({ a: [1, { b: new Date(5) }] })', createContext({}))
  expect(keepValue(foreign, 'input')).toStrictEqual({ a: [1, { b: new Date(5) }] })
})

test('the size is that of BSON, to the byte', () => {
  const room = VALUE_LIMIT - mongo.BSON.calculateObjectSize({ value: { text: '' } })
  expect(() => keepValue({ text: 'x'.repeat(room) }, 'output')).not.toThrow()
  for (const text of ['x'.repeat(room + 1), 'ä'.repeat(room / 2 + 1), 'x'.repeat(17 * 2 ** 20)]) {
    expect(() => keepValue({ text }, 'output')).toThrow(
      expect.objectContaining({ code: 'OUTPUT_TOO_LARGE', field: 'output' }),
    )
  }
  expect(() => keepValue(bomb(), 'output')).toThrow(expect.objectContaining({ code: 'OUTPUT_TOO_LARGE' }))
  expect(() => keepValue(new Array(1e6).fill(0), 'output')).toThrow(
    expect.objectContaining({ code: 'OUTPUT_TOO_LARGE' }),
  )
})

test('any value is kept unchanged or rejected with a code', () => {
  fc.assert(
    fc.property(
      fc.anything({
        withBigInt: true,
        withBoxedValues: true,
        withDate: true,
        withMap: true,
        withSet: true,
        withNullPrototype: true,
        withObjectString: true,
        withSparseArray: true,
        withTypedArray: true,
      }),
      (value) => {
        let kept: unknown
        try {
          kept = keepValue({ value }, 'checkpoint')
        } catch (error) {
          expect(error).toMatchObject({
            code: expect.stringMatching(/^BAD_CHECKPOINT$|^CHECKPOINT_TOO_LARGE$/),
            field: expect.any(String),
          })
          return
        }
        const { value: back } = mongo.BSON.deserialize(mongo.BSON.serialize(kept as object))
        expect(back).toEqual(value)
      },
    ),
    { numRuns: 2_000 },
  )
})

describe('progress', () => {
  test('has its ratio derived and limited to 0..1', () => {
    expect(keepProgress({ done: 1, total: 4, unit: 'files' })).toEqual({
      done: 1,
      total: 4,
      unit: 'files',
      ratio: 0.25,
    })
    expect(keepProgress({ done: -5, total: 10 }).ratio).toBe(0)
    expect(keepProgress({ done: 15, total: 10 }).ratio).toBe(1)
    expect(keepProgress({ ratio: 17 }).ratio).toBe(1)
    expect(keepProgress({ done: 3, total: 0 })).toEqual({ done: 3, total: 0 })
    expect(keepProgress({ done: 3, total: undefined, phase: 'second' })).toEqual({ done: 3, phase: 'second' })
  })

  test.each<[string, unknown, string]>([
    ['a number', 5, 'progress'],
    ['nothing', undefined, 'progress'],
    ['null', null, 'progress'],
    ['a list', [], 'progress'],
    ['an id', new mongo.ObjectId(), 'progress'],
    ['NaN', { done: Number.NaN }, 'progress.done'],
    ['a text as a number', { total: '10' }, 'progress.total'],
    ['a BigInt', { done: 5n }, 'progress.done'],
    ['a number as a message', { message: 5 }, 'progress.message'],
    ['a circle', circle, 'progress.around.0'],
    ['a getter that throws', throwing('done'), 'progress'],
  ])('%s is refused', (_what, progress, field) => {
    expect(() => keepProgress(progress)).toThrow(expect.objectContaining({ code: 'BAD_PROGRESS', field }))
  })

  test('of 17 MB is refused', () => {
    const huge = { done: 1, message: 'm'.repeat(17 * 2 ** 20) }
    expect(() => keepProgress(huge)).toThrow(expect.objectContaining({ code: 'PROGRESS_TOO_LARGE', field: 'progress' }))
  })
})
