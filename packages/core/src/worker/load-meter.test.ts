import { expect, onTestFinished, test } from 'vitest'
import { LoadMeter } from './load-meter.ts'

test('the load of the process is measured in cores, bytes and milliseconds', async () => {
  const meter = new LoadMeter()
  await meter.start()
  onTestFinished(() => meter.stop())
  const [from, before] = [performance.now(), process.cpuUsage()]
  meter.read()
  while (performance.now() - from < 200);
  const { user, system } = process.cpuUsage(before)
  const load = meter.read()
  // A busy machine gives it less than a core.
  expect(load.cpu).toBeGreaterThan((0.9 * (user + system)) / 1_000 / (performance.now() - from))
  expect(load.rss).toBeGreaterThan(1e6)
  expect(load.memoryFree).toBeGreaterThan(0)
  expect(load.eventLoopDelayMs).toBeGreaterThan(150)
})
