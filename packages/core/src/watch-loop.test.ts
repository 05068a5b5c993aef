import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { WatchLoop, type WatchLoopOptions } from './watch-loop.ts'

const DAY_MS = 86_400_000
const loops: WatchLoop[] = []
/** Ends the running looks. */
let ends: ((nextMs?: number) => void)[] = []
beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(async () => {
  const stopped = loops.splice(0).map((loop) => loop.stop())
  for (const end of ends.splice(0)) end()
  await Promise.all(stopped)
  vi.useRealTimers()
})

/** A look that ends on request, with the given result. */
function slowLook() {
  ends = []
  const look = vi.fn(() => new Promise<number | undefined>((resolve) => ends.push(resolve)))
  const end = async (nextMs?: number): Promise<void> => {
    ends.shift()!(nextMs)
    await vi.advanceTimersByTimeAsync(0)
  }
  return { look, end }
}

async function started(options: Partial<WatchLoopOptions>) {
  const look = vi.fn(async (): Promise<number | undefined> => undefined)
  const loop = new WatchLoop({ look, failed: 'a look failed', ...options })
  loops.push(loop)
  await loop.start()
  return { loop, look }
}

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms)

describe('a watch loop', () => {
  test('looks at its interval, from the end of one look to the next', async () => {
    const { look, end } = slowLook()
    await started({ look, everyMs: 1_000 })
    await pass(999)
    expect(look).toHaveBeenCalledTimes(0)
    await pass(1)
    expect(look).toHaveBeenCalledTimes(1)
    await pass(5_000)
    await end()
    await pass(999)
    expect(look).toHaveBeenCalledTimes(1)
    await pass(1)
    expect(look).toHaveBeenCalledTimes(2)
  })

  test('looks first at the given time', async () => {
    const { look } = await started({ everyMs: 1_000, firstMs: 0 })
    await pass(0)
    expect(look).toHaveBeenCalledTimes(1)
  })

  test('spreads its looks by a tenth', async () => {
    const { look } = await started({ everyMs: 1_000, spread: true })
    await pass(899)
    expect(look).toHaveBeenCalledTimes(0)
    await pass(202)
    expect(look).toHaveBeenCalledTimes(1)
  })

  test('looks only on request, if it has no interval', async () => {
    const { loop, look } = await started({})
    await pass(DAY_MS)
    expect(look).toHaveBeenCalledTimes(0)
    loop.lookIn(100)
    loop.lookIn(500)
    loop.lookIn(50)
    await pass(49)
    expect(look).toHaveBeenCalledTimes(0)
    await pass(DAY_MS)
    expect(look).toHaveBeenCalledTimes(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('looks at the time that the last look gave, but no later than usual', async () => {
    const next = [200, 5_000, undefined]
    await started({ look: async () => next.shift(), everyMs: 1_000 })
    await pass(1_000)
    expect(next).toHaveLength(2)
    await pass(200)
    expect(next).toHaveLength(1)
    await pass(999)
    expect(next).toHaveLength(1)
    await pass(1)
    expect(next).toHaveLength(0)
  })

  test('never runs two looks at once; on request during a look, it looks again', async () => {
    const { look, end } = slowLook()
    const { loop } = await started({ look })
    const first = loop.look()
    await pass(0)
    const [second, third] = [vi.fn(), vi.fn()]
    void loop.look().then(second)
    void loop.look().then(third)
    loop.lookIn(0)
    await pass(100)
    expect(look).toHaveBeenCalledTimes(1)
    await end()
    await first
    expect(look).toHaveBeenCalledTimes(2)
    expect([second, third].map(({ mock }) => mock.calls.length)).toEqual([0, 0])
    await end()
    expect([second, third].map(({ mock }) => mock.calls.length)).toEqual([1, 1])
    await pass(DAY_MS)
    expect(look).toHaveBeenCalledTimes(2)
  })

  test('keeps a later time that it is given during a look', async () => {
    const { look, end } = slowLook()
    const { loop } = await started({ look })
    loop.lookIn(0)
    await pass(0)
    loop.lookIn(300)
    await pass(100)
    await end(1_000)
    await pass(199)
    expect(look).toHaveBeenCalledTimes(1)
    await pass(1)
    expect(look).toHaveBeenCalledTimes(2)
  })

  test('waits for months', async () => {
    const { loop, look } = await started({})
    loop.lookIn(60 * DAY_MS)
    await pass(59 * DAY_MS)
    expect(look).toHaveBeenCalledTimes(0)
    await pass(DAY_MS)
    expect(look).toHaveBeenCalledTimes(1)
  })

  test('logs what a look throws, and goes on', async () => {
    const warn = vi.fn()
    let failures = 2
    const look = async (): Promise<void> => {
      failures -= 1
      if (failures >= 0) throw new Error('not now')
    }
    const { loop } = await started({ look, everyMs: 1_000, retryMs: 50, log: { warn } })
    const looked = loop.look()
    await pass(0)
    await looked
    await pass(50)
    expect(warn.mock.calls.map(([{ err }, message]) => [err.message, message])).toEqual([
      ['not now', 'a look failed'],
      ['not now', 'a look failed'],
    ])
    expect(failures).toBe(0)
    await pass(50)
    expect(failures).toBe(-1)
  })

  test('on stop, waits for the running look, and releases callers that wait for another', async () => {
    const { look, end } = slowLook()
    const { loop } = await started({ look, everyMs: 1_000 })
    loop.lookIn(0)
    await pass(0)
    const waits = loop.look()
    const stopped = vi.fn()
    const stopping = loop.stop().then(stopped)
    await pass(10)
    expect(stopped).not.toHaveBeenCalled()
    await end()
    await Promise.all([stopping, waits])
    await pass(DAY_MS)
    expect(look).toHaveBeenCalledTimes(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('does nothing before its start and after its end', async () => {
    const look = vi.fn(async () => undefined)
    const loop = new WatchLoop({ look, failed: 'a look failed' })
    loop.lookIn(0)
    await loop.look()
    await loop.start()
    await loop.stop()
    loop.lookIn(0)
    await loop.look()
    await pass(DAY_MS)
    expect(look).not.toHaveBeenCalled()
  })
})
