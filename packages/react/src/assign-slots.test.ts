import { describe, expect, it } from 'vitest'
import { assignSlots, inSlots } from './assign-slots.ts'

describe('assignSlots', () => {
  it('leaves everybody in place when a neighbour ends, and seats the next one there', () => {
    const first = assignSlots([], ['a', 'b', 'c'], 4)
    expect(first).toEqual(['a', 'b', 'c', null])
    const second = assignSlots(first, ['b', 'c'], 4)
    expect(second).toEqual([null, 'b', 'c', null])
    expect(assignSlots(second, ['b', 'c', 'd'], 4)).toEqual(['d', 'b', 'c', null])
  })

  it('makes room for more than the slots that are drawn, and takes it back', () => {
    const crowded = assignSlots([], ['a', 'b', 'c'], 2)
    expect(crowded).toEqual(['a', 'b', 'c'])
    expect(assignSlots(crowded, ['a'], 2)).toEqual(['a', null])
  })
})

it('shows tasks beyond the slots only while they report progress', () => {
  const held = [{ id: 1 }, { id: 2 }, { id: 3 }, { id: 4, progress: {} }]
  expect(inSlots(held, 2).map(({ id }) => id)).toEqual([1, 2, 4])
  expect(inSlots(held, 4)).toBe(held)
})
