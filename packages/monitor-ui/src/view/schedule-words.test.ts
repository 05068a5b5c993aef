import { describe, expect, it } from 'vitest'
import { cronWords, timeIn, timingWords } from './schedule-words.ts'

describe('when a schedule runs, in words', () => {
  it.each([
    [{ cron: '30 3 * * MON-FRI' }, 'At 03:30, Monday through Friday'],
    [{ cron: '*/20 * * * * *' }, 'Every 20 seconds'],
    [{ every: 900_000 }, 'Every 15 minutes'],
    [{ every: 86_400_000 }, 'Every day'],
    [{ every: 90_000 }, 'Every 90 seconds'],
    [{ every: 1_500 }, 'Every 1500 milliseconds'],
    [{ cron: 'by hand' }, 'by hand'],
  ])('%j', (timing, words) => expect(timingWords(timing)).toBe(words))

  it('has no words for an invalid cron', () => expect(cronWords('61 * * * *')).toBeUndefined())

  it('is shown in the local time of a zone, and as ISO 8601 for an unknown zone', () => {
    expect(timeIn('2027-03-28T01:00:00Z', 'Europe/Berlin')).toMatch(/03:00/)
    expect(timeIn('2027-03-28T01:00:00Z', 'Nowhere/There')).toBe('2027-03-28T01:00:00Z')
    expect(timeIn('soon', 'UTC')).toBe('–')
  })
})
