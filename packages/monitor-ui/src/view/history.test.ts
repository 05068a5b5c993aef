import { describe, expect, it } from 'vitest'
import { barsOf, endsOf, failedShare, mixedPercentile, unitOf } from './history.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOW = Date.parse('2026-05-04T12:00:30Z')
const row = (ago: number, status: string, count: number) => ({ at: new Date(NOW - ago).toISOString(), status, count })

describe('the history of a range', () => {
  it('is counted by the minute for short ranges of the last two days, else by the hour', () => {
    const last = (ms: number, until = 0) => unitOf({ from: NOW - until - ms, to: NOW - until }, NOW)
    expect([last(HOUR), last(6 * HOUR), last(24 * HOUR), last(HOUR, 50 * HOUR)]).toEqual([
      ...['minute', 'minute', 'hour', 'hour'],
    ])
  })

  it('is drawn as bars without a gap, never more than 90', () => {
    const hour = barsOf([], { from: NOW - HOUR, to: NOW }, 'minute')
    expect([hour.stepMs, hour.bars.length, hour.bars[0]?.at]).toEqual([MINUTE, 61, NOW - HOUR - 30_000])
    expect(barsOf([], { from: NOW - 6 * HOUR, to: NOW }, 'minute').bars).toHaveLength(73)
    expect(barsOf([], { from: NOW - 7 * 24 * HOUR, to: NOW }, 'hour').stepMs).toBe(2 * HOUR)
  })

  it('counts tasks that ended, not attempts that are tried again', () => {
    const rows = [
      row(MINUTE, 'completed', 3),
      row(MINUTE, 'failed', 1),
      row(0, 'pending', 9),
      row(2 * HOUR, 'failed', 4),
    ]
    const { bars } = barsOf(rows, { from: NOW - HOUR, to: NOW }, 'minute')
    expect(bars.filter(({ completed, failed }) => completed + failed > 0)).toEqual([
      { at: NOW - MINUTE - 30_000, completed: 3, failed: 1, cancelled: 0 },
    ])
    expect(endsOf(rows)).toEqual({ completed: 3, failed: 5, cancelled: 0 })
    expect(failedShare({ completed: 3, failed: 1, cancelled: 0 })).toBe(0.25)
    expect(failedShare(endsOf([]))).toBeUndefined()
  })
})

describe('a percentile of several groups', () => {
  it('is that of a single group', () => {
    const one = { count: 10, p50: 100, p95: 400, p99: 1_000 }
    expect([mixedPercentile([one], 0.5), mixedPercentile([one, { count: 0 }], 0.95)]).toEqual([100, 400])
  })

  it('weighs groups by their counts', () => {
    const quick = { count: 99, p50: 10, p95: 20, p99: 20 }
    const slow = { count: 1, p50: 10_000, p95: 20_000, p99: 20_000 }
    expect(mixedPercentile([quick, slow], 0.5)).toBeLessThan(12)
    expect(mixedPercentile([quick, slow], 0.995)).toBeGreaterThan(5_000)
  })

  it('is unknown without any durations', () => {
    expect(mixedPercentile([{ count: 0 }], 0.5)).toBeUndefined()
  })
})
