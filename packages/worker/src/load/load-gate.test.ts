import { describe, expect, test } from 'vitest'
import { LoadGate, type LoadReading } from './load-gate.ts'
import type { LoadThresholds } from './thresholds.ts'

const SECOND = 1_000
const calm: LoadReading = { cpu: 0.1, memory: { left: 0.5, bytes: 8e9 }, eventLoopDelayMs: 1 }

function feed(gate: LoadGate, readings: readonly LoadReading[], from = 0): void {
  for (const [index, reading] of readings.entries()) gate.update(reading, from + index * SECOND)
}

const times = (count: number, reading: LoadReading): LoadReading[] => Array.from({ length: count }, () => reading)

function gateAfter(readings: readonly LoadReading[], thresholds: LoadThresholds = {}): LoadGate {
  const gate = new LoadGate(thresholds)
  feed(gate, readings)
  return gate
}

test('a gate that has read nothing is open', () => {
  expect(new LoadGate().state).toEqual({ lazy: true, all: true, reasons: [] })
})

test('a calm machine starts everything', () => {
  expect(gateAfter(times(5, calm)).state).toEqual({ lazy: true, all: true, reasons: [] })
})

test('a busy processor holds back lazy tasks only, and says so with figures', () => {
  const gate = gateAfter(times(5, { ...calm, cpu: 0.93 }))
  expect(gate.state).toMatchObject({
    lazy: false,
    all: true,
    reason: 'CPU at 93 % (lazy tasks wait above 80 %)',
    reasons: [{ measure: 'cpu', blocks: 'lazy', value: 0.93, threshold: 0.8 }],
  })
  expect([gate.allows({ lazy: true }), gate.allows({ lazy: false })]).toEqual([false, true])
})

test('by its own thresholds a busy processor holds back everything', () => {
  expect(gateAfter(times(5, { ...calm, cpu: 0.99 }), { cpu: { all: 0.95 } }).state).toMatchObject({
    lazy: false,
    all: false,
    reason: 'CPU at 99 % (all tasks wait above 95 %)',
  })
})

test('a short peak of the processor changes nothing', () => {
  expect(gateAfter([...times(5, calm), ...times(2, { ...calm, cpu: 1 }), ...times(3, calm)]).state.lazy).toBe(true)
})

test('memory that runs out holds back lazy tasks, then all of them', () => {
  const gate = gateAfter(times(2, { ...calm, memory: { left: 0.12, bytes: 1.9e9 } }))
  expect(gate.state).toMatchObject({
    lazy: false,
    all: true,
    reason: '1.9 GB of memory left, 12 % (lazy tasks wait below 15 %)',
  })
  feed(gate, times(2, { ...calm, memory: { left: 0.04, bytes: 6.4e8 } }), 2 * SECOND)
  expect(gate.state).toMatchObject({
    all: false,
    reason: '640 MB of memory left, 4 % (all tasks wait below 5 %)',
  })
  expect(gate.state.reasons).toHaveLength(1)
})

test('short memory at the start counts at once, a delay does not', () => {
  expect(gateAfter([{ memory: { left: 0.01, bytes: 1e8 } }]).state.all).toBe(false)
  expect(gateAfter([{ eventLoopDelayMs: 3_000 }]).state).toMatchObject({ lazy: true, all: true })
})

test('a late event loop holds back lazy tasks, then all of them', () => {
  expect(gateAfter(times(2, { ...calm, eventLoopDelayMs: 350 })).state).toMatchObject({
    lazy: false,
    all: true,
    reason: 'event loop 350 ms late (lazy tasks wait above 200 ms)',
  })
  expect(gateAfter(times(2, { ...calm, eventLoopDelayMs: 1_500 })).state).toMatchObject({ lazy: false, all: false })
})

test('a closed gate within its margin says what it waits for', () => {
  const gate = gateAfter([...times(2, { eventLoopDelayMs: 350 }), { eventLoopDelayMs: 150 }])
  expect(gate.state).toMatchObject({
    lazy: false,
    reason: 'event loop 150 ms late (lazy tasks wait until it is below 100 ms)',
  })
})

test('several reasons are joined', () => {
  expect(gateAfter(times(5, { ...calm, cpu: 0.9, eventLoopDelayMs: 300 })).state.reason).toBe(
    'CPU at 90 % (lazy tasks wait above 80 %); event loop 300 ms late (lazy tasks wait above 200 ms)',
  )
})

test('what can no longer be read opens the gate', () => {
  expect(gateAfter([...times(3, { memory: { left: 0.01, bytes: 1 } }), ...times(3, {})]).state.all).toBe(true)
})

test('an invalid threshold is rejected', () => {
  expect(() => new LoadGate({ cpu: { lazy: 80 } })).toThrow(expect.objectContaining({ code: 'CONFIG_RANGE' }))
})

