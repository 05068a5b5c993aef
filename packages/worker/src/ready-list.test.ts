import { type Hint, parseId } from '@taskfleet/core/internal'
import { describe, expect, test } from 'vitest'
import { ReadyList } from './ready-list.ts'

const NOW = new Date('2026-01-01T12:00:00Z')
const at = (seconds: number): Date => new Date(NOW.getTime() + seconds * 1_000)
const hint = (id: number, over: Partial<Hint> = {}): Hint => {
  const runAt = over.runAt ?? at(-10 + id)
  const _id = parseId(id.toString(16).padStart(24, '0'))
  const usual = {
    name: 'x',
    version: 1,
    queue: 'default',
    priority: 5,
    order: runAt,
    lazy: false,
    lost: 0,
    updatedAt: runAt,
  }
  return { _id, ...usual, ...over, runAt }
}
const ids = (hints: readonly Hint[]): number[] => hints.map(({ _id }) => Number.parseInt(_id.toHexString(), 16))

describe('ReadyList', () => {
  test('returns high before low, then by position in the queue, then by id', () => {
    const list = new ReadyList(10)
    const order = at(-5)
    list.offer(hint(4, { order }), NOW)
    list.offer(hint(1, { priority: 2 }), NOW)
    list.offer(hint(3, { order }), NOW)
    list.offer(hint(2, { priority: 8 }), NOW)
    list.offer(hint(5, { order: at(-60) }), NOW)
    expect(ids(list.take(10))).toEqual([2, 5, 3, 4, 1])
    expect(list.size).toBe(0)
  })

  test('keeps later ones by date until it has come', () => {
    const list = new ReadyList(10)
    expect(list.offer(hint(1, { runAt: at(60) }), NOW)).toBe(false)
    expect(list.offer(hint(2, { runAt: at(30) }), NOW)).toBe(false)
    expect(list.take(10)).toEqual([])
    expect(list.nextDate).toEqual(at(30))
    expect(ids(list.promote(at(30)))).toEqual([2])
    expect(list.nextDate).toEqual(at(60))
    expect(ids(list.take(10))).toEqual([2])
  })

  test('a new task that comes before the known next one runs before it', () => {
    const list = new ReadyList(10)
    list.offer(hint(1, { runAt: at(60) }), NOW)
    list.offer(hint(2, { runAt: at(20) }), NOW)
    expect(list.nextDate).toEqual(at(20))
  })

  test('a changed task is in the list once, at its new position', () => {
    const list = new ReadyList(10)
    list.offer(hint(1), NOW)
    list.offer(hint(2), NOW)
    list.offer(hint(2, { priority: 9 }), NOW)
    expect(ids(list.take(10))).toEqual([2, 1])
    list.offer(hint(3, { runAt: at(60) }), NOW)
    list.offer(hint(3), NOW)
    expect(list.nextDate).toBeNull()
    expect(ids(list.take(10))).toEqual([3])
  })

  test('a task claimed elsewhere is removed', () => {
    const list = new ReadyList(10)
    list.offer(hint(1), NOW)
    list.remove(hint(1)._id.toHexString())
    list.remove(hint(7)._id.toHexString())
    expect(list.take(10)).toEqual([])
  })

  test('never grows beyond its capacity, and then needs a query before it is empty', () => {
    const list = new ReadyList(8)
    for (let id = 1; id <= 100; id += 1) list.offer(hint(id, { order: at(-200 + id), runAt: at(-200 + id) }), NOW)
    expect(list.size).toBe(8)
    expect(list.low).toBe(false)
    expect(ids(list.take(7))).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(list.low).toBe(true)
  })

  test('nothing is added behind the end of a full list: unknown tasks may come first', () => {
    const list = new ReadyList(10)
    list.load({ due: [hint(1), hint(2)], next: [] }, 2)
    list.offer(hint(9), NOW)
    expect(ids(list.take(10))).toEqual([1, 2])
    expect(list.low).toBe(true)
  })

  test('a complete answer needs no further query', () => {
    const list = new ReadyList(10)
    list.load({ due: [hint(1)], next: [hint(2, { runAt: at(5) })] }, 10)
    list.take(1)
    expect(list.low).toBe(false)
  })

  test('when all known dates have come, the next ones are in the database', () => {
    const list = new ReadyList(10)
    list.load({ due: [], next: [hint(1, { runAt: at(5) })] }, 1)
    list.promote(at(6))
    expect(list.low).toBe(true)
  })
})
