import { useDatabase } from '@taskfleet/testkit/use-database'
import fc from 'fast-check'
import { mongo, Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { compareBy, compareValues } from './compare.ts'
import { compileQuery } from './query.ts'

const held = useDatabase()

const texts = ['', 'a', 'B', 'ab', 'é', '\u{fb01}', '\uffee', '😀', '😀a', '𐀀', 'a\0', 'z'.repeat(50)]
const dates = [0, -1, 1_700_000_000_000, 1_700_000_000_001].map((at) => new Date(at))
const missing = fc.constantFrom(undefined, null)
const least = fc.constantFrom<unknown>(
  ...['x', 1, 0, true, null, Number.NaN, dates[0]],
  mongo.Decimal128.fromString('0.5'),
  mongo.Long.fromString('9007199254740993'),
  new mongo.Timestamp({ t: 1, i: 1 }),
  // All of one length: within documents, the stand-in server doesn't order the shorter one first.
  new mongo.Binary(Buffer.from('b')),
  new mongo.Binary(Buffer.from('a')),
  new mongo.MinKey(),
  new mongo.MaxKey(),
)
/** Lists and documents too: a list is sorted by its least element, or by its greatest. */
const anything = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 2, depthSize: 'small' },
    least,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('a', 'b'), tie('value'), { maxKeys: 2 }),
  ),
})).value
const doc = fc.record({
  name: fc.oneof(fc.constantFrom(...texts), missing),
  priority: fc.oneof(fc.constantFrom(-1, 0, 1, 1.5, 5, 2 ** 40), missing),
  runAt: fc.oneof(fc.constantFrom(...dates), missing),
  lazy: fc.oneof(fc.boolean(), missing),
  // A document from another program may have any values.
  key: fc.oneof({ weight: 2, arbitrary: fc.constantFrom<unknown>('k', 1, true, dates[0]) }, anything, missing),
  worker: fc.oneof(anything, missing),
})
const fields = ['name', 'priority', 'runAt', 'lazy', 'key', 'worker', '_id']
const sort = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...fields), fc.constantFrom(1 as const, -1 as const)), {
    selector: ([field]) => field,
    minLength: 1,
    maxLength: 4,
  })
  .map((keys) => Object.fromEntries(keys))

describe('the window has the server’s order', () => {
  test('by several keys, with ties, missing values and texts beyond the BMP', async () => {
    const collection = held.database.db.collection('ordered')
    const [docs] = fc.sample(fc.array(doc, { minLength: 80, maxLength: 80 }), 1)
    const drawn = docs!.map((one) => ({
      _id: new Types.ObjectId(),
      ...Object.fromEntries(Object.entries(one).filter(([, value]) => value !== undefined)),
    }))
    await collection.insertMany(drawn)
    await fc.assert(
      fc.asyncProperty(sort, async (asked) => {
        const compiled = compileQuery({ sort: asked })
        const served = await collection.find({}).sort(compiled.sort).toArray()
        const sorted = served.toReversed().sort(compiled.compare)
        expect(sorted.map(({ _id }) => String(_id))).toEqual(served.map(({ _id }) => String(_id)))
      }),
      { numRuns: 60 },
    )
  })
})

describe('compareValues', () => {
  test('orders types as MongoDB does', () => {
    const ascending = [
      new mongo.MinKey(),
      null,
      1,
      'a',
      { a: 1 },
      [1],
      new mongo.Binary(Buffer.from('a')),
      new Types.ObjectId(),
      true,
      new Date(),
      new mongo.Timestamp({ t: 1, i: 1 }),
      new mongo.MaxKey(),
    ]
    for (const [index, value] of ascending.entries()) {
      for (const later of ascending.slice(index + 1)) {
        expect(compareValues(value, later)).toBeLessThan(0)
        expect(compareValues(later, value)).toBeGreaterThan(0)
      }
      expect(compareValues(value, value)).toBe(0)
    }
    expect(compareValues(undefined, null)).toBe(0)
    expect(compareValues(new mongo.Binary(Buffer.from('b')), new mongo.Binary(Buffer.from('aa')))).toBeLessThan(0)
  })

  test('orders NaN before all numbers, and compares numbers of every width', () => {
    expect(compareValues(Number.NaN, -1e300)).toBeLessThan(0)
    expect(compareValues(5, Number.NaN)).toBeGreaterThan(0)
    expect(compareValues(Number.NaN, Number.NaN)).toBe(0)
    expect(compareValues(mongo.Long.fromNumber(5), 4)).toBeGreaterThan(0)
    expect(compareValues(mongo.Decimal128.fromString('4.5'), 5)).toBeLessThan(0)
    expect(compareValues(0, -0)).toBe(0)
  })

  test('compares numbers of every kind exactly', () => {
    const decimal = (text: string): mongo.Decimal128 => mongo.Decimal128.fromString(text)
    const ascending = [
      decimal('NaN'),
      Number.NEGATIVE_INFINITY,
      decimal('-9E+6000'),
      -1e300,
      decimal('-1E-6000'),
      0,
      decimal('1E-6000'),
      decimal('0.1'),
      0.1,
      mongo.Long.fromString('9007199254740992'),
      decimal('9007199254740992.5'),
      mongo.Long.fromString('9007199254740993'),
      decimal('9E+6000'),
      Number.POSITIVE_INFINITY,
    ]
    for (const [index, value] of ascending.entries()) {
      for (const [at, other] of ascending.entries()) {
        expect(Math.sign(compareValues(value, other)), `${value} and ${other}`).toBe(Math.sign(index - at))
      }
    }
    expect(compareValues(decimal('1.50'), 1.5)).toBe(0)
    expect(compareValues(decimal('-0'), 0)).toBe(0)
    expect(compareValues(decimal('Infinity'), Number.POSITIVE_INFINITY)).toBe(0)
    expect(compareValues(decimal('NaN'), Number.NaN)).toBe(0)
  })

  test('a later key counts only if the earlier ones are equal', () => {
    const compare = compareBy({ a: 1, b: -1 })
    expect(compare({ a: 1, b: 1 }, { a: 2, b: 2 })).toBeLessThan(0)
    expect(compare({ a: 1, b: 1 }, { a: 1, b: 2 })).toBeGreaterThan(0)
    expect(compare({ a: 1 }, { a: 1, b: null })).toBe(0)
  })
})