describe('free disk', () => {
  const folder = '/srv/downloads'
  const disk = (free: number): LoadReading => ({ ...calm, disks: new Map([[folder, free]]) })
  const gate = (...readings: number[]): LoadGate => {
    const one = new LoadGate({}, [{ folder, minFree: '5GB' }])
    feed(one, readings.map(disk))
    return one
  }

  test('too little of it holds back the tasks that name the folder, from the first reading', () => {
    const full = gate(3.1e9)
    expect(full.state).toMatchObject({
      lazy: true,
      all: true,
      reason: '3.1 GB of disk left in /srv/downloads, 5 GB are required',
      reasons: [{ measure: 'disk', blocks: 'folder', folder, value: 3.1e9, threshold: 5e9 }],
    })
    expect(full.allows({ lazy: false, folder })).toBe(false)
    expect(full.allows({ lazy: false, folder: '/srv/other' })).toBe(true)
    expect(full.allows({ lazy: true })).toBe(true)
  })

  test('it must be clear of the limit by a tenth before they start again', () => {
    expect(gate(3e9, 5.2e9, 5.2e9, 5.2e9, 5.2e9).state.reason).toBe(
      '5.2 GB of disk left in /srv/downloads, tasks wait until there are 5.5 GB',
    )
    expect(gate(3e9, 6e9, 6e9, 6e9).state).toEqual({ lazy: true, all: true, reasons: [] })
  })

  test('a folder that two handlers name must have the larger space', () => {
    const one = new LoadGate({}, [
      { folder, minFree: '9GB' },
      { folder, minFree: 1e9 },
    ])
    feed(one, [disk(5e9)])
    expect(one.allows({ lazy: false, folder })).toBe(false)
  })

  test('an invalid size is rejected', () => {
    expect(() => new LoadGate({}, [{ folder, minFree: '5' as never }])).toThrow(
      expect.objectContaining({ code: 'BAD_SIZE' }),
    )
  })

  test('a folder without a name is rejected', () => {
    expect(() => new LoadGate({}, [{ folder: '', minFree: 1 }])).toThrow(
      expect.objectContaining({ code: 'CONFIG_RANGE', field: 'disk.folder' }),
    )
  })

  test('a task waits only for its own measures', () => {
    const one = new LoadGate({}, [{ folder, minFree: '5GB' }])
    feed(one, times(5, { ...disk(1e9), cpu: 0.9 }))
    expect(one.state.reason).toMatch(/^CPU at 90 %.*; 1 GB of disk left/)
    expect(one.allows({ lazy: false })).toBe(true)
    expect(one.allows({ lazy: false, folder })).toBe(false)
    expect(one.allows({ lazy: true })).toBe(false)
  })
})

/** Numbers from 0 to 1 by mulberry32, the same in every run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

describe.each<[string, (value: number) => LoadReading, { from: number; to: number; worst: number; best: number }]>([
  ['cpu', (cpu) => ({ cpu }), { from: 0.7, to: 0.8, worst: 1, best: 0 }],
  ['memory', (left) => ({ memory: { left, bytes: left * 16e9 } }), { from: 0.15, to: 0.18, worst: 0.1, best: 1 }],
  ['event loop', (eventLoopDelayMs) => ({ eventLoopDelayMs }), { from: 100, to: 200, worst: 500, best: 0 }],
])('hysteresis of the %s', (_name, reading, { from, to, worst, best }) => {
  const seeds = Array.from({ length: 50 }, (_, index) => index + 1)

  function turns(gate: LoadGate, values: readonly number[]): number {
    let lazy = gate.state.lazy
    let count = 0
    for (const [index, value] of values.entries()) {
      const now = gate.update(reading(value), (100 + index) * SECOND).lazy
      if (now !== lazy) count += 1
      lazy = now
    }
    return count
  }

  const within = (seed: number): number[] => {
    const random = numbers(seed)
    return Array.from({ length: 300 }, () => from + random() * (to - from))
  }

  test.each([
    ['open', best],
    ['closed', worst],
  ])('a value that swings within the margin never turns a gate that is %s', (_state, start) => {
    for (const seed of seeds) {
      const gate = new LoadGate()
      feed(gate, times(20, reading(start)))
      expect(turns(gate, within(seed))).toBe(0)
    }
  })

  test('for any values, it changes at most once in as many readings as a change needs', () => {
    for (const seed of seeds) {
      const random = numbers(seed)
      const values = Array.from({ length: 300 }, () => best + random() * (worst - best))
      expect(turns(new LoadGate(), values)).toBeLessThanOrEqual(Math.ceil((300 * 2) / (2 + 3)))
    }
  })

  test('a lasting overload closes it and lasting calm opens it, from any state', () => {
    for (const seed of seeds) {
      const gate = new LoadGate()
      turns(gate, within(seed))
      feed(gate, times(20, reading(worst)), 1_000 * SECOND)
      expect(gate.state.lazy).toBe(false)
      feed(gate, times(20, reading(best)), 2_000 * SECOND)
      expect(gate.state.lazy).toBe(true)
    }
  })

  test('an open gate for all is never behind a gate that is open for lazy tasks', () => {
    for (const seed of seeds) {
      const random = numbers(seed)
      const gate = new LoadGate({ cpu: { lazy: 0.5, all: 0.6 }, eventLoopDelayMs: { lazy: 150, all: 250 } })
      for (let index = 0; index < 300; index += 1) {
        const state = gate.update(reading(best + random() * (worst - best)), index * SECOND)
        expect(state.lazy && !state.all).toBe(false)
        expect(state.reason === undefined).toBe(state.lazy && state.all)
      }
    }
  })
})
