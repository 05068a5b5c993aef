import { describe, expect, it } from 'vitest'
import { parseRangeSearch, rangeOf, writeRange } from './range.ts'

const NOW = Date.parse('2027-03-01T12:00:00Z')

describe('a time range', () => {
  it('ends now when it has a name', () => {
    expect(rangeOf('6h', NOW)).toEqual({ from: NOW - 6 * 3_600_000, to: NOW, name: '6h' })
    expect(rangeOf(undefined, NOW)).toEqual({ from: NOW - 3_600_000, to: NOW, name: '1h' })
  })

  it('between two dates is read as it was written', () => {
    const written = writeRange(NOW - 90 * 60_000, NOW)
    expect(written).toBe('2027-03-01T10:30Z/2027-03-01T12:00Z')
    expect(rangeOf(written, NOW + 5_000)).toEqual({ from: NOW - 90 * 60_000, to: NOW, name: undefined })
    expect(parseRangeSearch({ range: written })).toEqual({ range: written })
  })

  it.each([
    'soon',
    '3h',
    'toString',
    '2027-03-01T12:00Z',
    '2027-03-01T12:00Z/2027-03-01T10:00Z',
    '2027-03-01T12:00Z/2027-13-01T10:00Z',
    '2027-03-01T10:00Z/2027-03-01T12:00Z/2027-03-01T13:00Z',
    '1/2',
    7,
    undefined,
  ])('%s is not one', (range) => {
    expect(parseRangeSearch({ range })).toEqual({})
    expect(rangeOf(String(range), NOW).name).toBe('1h')
  })
})
