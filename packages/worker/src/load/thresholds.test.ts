import { expect, test } from 'vitest'
import { fullThresholds, type LoadThresholds } from './thresholds.ts'

test('without options the defaults hold', () => {
  expect(fullThresholds()).toEqual({
    cpu: { lazy: 0.8, all: null, margin: 0.1 },
    memoryLeft: { lazy: 0.15, all: 0.05, margin: 0.03 },
    eventLoopDelayMs: { lazy: 200, all: 1_000, margin: 100 },
    closeAfter: 2,
    openAfter: 3,
  })
})

test('each can be set, or switched off by null', () => {
  expect(
    fullThresholds({
      cpu: { lazy: 0.5, all: 0.95, margin: 0.2 },
      memoryLeft: { lazy: null, all: null },
      openAfter: 10,
    }),
  ).toMatchObject({
    cpu: { lazy: 0.5, all: 0.95, margin: 0.2 },
    memoryLeft: { lazy: null, all: null },
    openAfter: 10,
  })
})

test('a default moves to fit a set threshold', () => {
  expect(fullThresholds({ eventLoopDelayMs: { lazy: 5_000 } }).eventLoopDelayMs).toMatchObject({ all: 5_000 })
  expect(fullThresholds({ memoryLeft: { lazy: 0.01 } }).memoryLeft).toMatchObject({ all: 0.01 })
  expect(fullThresholds({ eventLoopDelayMs: { lazy: 50 } }).eventLoopDelayMs).toMatchObject({ margin: 25 })
  expect(fullThresholds({ memoryLeft: { lazy: 0.99 } }).memoryLeft.margin).toBeCloseTo(0.005)
})

test.each<[string, LoadThresholds]>([
  ['thresholds.cpu.lazy', { cpu: { lazy: 80 } }],
  ['thresholds.cpu.lazy', { cpu: { lazy: 0 } }],
  ['thresholds.cpu.lazy', { cpu: { lazy: Number.NaN } }],
  ['thresholds.cpu.lazy', { cpu: { lazy: '0.5' as never } }],
  ['thresholds.cpu.all', { cpu: { all: 0.5 } }],
  ['thresholds.cpu.margin', { cpu: { lazy: 0.3, margin: 0.3 } }],
  ['thresholds.cpu.margin', { cpu: { margin: -0.1 } }],
  ['thresholds.cpu.high', { cpu: { high: 1 } as never }],
  ['thresholds.cpu', { cpu: 0.5 as never }],
  ['thresholds.memoryLeft.all', { memoryLeft: { lazy: 0.1, all: 0.2 } }],
  ['thresholds.memoryLeft.margin', { memoryLeft: { lazy: 0.9, margin: 0.1 } }],
  ['thresholds.eventLoopDelayMs.lazy', { eventLoopDelayMs: { lazy: -1 } }],
  ['thresholds.closeAfter', { closeAfter: 0 }],
  ['thresholds.openAfter', { openAfter: 1.5 }],
  ['thresholds.memory', { memory: {} } as never],
])('nonsense in %s is refused: %j', (field, given) => {
  expect(() => fullThresholds(given)).toThrow(expect.objectContaining({ code: 'CONFIG_RANGE', field }))
})
