import { expect, onTestFinished, test, vi } from 'vitest'
import type { HostReading } from './host-load.ts'
import { LoadMonitor, type LoadMonitorOptions } from './load-monitor.ts'

const calm: HostReading = { cpu: 0.1, memory: { left: 0.5, bytes: 8e9 }, disks: new Map() }

/** A monitor of a machine that the test moves, and that samples when the test says so. */
function monitored(options: Partial<LoadMonitorOptions> = {}, first: HostReading = calm) {
  const machine = { reading: first, delay: 1, running: 0 }
  const meter = {
    read: () => ({ cpu: 0.5, rss: 1e8, memoryFree: 4e9, eventLoopDelayMs: machine.delay }),
    start: vi.fn(),
    stop: vi.fn(),
  }
  const onChange = vi.fn()
  const monitor = new LoadMonitor({
    concurrency: 4,
    running: () => machine.running,
    onChange,
    probe: { host: { read: async () => machine.reading }, meter },
    ...options,
  })
  onTestFinished(() => monitor.stop())
  const sample = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index += 1) await monitor.sample()
  }
  return { monitor, machine, meter, onChange, sample }
}

test('a disk that is full is known when start has resolved', async () => {
  const { monitor, onChange } = monitored(
    { folders: [{ folder: '/srv', minFree: '5GB' }] },
    { ...calm, disks: new Map([['/srv', { free: 1e9, total: 4e9 }]]) },
  )
  expect(monitor.allows({ lazy: false, folder: '/srv' })).toBe(true)
  await monitor.start()
  expect(monitor.allows({ lazy: false, folder: '/srv' })).toBe(false)
  expect(monitor.allows({ lazy: true })).toBe(true)
  expect(monitor.gate.reason).toBe('1 GB of disk left in /srv, 5 GB are required')
  expect(monitor.report().disks).toEqual([{ folder: '/srv', free: 1e9, total: 4e9 }])
  expect(onChange).toHaveBeenCalledOnce()
})

test('a change of the gate is reported once, with the reason; changed figures are not', async () => {
  const { machine, onChange, sample } = monitored()
  await sample(3)
  expect(onChange).not.toHaveBeenCalled()
  machine.reading = { ...calm, memory: { left: 0.1, bytes: 1.6e9 } }
  await sample(2)
  machine.reading = { ...calm, memory: { left: 0.09, bytes: 1.5e9 } }
  await sample(3)
  expect(onChange.mock.calls.map(([{ gate }]) => [gate.lazy, gate.all, gate.reason])).toEqual([
    [false, true, '1.6 GB of memory left, 10 % (lazy tasks wait below 15 %)'],
  ])
  machine.reading = calm
  await sample(3)
  expect(onChange.mock.lastCall?.[0].gate).toEqual({ lazy: true, all: true, reasons: [] })
  expect(onChange).toHaveBeenCalledTimes(2)
})

test('the report has what a heartbeat carries, with the figures of the last sample', async () => {
  const { monitor, machine, sample } = monitored()
  machine.reading = { ...calm, cpu: 0.9321, memory: { left: 0.04, bytes: 6e8 } }
  await sample(5)
  expect(monitor.report()).toEqual({
    load: { cpu: 0.5, rss: 1e8, memoryFree: 4e9, eventLoopDelayMs: 1, hostCpu: 0.932, memoryLeft: 0.04 },
    gate: {
      open: false,
      lazy: false,
      reason: 'CPU at 93.2 % (lazy tasks wait above 80 %); 600 MB of memory left, 4 % (all tasks wait below 5 %)',
    },
    slots: 4,
  })
})

test('a report before the first sample is filled, too', () => {
  expect(monitored().monitor.report()).toEqual({
    load: { cpu: 0.5, rss: 1e8, memoryFree: 4e9, eventLoopDelayMs: 1 },
    gate: { open: true, lazy: true },
    slots: 4,
  })
})

