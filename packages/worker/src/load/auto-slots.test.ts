import { describe, expect, test } from 'vitest'
import { AutoSlots, type AutoSlotsReading } from './auto-slots.ts'
import { fullThresholds } from './thresholds.ts'

const thresholds = fullThresholds()
const GB = 1e9
const calm: AutoSlotsReading = { cpu: 0.2, memory: { left: 0.5, bytes: 8 * GB }, eventLoopDelayMs: 2, rss: 1e8 }
const late = { ...calm, eventLoopDelayMs: 300 }
const veryLate = { ...calm, eventLoopDelayMs: 2_000 }

const auto = (options: { min?: number; max?: number; start?: number } = {}): AutoSlots =>
  new AutoSlots({ thresholds, min: 1, max: 16, start: 4, ...options })

/** Gives as many readings while every slot is busy, or as many as `running`. */
function feed(slots: AutoSlots, count: number, reading: AutoSlotsReading, running?: number): number {
  for (let index = 0; index < count; index += 1) slots.update(reading, running ?? slots.slots)
  return slots.slots
}

describe('growing', () => {
  test('by one after two readings in which all slots were busy and there was room', () => {
    const slots = auto()
    expect(feed(slots, 1, calm)).toBe(4)
    expect(feed(slots, 1, calm)).toBe(5)
    expect(feed(slots, 4, calm)).toBe(7)
  })

  test('to the ceiling and no further', () => {
    expect(feed(auto({ max: 6 }), 100, calm)).toBe(6)
  })

  test('not while a slot is free', () => {
    expect(feed(auto(), 20, calm, 3)).toBe(4)
  })

  test.each<[string, AutoSlotsReading]>([
    ['a busy processor', { ...calm, cpu: 0.85 }],
    ['memory near its limit', { ...calm, memory: { left: 0.17, bytes: 2 * GB } }],
    ['a delay near its limit', { ...calm, eventLoopDelayMs: 150 }],
  ])('not with %s, which shrinks nothing either', (_name, reading) => {
    expect(feed(auto(), 20, reading)).toBe(4)
  })

  test('not when another task like the running ones would use up the memory', () => {
    const slots = auto()
    slots.update({ ...calm, rss: 1e8 }, 0)
    // 16 GB in all, 2.4 of them to be kept: 1.1 GB remain, and a task has turned out to cost 1.5.
    const tight = { ...calm, memory: { left: 0.21875, bytes: 3.5 * GB }, rss: 1e8 + 4 * 1.5 * GB }
    expect(feed(slots, 20, tight)).toBe(4)
    expect(slots.taskBytes).toBeCloseTo(1.5 * GB, -3)
    expect(feed(slots, 2, { ...tight, memory: { left: 0.5, bytes: 8 * GB } })).toBe(5)
  })

  test('also if memory can not be read', () => {
    expect(feed(auto(), 2, { eventLoopDelayMs: 1 })).toBe(5)
  })
})

describe('shrinking', () => {
  test('by one under pressure that lasts, then not again before that has had time to show', () => {
    const slots = auto({ start: 8 })
    expect(feed(slots, 1, late)).toBe(8)
    expect(feed(slots, 1, late)).toBe(7)
    expect(feed(slots, 4, late)).toBe(7)
    expect(feed(slots, 2, late)).toBe(6)
  })

  test('to the half under great pressure', () => {
    expect(feed(auto({ start: 9 }), 2, veryLate)).toBe(4)
    expect(feed(auto({ start: 8 }), 2, { ...calm, memory: { left: 0.02, bytes: 3e8 } })).toBe(4)
  })

  test('counts from what runs, since unused slots relieve nothing', () => {
    expect(feed(auto({ start: 16 }), 2, veryLate, 6)).toBe(3)
    expect(feed(auto({ start: 16 }), 2, late, 6)).toBe(5)
  })

  test('counts from the slots while more still run than there are', () => {
    expect(feed(auto({ start: 4 }), 2, late, 12)).toBe(3)
  })

  test('never below the floor', () => {
    expect(feed(auto({ min: 2 }), 100, veryLate)).toBe(2)
    expect(feed(auto(), 100, veryLate, 0)).toBe(1)
  })

  test('a single bad reading changes nothing', () => {
    const slots = auto({ max: 4 })
    for (let round = 0; round < 20; round += 1) {
      feed(slots, 1, veryLate)
      feed(slots, 1, calm)
    }
    expect(slots.slots).toBe(4)
  })
})

test('unused slots go back to the initial number after a while', () => {
  const slots = auto()
  expect(feed(slots, 20, calm)).toBe(14)
  expect(feed(slots, 60, calm, 3)).toBe(12)
  expect(feed(slots, 3_000, calm, 3)).toBe(4)
})

test('it settles where the machine does: a fleet of tasks that each delay the loop by 30 ms', () => {
  const slots = auto({ max: 64 })
  const seen: number[] = []
  for (let second = 0; second < 600; second += 1) {
    slots.update({ ...calm, eventLoopDelayMs: slots.slots * 30 }, slots.slots)
    if (second > 60) seen.push(slots.slots)
  }
  expect(Math.min(...seen)).toBeGreaterThanOrEqual(3)
  expect(Math.max(...seen)).toBeLessThanOrEqual(7)
})

test.each([
  ['concurrency.min', { min: 0 }],
  ['concurrency.min', { min: 1.5 }],
  ['concurrency.max', { max: 1_001 }],
  ['concurrency.max', { min: 5, max: 4 }],
])('nonsense in %s is refused', (field, options) => {
  expect(() => auto(options)).toThrow(expect.objectContaining({ code: 'CONFIG_RANGE', field }))
})

test('without options it starts with a task per processor', () => {
  expect(new AutoSlots({ thresholds, cores: 6 }).slots).toBe(6)
  expect(feed(new AutoSlots({ thresholds, cores: 2 }), 100, calm)).toBe(8)
  expect(feed(new AutoSlots({ thresholds, cores: 128 }), 1, calm)).toBe(64)
})
