import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RateWatch } from './rate-watch.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function watched() {
  const seen = { received: 0, rates: [] as number[] }
  const watch = new RateWatch({
    minBytesPerSecond: 1_000,
    windowMs: 1_000,
    received: () => seen.received,
    onTooSlow: (rate) => seen.rates.push(Math.round(rate)),
  })
  return { watch, seen }
}

test('a slow server is reported once in each window', () => {
  const { watch, seen } = watched()
  seen.received = 2_000
  vi.advanceTimersByTime(1_000)
  seen.received = 2_500
  vi.advanceTimersByTime(1_000)
  vi.advanceTimersByTime(1_000)
  expect(seen.rates).toEqual([500, 0])
  watch.stop()
  vi.advanceTimersByTime(10_000)
  expect(seen.rates).toHaveLength(2)
})

test('time in which the server is kept waiting does not count, wherever in a window it begins and ends', () => {
  const { watch, seen } = watched()
  vi.advanceTimersByTime(300)
  watch.hold()
  watch.hold()
  vi.advanceTimersByTime(60_000)
  watch.open()
  watch.open()
  vi.advanceTimersByTime(650)
  expect(seen.rates).toEqual([])
  vi.advanceTimersByTime(60)
  expect(seen.rates).toEqual([0])
  watch.stop()
})
