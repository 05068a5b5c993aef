import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StopBudget } from './stop-budget.ts'

describe('the budget of a shutdown', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
  afterEach(() => void vi.useRealTimers())

  /** When its stages came, in milliseconds. */
  const stages = (budget: (giveBack: () => void) => StopBudget) => {
    const from = performance.now()
    const seen: Record<string, number> = {}
    const note = (stage: string) => (): void => {
      seen[stage] = performance.now() - from
    }
    const made = budget(note('giveBack'))
    made.abandon.addEventListener('abort', note('abandon'))
    void made.over.then(note('over'))
    return { made, seen }
  }

  test.each([
    [{}, { giveBack: 10_000, abandon: 20_000, over: 25_000 }],
    [{ grace: 0 }, { giveBack: 0, abandon: 12_000, over: 15_000 }],
    [{ grace: '1m' as const }, { giveBack: 45_000, abandon: 60_000, over: 75_000 }],
    [
      { grace: '1h' as const, timeout: '5s' as const },
      { giveBack: 3_000, abandon: 4_000, over: 5_000 },
    ],
  ])('%j is divided into %j', async (options, expected) => {
    const { made, seen } = stages((giveBack) => new StopBudget(giveBack))
    made.limit(options)
    await vi.advanceTimersByTimeAsync(80_000)
    expect(seen).toEqual(expected)
  })

  test('never grows', async () => {
    const { made, seen } = stages((giveBack) => new StopBudget(giveBack))
    made.limit({ grace: '10s' })
    await vi.advanceTimersByTimeAsync(1_000)
    made.limit({ grace: 0, timeout: 2_000 })
    made.limit({ grace: '1h' })
    await vi.advanceTimersByTimeAsync(60_000)
    expect(seen).toEqual({ giveBack: 1_000, abandon: 2_600, over: 3_000 })
  })

  test('of months does not fire at once', async () => {
    const { made, seen } = stages((giveBack) => new StopBudget(giveBack))
    made.limit({ grace: '60d' })
    await vi.advanceTimersByTimeAsync(1_000)
    expect(seen).toEqual({})
    expect(made.begun).toBe(true)
    made.close()
  })

  test('computes how long a task must wait whose handler can not be ended', () => {
    const { made } = stages((giveBack) => new StopBudget(giveBack))
    made.limit({ timeout: 4_000 })
    expect(made.goneInMs).toBe(4_500)
    made.close()
  })
})
