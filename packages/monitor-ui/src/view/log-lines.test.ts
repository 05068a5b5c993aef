import type { LogLevel } from '@taskfleet/protocol'
import { describe, expect, it } from 'vitest'
import { isBefore, LogSearch, linesFrom, logText, parseLineName, splitBy } from './log-lines.ts'

const line = (seq: number, message: string, level: LogLevel = 'info', attempt = 1) => ({
  ...{ attempt, seq, level, message },
  at: '2026-01-05T12:00:00.123Z',
})

describe('lines of a log', () => {
  it('are those of at least a level', () => {
    const lines = [line(1, 'a', 'debug'), line(2, 'b', 'warn'), line(3, 'c', 'error'), line(4, 'd')]
    expect(linesFrom(lines, 'debug')).toBe(lines)
    expect(linesFrom(lines, 'warn').map(({ seq }) => seq)).toEqual([2, 3])
  })

  it('are found as they are shown, in upper or lower case', () => {
    const lines = [line(1, 'Connect'), line(2, 'no\u202ematch'), line(3, 'disconnected')]
    const search = new LogSearch()
    expect(search.find(lines, 'CONNECT')).toEqual([0, 2])
    expect(search.find(lines, '\\u{202e}')).toEqual([1])
    expect(search.find(lines, '')).toEqual([])
  })

  it('are split by what is searched for', () => {
    expect(splitBy('a Bee, a bee', 'bee')).toEqual(['a ', 'Bee', ', a ', 'bee', ''])
    expect(splitBy('none', 'bee')).toEqual(['none'])
    expect(splitBy('none', '')).toEqual(['none'])
    // The small letter has two units.
    expect(splitBy('\u0130 bee', 'bee')).toEqual(['\u0130 bee'])
  })

  it('have a name in an address', () => {
    expect(parseLineName('2.100', 5)).toEqual({ attempt: 2, seq: 100 })
    expect(parseLineName('100', 5)).toEqual({ attempt: 5, seq: 100 })
    for (const wrong of ['', 'x', '0.1', '1.0', '1.', '-1', '1.2.3', '1e3'])
      expect(parseLineName(wrong, 1)).toBeUndefined()
    expect(isBefore({ attempt: 1, seq: 9 }, { attempt: 2, seq: 1 })).toBe(true)
    expect(isBefore({ attempt: 2, seq: 2 }, { attempt: 2, seq: 2 })).toBe(false)
  })

  it('are written as a text', () => {
    expect(logText([line(1, 'a'), line(2, 'b', 'error', 2)], false)).toBe(
      '2026-01-05T12:00:00.123Z attempt 1 INFO  a\n2026-01-05T12:00:00.123Z attempt 2 ERROR b\n',
    )
    expect(logText([], true)).toBe('(earlier lines are left out)\n')
  })
})
