import { expect, it } from 'vitest'
import { EPOCH, iso } from '../testing/rows.ts'
import { hourly } from './trend-bars.tsx'

const HOUR = 3_600_000

it('puts each hour in its place, the current one last, and leaves out older ones', () => {
  const trend = [
    { hour: iso(EPOCH - 60 * HOUR), count: 9 },
    { hour: iso(EPOCH - 47 * HOUR), count: 1 },
    { hour: iso(EPOCH - HOUR), count: 2 },
    { hour: iso(EPOCH), count: 3 },
  ]
  const counts = hourly(trend, EPOCH + 59 * 60_000)
  expect(counts).toHaveLength(48)
  expect([counts[0], counts[46], counts[47]]).toEqual([1, 2, 3])
  expect(counts.reduce((sum, count) => sum + count, 0)).toBe(6)
})
