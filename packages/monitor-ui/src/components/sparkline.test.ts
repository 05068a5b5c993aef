import { describe, expect, it } from 'vitest'
import { sparkPath } from './sparkline.tsx'

const point = (at: number, rate: number) => ({ at, rate, done: undefined, ratio: undefined })

describe('sparkPath', () => {
  it('draws the last minute up to the right edge, the highest rate at the top', () => {
    const path = sparkPath([point(0, 9_999), point(70_000, 0), point(100_000, 50), point(129_000, 100)], 129_000)
    expect(path).toBe('M0.0 14.5L32.5 8.0L64.0 1.5')
  })

  it('draws nothing of a single point and survives a rate of zero', () => {
    expect(sparkPath([point(0, 5)], 1_000)).toBe('')
    expect(sparkPath([point(0, 0), point(1_000, 0)], 1_000)).not.toContain('NaN')
  })
})
