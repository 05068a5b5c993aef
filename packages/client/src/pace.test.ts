import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Pace } from './pace.ts'
import { retryDelay } from './retry-delay.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a burst goes at once, and the rest in order at the rate', async () => {
  const pace = new Pace(10, 3, Date.now)
  const gone: number[] = []
  for (let one = 0; one < 8; one += 1) {
    const turn = pace.turn()
    if (turn === undefined) gone.push(one)
    else void turn.then(() => gone.push(one))
  }
  expect(gone).toEqual([0, 1, 2])
  await vi.advanceTimersByTimeAsync(250)
  expect(gone).toEqual([0, 1, 2, 3, 4])
  await vi.advanceTimersByTimeAsync(1_000)
  expect(gone).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
})

test('no message overtakes a waiting one, and a new connection allows a burst', async () => {
  const pace = new Pace(1, 1, Date.now)
  const gone: string[] = []
  expect(pace.turn()).toBeUndefined()
  for (const name of ['first', 'second']) void pace.turn()?.then(() => gone.push(name))
  pace.restart()
  await vi.advanceTimersByTimeAsync(0)
  expect(gone).toEqual(['first'])
  await vi.advanceTimersByTimeAsync(1_000)
  expect(gone).toEqual(['first', 'second'])
})

test('delays between retries grow, up to 30 seconds', () => {
  const delays = [1, 2, 3, 6, 50].map((failures) => retryDelay(failures, () => 1))
  expect(delays).toEqual([1_000, 2_000, 4_000, 30_000, 30_000])
  expect(retryDelay(1, () => 0)).toBe(750)
})
