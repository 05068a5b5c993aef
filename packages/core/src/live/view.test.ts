import { applyDelta, type Delta } from '@taskfleet/protocol'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compareBy } from './compare.ts'
import { readAhead, View } from './view.ts'

type Doc = Record<string, unknown> & { _id: string; rev: number; n: number; on: boolean }
type NumberRow = { _id: string; rev: number; n: number }

const sort = { n: 1, _id: 1 } as const
const compare = compareBy(sort)
const doc = (_id: string, n: number, rev = 1, on = true): Doc => ({ _id, n, rev, on })

/** A view of the documents with `on`, sorted by their number. */
function viewOf(limit: number, read: Doc[] = []): View<NumberRow> {
  const view = new View<NumberRow>({
    matches: ({ on }) => on === true,
    compare,
    limit,
    toRow: ({ _id, rev, n }) => ({ _id, rev, n }) as NumberRow,
    toSortKey: ({ _id, n }) => ({ _id, n }),
  })
  view.read(read)
  view.flush()
  return view
}

const ids = (view: View<NumberRow>): string[] => view.rows.map(({ _id }) => _id)
const a = doc('a', 10)
const b = doc('b', 20)
const c = doc('c', 30)
const d = doc('d', 40)
const e = doc('e', 50)

describe('a view keeps its window by the rules', () => {
  test('a document that fits enters at its index', () => {
    const view = viewOf(3, [a, c])
    expect(view.apply('b', b)).toBe('changed')
    expect(view.flush()).toEqual({ added: [{ row: { _id: 'b', rev: 1, n: 20 }, index: 1 }], changed: [], removed: [] })
  })

  test('one that does not fit changes nothing', () => {
    const view = viewOf(3, [a])
    expect(view.apply('b', doc('b', 20, 1, false))).toBe('unchanged')
    expect(view.apply('x', null)).toBe('unchanged')
    expect(view.flush()).toBeNull()
  })

  test('one that changes stays or moves, and is reported with its index', () => {
    const view = viewOf(3, [a, b])
    view.apply('a', doc('a', 30, 2))
    expect(view.flush()).toEqual({ added: [], changed: [{ row: { _id: 'a', rev: 2, n: 30 }, index: 1 }], removed: [] })
    expect(ids(view)).toEqual(['b', 'a'])
  })

  test('one that no longer fits, or is gone, leaves', () => {
    const view = viewOf(3, [a, b])
    expect(view.apply('a', doc('a', 10, 2, false))).toBe('changed')
    expect(view.apply('b', null)).toBe('changed')
    expect(view.flush()).toEqual({ added: [], changed: [], removed: ['a', 'b'] })
  })

  test('an older revision is ignored', () => {
    const view = viewOf(3, [doc('a', 10, 5)])
    expect(view.apply('a', doc('a', 99, 4))).toBe('unchanged')
    expect(view.apply('a', doc('a', 99, 4, false))).toBe('unchanged')
    expect(view.flush()).toBeNull()
  })

  test('the same rev with different content is accepted', () => {
    const view = viewOf(3, [a])
    expect(view.apply('a', doc('a', 11, 1))).toBe('changed')
    expect(view.flush()?.changed).toEqual([{ row: { _id: 'a', rev: 1, n: 11 }, index: 0 }])
  })

  test('the same state again causes no delta, and the row keeps its identity', () => {
    const view = viewOf(3, [a])
    const [row] = view.rows
    view.apply('a', { ...a })
    expect(view.flush()).toBeNull()
    view.read([a, b])
    expect(view.flush()?.changed).toEqual([])
    expect(view.rows[0]).toBe(row)
  })

  test('a row that is pushed beyond the limit is reported as removed', () => {
    const view = viewOf(2, [b, c])
    view.apply('a', a)
    expect(view.flush()).toMatchObject({ added: [{ index: 0 }], removed: ['c'] })
  })

  test('rows that leave are replaced from the reserve without a query', () => {
    const view = viewOf(2, [a, b, c, d, e])
    expect(view.apply('a', null)).toBe('changed')
    expect(view.apply('b', null)).toBe('changed')
    view.flush()
    expect(ids(view)).toEqual(['c', 'd'])
  })

  test('the database is queried again exactly when the window may be short', () => {
    // Five documents for a limit of two: there may be more.
    const view = viewOf(2, [a, b, c, d, e])
    expect(['a', 'b', 'c'].map((id) => view.apply(id, null))).toEqual(['changed', 'changed', 'requery'])
    // Four documents are the whole result.
    const whole = viewOf(2, [a, b, c, d])
    expect(['a', 'b', 'c', 'd'].map((id) => whole.apply(id, null))).toEqual(Array(4).fill('changed'))
  })

  test('a document after the last known row is accepted only if the whole result is known', () => {
    const part = viewOf(1, [a, b, c])
    part.apply('z', doc('z', 99))
    expect(part.apply('a', null)).toBe('changed')
    expect(part.apply('b', null)).toBe('requery')
    const whole = viewOf(1, [a])
    whole.apply('z', doc('z', 99))
    whole.apply('a', null)
    whole.flush()
    expect(ids(whole)).toEqual(['z'])
  })

  test('a late change does not bring back an older state than a read has returned', () => {
    const view = viewOf(3, [doc('a', 10, 5)])
    view.read([])
    expect(view.apply('a', doc('a', 10, 4))).toBe('unchanged')
    expect(view.apply('a', null)).toBe('unchanged')
    // Another document with the same id, after the first was deleted.
    expect(view.apply('a', doc('a', 10, 1))).toBe('changed')
  })

  test('after `forget`, an id may begin again with a lower rev', () => {
    const view = viewOf(3, [doc('a', 10, 5)])
    view.forget()
    view.read([doc('a', 10, 1)])
    expect(view.flush()?.changed).toEqual([{ row: { _id: 'a', rev: 1, n: 10 }, index: 0 }])
    view.forget()
    view.read([])
    expect(view.apply('a', doc('a', 10, 1))).toBe('changed')
  })
})

