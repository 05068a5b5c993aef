import { expect, onTestFinished, test } from 'vitest'
import { LoadMeter } from './load-meter.ts'

test('the load of the process is measured in cores, bytes and milliseconds', async () => {
  const meter = new LoadMeter()
  await meter.start()
  onTestFinished(() => meter.stop())
  meter.read()
  const from = performance.now()
  while (performance.now() - from < 200);
  const load = meter.read()
  expect(load.cpu).toBeGreaterThan(0.2)
  expect(load.rss).toBeGreaterThan(1e6)
  expect(load.memoryFree).toBeGreaterThan(0)
  expect(load.eventLoopDelayMs).toBeGreaterThan(150)
})
