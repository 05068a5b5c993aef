import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { ServerClock } from './server-clock.ts'

/** Observes that the server's clock is `ahead` milliseconds ahead, `lateBy` off, in an answer that took `tookMs`. */
const observe = (clock: ServerClock, { at, ahead, tookMs, lateBy = 0 }: Record<string, number>): void =>
  clock.observe(new Date(at! + tookMs! / 2 + ahead! + lateBy), at!, at! + tookMs!)
const ahead = (clock: ServerClock): number => clock.now().getTime() - performance.now()
const hour = 3_600_000

// No time passes between two readings, however busy the machine is.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

test('a fast measurement is not replaced by a slow one', () => {
  const clock = new ServerClock()
  observe(clock, { at: 1_000, ahead: hour, tookMs: 2 })
  observe(clock, { at: 2_000, ahead: hour, tookMs: 400, lateBy: 150 })
  expect(Math.abs(ahead(clock) - hour)).toBeLessThan(2)
})

test('a slow measurement is better than none and than an old one', () => {
  const clock = new ServerClock()
  observe(clock, { at: 1_000, ahead: hour, tookMs: 400, lateBy: 150 })
  expect(Math.abs(ahead(clock) - hour - 150)).toBeLessThan(2)
  observe(clock, { at: 2_000, ahead: hour, tookMs: 20 })
  observe(clock, { at: 2_000 + hour, ahead: hour + 30, tookMs: 200 })
  expect(Math.abs(ahead(clock) - hour - 30)).toBeLessThan(2)
})

test("a different clock, such as a new primary's, is accepted at once", () => {
  const clock = new ServerClock()
  observe(clock, { at: 1_000, ahead: hour, tookMs: 2 })
  observe(clock, { at: 2_000, ahead: hour - 5_000, tookMs: 400 })
  expect(Math.abs(ahead(clock) - hour + 5_000)).toBeLessThan(2)
})

test('what has certainly come is earlier by as much as the clock may be wrong', () => {
  const clock = new ServerClock()
  observe(clock, { at: performance.now() - 400, ahead: hour, tookMs: 400, lateBy: 150 })
  const certain = clock.past().getTime() - performance.now()
  expect(certain).toBeLessThanOrEqual(hour)
  expect(certain).toBeGreaterThan(hour - 100)
})
