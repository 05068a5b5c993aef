import { describe, expect, it } from 'vitest'
import { EPOCH, iso } from '../testing/rows.ts'
import { formatTaskRate, lastSlots, sumSlots } from './activity.ts'
import { formatCountShort, phases } from './counts.ts'

const slot = (at: number, completed = 1) => ({ at: iso(at), enqueued: 2, completed, failed: 0, cancelled: 0 })

describe('the last five minutes', () => {
  it('have a slot for every ten seconds, the current one last', () => {
    const slots = lastSlots([slot(EPOCH - 10_000), slot(EPOCH, 5)], EPOCH + 4_000)
    expect(slots).toHaveLength(30)
    expect(slots.map(({ completed }) => completed).slice(-3)).toEqual([0, 1, 5])
    expect(slots[0]?.at).toBe(iso(EPOCH - 290_000))
  })

  it('drop older intervals, and move on while nothing happens', () => {
    const long = [slot(EPOCH - 300_000, 9), slot(EPOCH, 1)]
    expect(sumSlots(lastSlots(long, EPOCH))).toEqual({ enqueued: 2, completed: 1, failed: 0, cancelled: 0 })
    expect(sumSlots(lastSlots(long, EPOCH + 300_000)).completed).toBe(0)
    expect(lastSlots([], EPOCH)).toHaveLength(30)
  })

  it('begin no earlier than the server’s time, whose clock may be a little ahead', () => {
    expect(lastSlots([slot(EPOCH, 3)], EPOCH - 400).at(-1)?.completed).toBe(3)
  })
})

it('shows rates per second, and slow ones per minute', () => {
  expect([0, 0.05, 0.2, 1, 2.44, 12.6, 1_250].map(formatTaskRate)).toEqual([
    '0/min',
    '3/min',
    '12/min',
    '1/s',
    '2.4/s',
    '13/s',
    '1,250/s',
  ])
})

it('sums statuses to waiting, running and ended', () => {
  expect(phases({ pending: 1, paused: 2, blocked: 4, running: 8, completed: 16, failed: 32, cancelled: 64 })).toEqual({
    waiting: 7,
    running: 8,
    ended: 112,
  })
  expect(phases({})).toEqual({ waiting: 0, running: 0, ended: 0 })
})

it('shortens long counts', () => {
  expect([0, 9_999, 12_345, 4_567_890].map(formatCountShort)).toEqual(['0', '9,999', '12.3k', '4.57M'])
})
