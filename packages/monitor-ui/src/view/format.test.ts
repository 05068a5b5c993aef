import { describe, expect, it } from 'vitest'
import { formatAge, formatAmount, formatBytes, formatDuration, formatPercent } from './format.ts'

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

  it('writes other units and shares', () => {
    expect(plain(formatAmount(1_234, 'rows'))).toBe('1,234 rows')
    expect([0, 0.4215, 0.9999, 1].map((n) => plain(formatPercent(n)))).toEqual(['0 %', '42.1 %', '100 %', '100 %'])
  })
})
