import { checkAgreement } from '@taskfleet/testkit/live/agreement'
import { askedFilter } from '@taskfleet/testkit/live/generated-queries'
import { useDatabase } from '@taskfleet/testkit/use-database'
import fc from 'fast-check'
import { mongo } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { createMatcher } from './matcher.ts'
import { compileQuery } from './query.ts'

const held = useDatabase()

type Doc = Record<string, unknown>

const OPERATORS =
  '$eq $ne $in $nin $gt $gte $lt $lte $exists $and $or $nor $not $all $size $elemMatch $contains $prefix'.split(' ')

describe('the matcher and the server agree', () => {
  test('on generated filters over generated documents', async () => {
    const { pairs, fitted } = await checkAgreement(held.database.db, {
      batches: 2,
      documents: 100,
      filters: 75,
      seed: Date.now() % 2 ** 31,
    })
    expect(pairs).toBeGreaterThanOrEqual(10_000)
    // Filters that all or none of the documents fit would prove nothing.
    expect(fitted).toBeGreaterThan(pairs * 0.05)
    expect(fitted).toBeLessThan(pairs * 0.95)
  })

  test('and what is generated has every operator of the allow-list', () => {
    const seen = JSON.stringify(fc.sample(askedFilter, 3_000))
    expect(OPERATORS.filter((operator) => !seen.includes(`"${operator}"`))).toEqual([])
    for (const filter of fc.sample(askedFilter, 300)) expect(() => compileQuery({ filter })).not.toThrow()
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
    ['a timestamp is no number', { 'input.a': { $gt: 1 } }, { a: new mongo.Timestamp({ t: 1, i: 1 }) }, false],
    ['a decimal is a number', { 'input.a': 1.5 }, { a: mongo.Decimal128.fromString('1.50') }, true],
    ['and is compared exactly', { 'input.a': 0.1 }, { a: mongo.Decimal128.fromString('0.1') }, false],
    [
      'beyond what a double can hold',
      { 'input.a': { $gt: 2 ** 53 } },
      { a: mongo.Decimal128.fromString('9007199254740993') },
      true,
    ],
    ['a small decimal is not 0', { 'input.a': { $gt: 0 } }, { a: mongo.Decimal128.fromString('1E-6000') }, true],
    ['no range holds for a decimal NaN', { 'input.a': { $lt: 5 } }, { a: mongo.Decimal128.fromString('NaN') }, false],
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

  test('hostile keys of a document are ordinary keys', () => {
    const input = JSON.parse('{"__proto__": {"x": 1}, "hasOwnProperty": 1, "toJSON": 2, "_bsontype": "ObjectId"}')
    expect(fits({ 'input.hasOwnProperty': 1 }, input)).toBe(true)
    expect(fits({ 'input.toJSON': 2 }, input)).toBe(true)
    expect(fits({ 'input._bsontype': 'ObjectId' }, input)).toBe(true)
    expect(fits({ 'input.x': { $exists: true } }, input)).toBe(false)
    expect(fits({ 'input.toString': { $exists: true } }, {})).toBe(false)
    expect(({} as { x?: number }).x).toBeUndefined()
  })

  test('an unknown operator is rejected when the matcher is made', () => {
    expect(() => createMatcher({ a: { $where: '1' } })).toThrow(TypeError)
  })
})