test('a delay between two reports is in the next one, however calm it was since', async () => {
  const { monitor, machine, sample } = monitored()
  machine.delay = 700
  await sample(1)
  machine.delay = 2
  await sample(2)
  expect(monitor.load.eventLoopDelayMs).toBe(2)
  expect(monitor.report().load.eventLoopDelayMs).toBe(700)
  await sample(1)
  expect(monitor.report().load.eventLoopDelayMs).toBe(2)
})

test('a number of slots stays what it is', async () => {
  const { monitor, machine, sample } = monitored({ concurrency: 3 })
  machine.running = 3
  await sample(10)
  expect(monitor.slots).toBe(3)
})

test('automatic slots grow while all are busy, shrink when the event loop is late, and report it', async () => {
  const { monitor, machine, onChange, sample } = monitored({ concurrency: { min: 2, max: 200 } })
  const start = monitor.slots
  machine.running = 200
  await sample(4)
  expect(monitor.slots).toBe(start + 2)
  expect(onChange.mock.lastCall?.[0]).toMatchObject({ slots: start + 2 })
  machine.delay = 5_000
  await sample(2)
  expect(monitor.slots).toBe(Math.max(2, Math.floor((start + 2) / 2)))
})

test("'auto' is a range of its own choice", () => {
  expect(monitored({ concurrency: 'auto' }).monitor.slots).toBeGreaterThanOrEqual(1)
})

test.each<[string, Partial<LoadMonitorOptions>]>([
  ['concurrency', { concurrency: 0 }],
  ['concurrency', { concurrency: 1_001 }],
  ['concurrency', { concurrency: 'many' as never }],
  ['concurrency', { concurrency: null as never }],
  ['concurrency.max', { concurrency: { min: 5, max: 2 } }],
  ['everyMs', { everyMs: 10 }],
  ['thresholds.cpu.lazy', { thresholds: { cpu: { lazy: 80 } } }],
])('nonsense in %s is refused', (field, options) => {
  expect(() => monitored(options)).toThrow(expect.objectContaining({ code: 'CONFIG_RANGE', field }))
})

test('samples requested at the same time are one', async () => {
  const read = vi.fn(async () => calm)
  const { monitor, meter } = monitored()
  const one = new LoadMonitor({ concurrency: 1, running: () => 0, probe: { host: { read }, meter } })
  await Promise.all([one.sample(), one.sample(), one.sample()])
  expect(read).toHaveBeenCalledOnce()
  await one.stop()
  await monitor.stop()
})

test('it samples on its own, goes on after a listener that throws, and ends when it is stopped', async () => {
  vi.useFakeTimers()
  onTestFinished(() => {
    vi.useRealTimers()
  })
  const warn = vi.fn()
  const { monitor, machine, meter } = monitored({
    log: { warn },
    onChange: () => {
      throw new Error('a listener')
    },
  })
  await monitor.start()
  machine.reading = { ...calm, memory: { left: 0.01, bytes: 1 } }
  await vi.advanceTimersByTimeAsync(2_000)
  expect(monitor.gate.all).toBe(false)
  expect(warn).toHaveBeenCalledOnce()
  machine.reading = calm
  await vi.advanceTimersByTimeAsync(3_000)
  expect(monitor.gate.all).toBe(true)
  await monitor.stop()
  await monitor.stop()
  expect(meter.stop).toHaveBeenCalled()
  machine.reading = { ...calm, memory: { left: 0.01, bytes: 1 } }
  await vi.advanceTimersByTimeAsync(10_000)
  expect(monitor.gate.all).toBe(true)
})

test('this very machine can be monitored', async () => {
  const monitor = new LoadMonitor({ concurrency: 2, running: () => 0, folders: [{ folder: '.', minFree: 1 }] })
  onTestFinished(() => monitor.stop())
  await monitor.start()
  expect(monitor.allows({ lazy: false, folder: '.' })).toBe(true)
  expect(monitor.report().load).toMatchObject({ rss: expect.any(Number), memoryFree: expect.any(Number) })
})
