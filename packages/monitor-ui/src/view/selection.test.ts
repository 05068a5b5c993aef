import { describe, expect, it } from 'vitest'
import { choose, chooseAll, NOTHING_CHOSEN } from './selection.ts'

const order = ['a', 'b', 'c', 'd', 'e']
const ids = ({ ids }: { ids: ReadonlySet<string> }) => [...ids].sort().join('')

describe('choose', () => {
  it('turns a row on and off', () => {
    const on = choose(NOTHING_CHOSEN, order, 'b', false)
    expect(ids(on)).toBe('b')
    expect(ids(choose(on, order, 'b', false))).toBe('')
  })

  it('gives a range the state of its start, in either direction', () => {
    const from = choose(choose(NOTHING_CHOSEN, order, 'a', false), order, 'd', false)
    const range = choose(from, order, 'b', true)
    expect(ids(range)).toBe('abcd')
    const off = choose(range, order, 'd', false)
    expect(ids(choose(off, order, 'c', true))).toBe('ab')
  })

  it('means the one row where the range’s beginning is gone', () => {
    const from = choose(NOTHING_CHOSEN, order, 'a', false)
    expect(ids(choose(from, ['b', 'c'], 'c', true))).toBe('ac')
  })

  it('takes one out of all that match as one out of those that are seen', () => {
    const all = { all: true, ids: new Set<string>(), anchor: undefined }
    expect(choose(all, order, 'c', false)).toMatchObject({ all: false })
    expect(ids(choose(all, order, 'c', false))).toBe('abde')
  })
})

describe('chooseAll', () => {
  it('selects every drawn row, then none', () => {
    const all = chooseAll(NOTHING_CHOSEN, order)
    expect(ids(all)).toBe('abcde')
    expect(chooseAll(all, order)).toEqual(NOTHING_CHOSEN)
  })
})
