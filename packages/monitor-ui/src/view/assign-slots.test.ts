import { describe, expect, it } from 'vitest'
import { assignSlots } from './assign-slots.ts'

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
