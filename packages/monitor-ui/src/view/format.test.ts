import { describe, expect, it } from 'vitest'
import {
  formatAge,
  formatAmount,
  formatBytes,
  formatDuration,
  formatLatency,
  formatPercent,
  formatShare,
} from './format.ts'

const plain = (text: string) => text.replaceAll('\u00a0', ' ')

describe('formats', () => {
  it('writes bytes with three digits', () => {
    expect([0, 999, 1_000, 12_345, 999_600, 1.5e9, 123.4e9, -5].map((n) => plain(formatBytes(n)))).toEqual([
      '0 B',
      '999 B',
      '1.00 kB',
      '12.3 kB',
      '1.00 MB',
      '1.50 GB',
      '123 GB',
      '0 B',
    ])
  })

  it('writes durations in at most two units', () => {
    expect([0, 300, 59_400, 185_000, 3_780_000, 300 * 3_600_000].map((ms) => plain(formatDuration(ms)))).toEqual([
      '0 s',
      '<1 s',
      '59 s',
      '3 m 05 s',
      '1 h 03 m',
      '12 d 12 h',
    ])
    expect(plain(formatAge(7_400_000))).toBe('2 h')
  })

  it('writes latencies finer than durations', () => {
    expect([0, 0.4, 12.3, 999.4, 1_000, 9_990, 12_340, 59_940, 61_000].map((ms) => plain(formatLatency(ms)))).toEqual([
      '0 ms',
      '0 ms',
      '12 ms',
      '999 ms',
      '1.00 s',
      '9.99 s',
      '12.3 s',
      '59.9 s',
      '1 m 01 s',
    ])
  })

  it('writes other units and shares', () => {
    expect(plain(formatAmount(1_234, 'rows'))).toBe('1,234 rows')
    expect([0, 0.4215, 0.9999, 1].map((n) => plain(formatPercent(n)))).toEqual(['0 %', '42.1 %', '100 %', '100 %'])
    expect([0, 0.001, 0.333, 0.999, 1].map((n) => plain(formatShare(n)))).toEqual([
      '0 %',
      '<1 %',
      '33 %',
      '99 %',
      '100 %',
    ])
  })
})
