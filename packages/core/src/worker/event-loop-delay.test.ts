import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { EventLoopDelay } from './event-loop-delay.ts'

function block(ms: number): void {
  const from = performance.now()
  while (performance.now() - from < ms);
}

async function delayMeter(): Promise<EventLoopDelay> {
  const delay = new EventLoopDelay()
  await delay.start()
  onTestFinished(() => delay.stop())
  return delay
}

/** Lets due timers run. */
const turn = (): Promise<unknown> => once(AbortSignal.timeout(1), 'abort')

test('a block shows as long as it was, once', async () => {
  const delay = await delayMeter()
  block(300)
  await turn()
  const taken = delay.take()
  expect(taken).toBeGreaterThan(250)
  expect(delay.take()).toBeLessThan(taken)
})

test('a block right after a reading shows at the next one, every time', async () => {
  const delay = await delayMeter()
  for (let round = 0; round < 3; round += 1) {
    block(200)
    await turn()
    expect(delay.take()).toBeGreaterThan(150)
  }
})

test('a block that still lasts counts up to now', async () => {
  const delay = await delayMeter()
  block(200)
  expect(delay.take()).toBeGreaterThan(150)
})
