import { askedFilter, storedTask } from '@taskfleet/testkit/live/generated-queries'
import fc from 'fast-check'
import { mongo, Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { compileQuery } from './query.ts'
import { ViewIndex } from './view-index.ts'

type Doc = Record<string, unknown>

const compiled = askedFilter.map((filter) => compileQuery({ filter }))
/** Conditions that can be indexed, which generated ones rarely are. */
const selective = fc
  .tuple(fc.constantFrom('input.a', 'input.a.b', 'input.a.0', 'worker', 'name'), fc.constantFrom('a', 'b', '', '1'))
  .chain(([path, value]) =>
    fc.oneof(
      fc.constant<Doc>({ [path]: value }),
      fc.constant<Doc>({ [path]: { $in: [value, 'ab'] } }),
      askedFilter.map((also): Doc => ({ $and: [also, { [path]: value }] })),
    ),
  )
  .map((filter) => compileQuery({ filter }))
const bound = fc.constantFrom<unknown>(
  -1,
  0,
  1,
  1.5,
  2,
  2 ** 53,
  1e300,
  '',
  'a',
  'ab',
  'É',
  '\uffee',
  '😀',
  new Date(0),
)
const ends = fc
  .record({ $gt: bound, $gte: bound, $lt: bound, $lte: bound }, { requiredKeys: [] })
  .filter((condition) => Object.keys(condition).length > 0)
/** Ranges with any ends, alone and beside other conditions. */
const ranged = fc
  .tuple(fc.constantFrom('input.a', 'input.b', 'input.a.b', 'progress.a'), ends, askedFilter)
  .chain(([path, range, also]) =>
    fc.constantFrom<Doc>({ [path]: range }, { $and: [{ [path]: range }, also] }, { name: 'a', [path]: range }),
  )
  .map((filter) => compileQuery({ filter }))
const queries = fc.array(fc.oneof(compiled, selective, ranged), { minLength: 1, maxLength: 40 })

/** The views that an index of these views collects for a document. */
function collected<V>(index: ViewIndex<V>, doc: Doc): Set<V> {
  const found = new Set<V>()
  index.collect(doc, found)
  return found
}

const indexOf = (filters: Record<string, Doc>): ViewIndex<string> => {
  const index = new ViewIndex<string>()
  for (const [name, filter] of Object.entries(filters)) index.add(name, compileQuery({ filter }).filter)
  return index
}

describe('the index of views', () => {
  test('collects every view that a document fits, for any filters and documents', () => {
    let fitted = 0
    let passedOver = 0
    fc.assert(
      fc.property(queries, fc.array(storedTask, { minLength: 1, maxLength: 20 }), (views, docs) => {
        const index = new ViewIndex<number>()
        views.forEach(({ filter }, view) => index.add(view, filter))
        for (const doc of docs) {
          const found = collected(index, doc)
          views.forEach(({ matches }, view) => {
            if (matches(doc)) {
              fitted += 1
              expect(found).toContain(view)
            } else if (!found.has(view)) passedOver += 1
          })
        }
      }),
      { numRuns: 300 },
    )
    // An index that collects all or nothing would be useless.
    expect(fitted).toBeGreaterThan(200)
    expect(passedOver).toBeGreaterThan(1_000)
  })

  test('drops removed views, in any order, and keeps the others', () => {
    fc.assert(
      fc.property(queries, fc.array(storedTask, { minLength: 1, maxLength: 5 }), fc.nat(), (views, docs, cut) => {
        const index = new ViewIndex<number>()
        views.forEach(({ filter }, view) => index.add(view, filter))
        const before = docs.map((doc) => collected(index, doc))
        const kept = cut % views.length
        views.forEach(({ filter }, view) => {
          if (view !== kept) index.remove(view, filter)
        })
        docs.forEach((doc, at) => {
          expect(collected(index, doc)).toEqual(before[at]!.has(kept) ? new Set([kept]) : new Set())
        })
        index.remove(kept, views[kept]!.filter)
        for (const doc of docs) expect(collected(index, doc)).toEqual(new Set())
        // A view that is added again is found again.
        views.forEach(({ filter }, view) => index.add(view, filter))
        expect(docs.map((doc) => collected(index, doc))).toEqual(before)
      }),
      { numRuns: 200 },
    )
  })

  test('leaves nothing in memory behind', () => {
    const index = new ViewIndex<object>()
    const views = Array.from({ length: 1_000 }, (_, n) => ({
      view: {},
      filter: compileQuery({ filter: { [`input.field-${n}`]: `customer-${n}` } }).filter,
    }))
    /** How often the index reads a document. */
    const looks = (): number => {
      let count = 0
      const getOwnPropertyDescriptor = (): undefined => {
        count += 1
        return undefined
      }
      index.collect(new Proxy({}, { getOwnPropertyDescriptor }), new Set())
      return count
    }
    for (const { view, filter } of views) index.add(view, filter)
    expect(looks()).toBe(1_000)
    for (const { view, filter } of views) index.remove(view, filter)
    // No path is left to look up.
    expect(looks()).toBe(0)
  })

  test('removing what was never added changes nothing', () => {
    const index = indexOf({ one: { worker: 'w1' } })
    index.remove('other', compileQuery({ filter: { worker: 'w1' } }).filter)
    index.remove('other', compileQuery({ filter: { worker: 'w2' } }).filter)
    index.remove('other', compileQuery({ filter: { 'input.a': 1 } }).filter)
    index.remove('other', {})
    expect(collected(index, { worker: 'w1' })).toEqual(new Set(['one']))
  })

  test.each<[string, unknown[]]>([
    ['1', [1, 1n, new mongo.Double(1).valueOf(), mongo.Long.fromNumber(1), mongo.Decimal128.fromString('1.0')]],
    ['0', [0, -0, mongo.Long.ZERO, mongo.Decimal128.fromString('-0')]],
    ['2 ** 53', [2 ** 53, mongo.Long.fromString('9007199254740992'), 9007199254740992n]],
    ['1.5', [1.5, mongo.Decimal128.fromString('1.50')]],
    ['1e300', [1e300, mongo.Decimal128.fromString('1E+300')]],
  ])('numbers of different kinds that are equal meet: %s', (_name, kinds) => {
    for (const value of kinds) {
      const doc = { input: { a: [{ b: value }] } }
      const filter = { 'input.a.b': kinds[0] }
      // The double 1e300 is not exactly ten to the three-hundredth, but may be collected.
      if (kinds[0] !== 1e300) expect(compileQuery({ filter }).matches(doc)).toBe(true)
      expect(collected(indexOf({ view: filter }), doc)).toEqual(new Set(['view']))
    }
  })

  test('a document collects only the views of its own value', () => {
    const filters = Object.fromEntries(
      Array.from({ length: 1_000 }, (_, n) => [`view-${n}`, { 'input.customer': `c${n}` }]),
    )
    const index = indexOf(filters)
    expect(collected(index, { input: { customer: 'c7' } })).toEqual(new Set(['view-7']))
    expect(collected(index, { input: { customer: ['c7', 'c8'] } })).toEqual(new Set(['view-7', 'view-8']))
    expect(collected(index, { input: {} })).toEqual(new Set())
    expect(collected(index, { input: { customer: { c7: 1 } } })).toEqual(new Set())
  })

  test('a document collects only the views whose range contains its value', () => {
    const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n))
    const days = Array.from({ length: 1_000 }, (_, n) => n)
    const index = indexOf(
      Object.fromEntries(
        days.flatMap((n): [string, Doc][] => [
          [`day-${n}`, { createdAt: { $gte: day(n), $lt: day(n + 1) } }],
          [`queue-${n}`, { queue: 'video', createdAt: { $gte: day(n), $lt: day(n + 1) } }],
          [`above-${n}`, { 'progress.done': { $gt: n } }],
        ]),
      ),
    )
    const noon = new Date(day(7).getTime() + 12 * 3_600_000)
    expect(collected(index, { createdAt: noon })).toEqual(new Set(['day-7']))
    expect(collected(index, { createdAt: noon, queue: 'video' })).toEqual(new Set(['day-7', 'queue-7']))
    expect(collected(index, { createdAt: noon, queue: 'image' })).toEqual(new Set(['day-7']))
    expect(collected(index, { createdAt: 'Tuesday' })).toEqual(new Set())
    // The end belongs to the range of the index, since numbers may have been rounded.
    expect(collected(index, { progress: { done: 2 } })).toEqual(new Set(['above-0', 'above-1', 'above-2']))
    expect(collected(index, { progress: { done: Number.NaN } })).toEqual(new Set())
    expect(collected(index, { progress: {} })).toEqual(new Set())
    expect(collected(index, {})).toEqual(new Set())
  })

  test('an array collects the views of its path, since two of its elements may fit the two ends of a range', () => {
    const filter = { 'input.sizes': { $gt: 5, $lt: 3 } }
    const doc = { input: { sizes: [1, 9] } }
    expect(compileQuery({ filter }).matches(doc)).toBe(true)
    expect(collected(indexOf({ view: filter }), doc)).toEqual(new Set(['view']))
  })

  test('the condition that narrows the most is indexed', () => {
    const index = indexOf({
      byStatus: { status: 'running' },
      byCustomer: { status: 'running', 'input.customer': 'c1' },
      byParent: { name: 'resize', parent: '65f000000000000000000001' },
      byChoice: { status: 'failed', $or: [{ 'input.customer': 'c1' }, { worker: 'w' }] },
      byNegation: { 'input.customer': { $ne: 'c1' } },
      byNull: { worker: null },
    })
    const always = ['byNegation', 'byNull']
    const of = (doc: Doc): string[] => [...collected(index, doc)].filter((name) => !always.includes(name)).sort()
    expect(of({ status: 'running', input: { customer: 'c2' } })).toEqual(['byStatus'])
    expect(of({ status: 'running', input: { customer: 'c1' } })).toEqual(['byCustomer', 'byStatus'])
    expect(of({ name: 'resize' })).toEqual([])
    expect(of({ parent: new Types.ObjectId('65f000000000000000000001') })).toEqual(['byParent'])
    expect(of({ status: 'failed' })).toEqual(['byChoice'])
    for (const name of always) expect(collected(index, {})).toContain(name)
  })
})