describe('a view agrees with a model', () => {
  type Step =
    | { kind: 'put'; id: number; n: number; on: boolean }
    | { kind: 'delete'; id: number }
    | { kind: 'read' | 'flush' }
  const id = fc.integer({ min: 0, max: 11 })
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        id,
        n: fc.integer({ min: 0, max: 5 }),
        on: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), id }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('read' as const, 'flush' as const) }) },
  )

  test('each delta leads from the previous window to the next, for any changes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5 }), fc.array(step, { maxLength: 80 }), (limit, steps) => {
        const stored = new Map<string, Doc>()
        let rev = 0
        const result = (): Doc[] => [...stored.values()].filter(({ on }) => on).sort(compare)
        const query = (): Doc[] => result().slice(0, readAhead(limit))
        const view = viewOf(limit)
        let window: NumberRow[] = []
        const settle = (): void => {
          const delta: Delta<NumberRow> | null = view.flush()
          const next = delta === null ? window : applyDelta(window, delta)
          const named = new Set(delta === null ? [] : [...delta.added, ...delta.changed].map(({ row }) => row._id))
          for (const row of next) if (!named.has(row._id)) expect(window).toContain(row)
          window = next
          expect(window).toEqual(
            result()
              .slice(0, limit)
              .map(({ _id, rev, n }) => ({ _id, rev, n })),
          )
          expect(window).toEqual(view.rows)
        }
        for (const one of steps) {
          let applied = 'changed'
          if (one.kind === 'put') {
            rev += 1
            const next = doc(`t${one.id}`, one.n, rev, one.on)
            stored.set(next._id, next)
            applied = view.apply(next._id, next)
          } else if (one.kind === 'delete') {
            stored.delete(`t${one.id}`)
            applied = view.apply(`t${one.id}`, null)
          } else if (one.kind === 'read') view.read(query())
          else settle()
          if (applied === 'requery') view.read(query())
        }
        settle()
      }),
      { numRuns: 500 },
    )
  })
})
