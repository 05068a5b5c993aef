import { describe, expect, it } from 'vitest'
import { HeldRows } from './held-rows.ts'

const rows = (...ids: string[]) => ids.map((_id) => ({ _id, at: 0 }))
const ids = (view: { rows: readonly { row: { _id: string }; gone: boolean }[] }) =>
  view.rows.map(({ row, gone }) => (gone ? `(${row._id})` : row._id)).join(' ')

describe('HeldRows', () => {
  it('follows the live rows while the user does not point at them', () => {
    const held = new HeldRows()
    held.view('q', rows('a', 'b'), false)
    expect(ids(held.view('q', rows('c', 'a'), false))).toBe('c a')
  })

  it('holds entering and moving rows back, and counts them', () => {
    const held = new HeldRows()
    held.view('q', rows('a', 'b', 'c'), false)
    const view = held.view('q', rows('n1', 'c', 'n2', 'a', 'b'), true)
    expect(ids(view)).toBe('a b c')
    expect(view).toMatchObject({ entered: 2, moved: true })
  })

  it('updates cells in place while it holds', () => {
    const held = new HeldRows<{ _id: string; at: number }>()
    held.view('q', rows('a', 'b'), false)
    const view = held.view(
      'q',
      [
        { _id: 'b', at: 7 },
        { _id: 'a', at: 8 },
      ],
      true,
    )
    expect(view.rows.map(({ row }) => row.at)).toEqual([8, 7])
  })

  it('leaves removed rows in place, marked as gone, with their last content', () => {
    const held = new HeldRows<{ _id: string; at: number }>()
    held.view('q', rows('a', 'b'), false)
    held.view(
      'q',
      [
        { _id: 'a', at: 5 },
        { _id: 'b', at: 0 },
      ],
      true,
    )
    const view = held.view('q', rows('b'), true)
    expect(ids(view)).toBe('(a) b')
    expect(view.rows[0]?.row.at).toBe(5)
    expect(view).toMatchObject({ entered: 0, moved: true })
  })

  it('shows everything once let go, and once applied while still held', () => {
    const held = new HeldRows()
    held.view('q', rows('a'), false)
    expect(ids(held.view('q', rows('b', 'a'), true))).toBe('a')
    held.apply()
    expect(ids(held.view('q', rows('b', 'a'), true))).toBe('b a')
    expect(ids(held.view('q', rows('c', 'b', 'a'), true))).toBe('b a')
    expect(ids(held.view('q', rows('c', 'b', 'a'), false))).toBe('c b a')
  })

  it('never holds the rows of another query back', () => {
    const held = new HeldRows()
    held.view('q1', rows('a'), false)
    expect(ids(held.view('q2', rows('x', 'y'), true))).toBe('x y')
  })
})
