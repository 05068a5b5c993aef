import { describe, expect, it } from 'vitest'
import { barsOf, endsOf, failedShare, mixedPercentile, spreadBars, unitOf, waitingBars, withSlots } from './history.ts'

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

describe('the charts of a fleet', () => {
  const range = { from: NOW - 15 * MINUTE, to: NOW }
  const start = (ago: number) => new Date(NOW - ago - 30_000).toISOString()

  it('have the most that waited, and gaps where nobody counted', () => {
    const rows = [
      { at: start(2 * MINUTE), count: 3, oldestMs: 900 },
      { at: start(MINUTE), count: 0, oldestMs: 0 },
    ]
    const { bars } = waitingBars(rows, range, 'minute')
    expect(bars.slice(-4).map(({ count, oldestMs }) => [count, oldestMs])).toEqual([
      ...[
        [undefined, undefined],
        [3, 900],
        [0, 0],
        [undefined, undefined],
      ],
    ])
  })

  it('spread waits and runs over the time', () => {
    const spread = { count: 2, p50: 100, p95: 200, p99: 300 }
    const row = { queue: 'q', name: 'n', outcome: 'completed', status: 'completed', count: 2, runMs: { count: 0 } }
    const rows = [{ ...row, at: start(MINUTE), waitMs: spread }]
    const { bars } = spreadBars(rows, range, 'minute', 'waitMs')
    expect(bars.at(-2)).toMatchObject({ p50: 100, p95: 200 })
    expect(bars.at(-3)).toMatchObject({ p50: undefined, p95: undefined })
    expect(spreadBars(rows, range, 'minute', 'runMs').bars.at(-2)?.p50).toBeUndefined()
  })

  it('take the last minutes from what is known by the second', () => {
    const bars = barsOf([{ at: start(10 * MINUTE), status: 'completed', count: 5 }], range, 'minute')
    const slots = [0, 1, 2, 3].map((n) => ({
      ...{ at: new Date(NOW - 40_000 + n * 10_000).toISOString(), enqueued: 0, completed: 1, failed: 0, cancelled: 0 },
    }))
    const counted = withSlots(bars, slots).bars.map(({ completed }) => completed)
    expect(counted.filter((count) => count > 0)).toEqual([5, 3])
  })
})
