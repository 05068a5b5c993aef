import { parseChanges, parseNewTask } from '@taskfleet/core/internal'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { durationWithin, wholeNumber } from './checked-number.ts'
import { LONGEST_MS, milliseconds } from './duration.ts'
import { runAfter } from './long-timer.ts'
import type { Duration } from './protocol.ts'

/** Values that programs send instead of a number or a duration. */
const NONSENSE: [string, unknown][] = [
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['minus Infinity', Number.NEGATIVE_INFINITY],
  ['a negative number', -5_000],
  ['1e400, which JSON makes Infinity of', JSON.parse('1e400')],
  ['the largest number', Number.MAX_VALUE],
  ['1e18', 1e18],
  ['a text that is no duration', 'soon'],
  ['an empty text', ''],
  ['a negative text', '-5s'],
  ['a text with a space', '5 s'],
  ['digits without end', `${'9'.repeat(400)}d`],
  ['a billion days', '1000000000d'],
  ['a bare number as a text', '5000'],
  ['null', null],
  ['true', true],
  ['an array', [5]],
  ['an object', { ms: 5 }],
  ['an object without a prototype', Object.create(null)],
  [
    'an object whose text throws',
    {
      toString: () => {
        throw new Error('no')
      },
    },
  ],
  ['a date', new Date()],
  ['an invalid date', new Date(Number.NaN)],
  ['a symbol', Symbol('5s')],
  ['a function', () => 5],
  ['a big integer', 5n],
]

const code = (code: string, field?: string) => expect.objectContaining(field === undefined ? { code } : { code, field })

describe('a number from a caller', () => {
  test.each(NONSENSE)('%s is no duration, and the error has a code', (_name, value) => {
    expect(() => milliseconds(value as Duration)).toThrow(code('BAD_DURATION'))
    expect(() => durationWithin(value, 'stall', { least: 1 })).toThrow(code('OUT_OF_RANGE', 'stall'))
  })

  test.each(NONSENSE)('%s is no whole number within a range', (_name, value) => {
    expect(() => wholeNumber(value, 'slots', { least: 1, most: 50, code: 'CONFIG_RANGE' })).toThrow(
      code('CONFIG_RANGE', 'slots'),
    )
  })

  test.each([
    [0, 0],
    [1.4, 1],
    ['1.5s', 1_500],
    ['0ms', 0],
    ['25d', 25 * 86_400_000],
    [2 ** 31, 2 ** 31],
    ['36525d', LONGEST_MS],
  ] as [Duration, number][])('%s is a duration of %i whole milliseconds', (value, ms) => {
    expect(milliseconds(value)).toBe(ms)
  })
})

describe('a task', () => {
  const limits = ['timeout', 'totalTimeout', 'stall'] as const

  test.each(NONSENSE)('is rejected with %s as a limit, a back-off or a count', (_name, value) => {
    for (const field of limits) {
      // Null removes a limit.
      if (value !== null) expect(() => parseChanges({ [field]: value })).toThrow(code('OUT_OF_RANGE', field))
      expect(() => parseNewTask({ name: 'test', [field]: value })).toThrow(
        code(value === null ? 'BAD_VALUE' : 'OUT_OF_RANGE', field),
      )
    }
    for (const field of ['base', 'cap', 'factor']) {
      const path = `retry.backoff.${field}`
      const retry = { backoff: { [field]: value } }
      expect(() => parseNewTask({ name: 'test', retry })).toThrow(code('OUT_OF_RANGE', path))
    }
    for (const field of ['debounce', 'throttle']) {
      expect(() => parseNewTask({ name: 'test', key: 'k', [field]: value })).toThrow(code('OUT_OF_RANGE', field))
    }
    const retry = { maxAttempts: value }
    expect(() => parseNewTask({ name: 'test', retry })).toThrow(code('OUT_OF_RANGE', 'retry.maxAttempts'))
  })

  test.each([
    ['an invalid date', new Date(Number.NaN)],
    ['the last date of JavaScript', new Date(8.64e15)],
    ['the year 275760 as a text', '+275760-09-13T00:00:00.000Z'],
    ['a date before 1970', '1969-12-31T23:59:59Z'],
    ['a text that is no date', 'tomorrow'],
    ['an empty text', ''],
    ['milliseconds', Date.now()],
    ['NaN', Number.NaN],
    ['null', null],
    ['an object', {}],
  ])('is refused with %s as its date', (_name, value) => {
    for (const field of ['runAt', 'deadline']) {
      expect(() => parseNewTask({ name: 'test', [field]: value })).toThrow(code('BAD_DATE', field))
    }
  })

  test('keeps its own limits in milliseconds, and adds none', () => {
    const asked = {
      retry: { maxAttempts: 8, counts: 'without-progress', backoff: { kind: 'fixed', base: '5s', cap: '1h' } },
      ...{ timeout: '40d', totalTimeout: '1000d', stall: '2m' },
    }
    expect(parseNewTask({ name: 'test', maxAttempts: 3, ...asked })).toMatchObject({
      maxAttempts: 8,
      retry: { counts: 'without-progress', backoff: { base: 5_000, factor: 1, cap: 3_600_000 } },
      ...{ timeout: 40 * 86_400_000, totalTimeout: 1_000 * 86_400_000, stall: 120_000 },
    })
    const plain = parseNewTask({ name: 'test', retry: { maxAttempts: 2 } })
    expect(plain.maxAttempts).toBe(2)
    for (const field of ['retry', ...limits]) expect(plain).not.toHaveProperty(field)
  })

  test('rejects unknown retry fields, with their path', () => {
    expect(() => parseNewTask({ name: 'test', retry: { attempts: 3 } })).toThrow(
      code('UNKNOWN_FIELD', 'retry.attempts'),
    )
    expect(() => parseNewTask({ name: 'test', retry: { backoff: { delay: 3 } } })).toThrow(
      code('UNKNOWN_FIELD', 'retry.backoff.delay'),
    )
    expect(() => parseNewTask({ name: 'test', retry: { counts: 'none' } })).toThrow(code('BAD_VALUE', 'retry.counts'))
    expect(() => parseNewTask({ name: 'test', retry: [] })).toThrow(code('BAD_VALUE', 'retry'))
  })
})

describe('a timer for a long time', () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('fires once after the whole time, although no timer waits for more than 2^31 ms', () => {
    const fired = vi.fn()
    runAfter(60 * 86_400_000, fired)
    vi.advanceTimersByTime(59 * 86_400_000)
    expect(fired).not.toHaveBeenCalled()
    vi.advanceTimersByTime(86_400_000)
    expect(fired).toHaveBeenCalledOnce()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('can be cancelled in each of its parts', () => {
    const fired = vi.fn()
    const undo = runAfter(2 ** 32, fired)
    vi.advanceTimersByTime(2 ** 31 + 5)
    undo()
    vi.advanceTimersByTime(2 ** 33)
    expect(fired).not.toHaveBeenCalled()
  })
})
