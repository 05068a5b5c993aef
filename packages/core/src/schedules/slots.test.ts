import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Timing } from './schedule-document.ts'
import { missedSlots, nextSlot, nextSlots } from './slots.ts'

const at = (text: string): Date => new Date(text)
const cron = (text: string, timeZone = 'UTC'): Timing => ({ cron: text, timeZone })
const shown = (slots: Date[]): string[] => slots.map((slot) => slot.toISOString().replace(':00.000Z', 'Z'))

describe('the slots of a cron', () => {
  test.each([
    [
      'a time that the clock leaves out runs when the gap is over',
      '30 2 * * *',
      'Europe/Berlin',
      '2027-03-27T00:00Z',
      ['2027-03-27T01:30Z', '2027-03-28T01:00Z', '2027-03-29T00:30Z'],
    ],
    [
      'so it does across the Atlantic',
      '30 2 * * *',
      'America/New_York',
      '2027-03-13T00:00Z',
      ['2027-03-13T07:30Z', '2027-03-14T07:00Z', '2027-03-15T06:30Z'],
    ],
    [
      'a time that comes twice runs once, the first time',
      '30 2 * * *',
      'Europe/Berlin',
      '2027-10-30T12:00Z',
      ['2027-10-31T00:30Z', '2027-11-01T01:30Z'],
    ],
    [
      'so it does across the Atlantic, too',
      '30 1 * * *',
      'America/New_York',
      '2027-11-06T12:00Z',
      ['2027-11-07T05:30Z', '2027-11-08T06:30Z'],
    ],
    [
      'what runs every half hour goes on through the repeated hour',
      '*/30 * * * *',
      'Europe/Berlin',
      '2027-10-31T00:00Z',
      ['2027-10-31T00:30Z', '2027-10-31T01:00Z', '2027-10-31T01:30Z', '2027-10-31T02:00Z'],
    ],
    [
      'and through the gap, without the times that there are not',
      '*/30 * * * *',
      'Europe/Berlin',
      '2027-03-28T00:15Z',
      ['2027-03-28T00:30Z', '2027-03-28T01:00Z', '2027-03-28T01:30Z'],
    ],
    [
      '29 February comes in leap years',
      '0 0 29 2 *',
      'UTC',
      '2027-03-01T00:00Z',
      ['2028-02-29T00:00Z', '2032-02-29T00:00Z'],
    ],
    ['and not in 2100', '0 0 29 2 *', 'UTC', '2096-03-01T00:00Z', ['2104-02-29T00:00Z']],
    [
      'L is the last day of the month',
      '0 0 L * *',
      'UTC',
      '2028-01-15T00:00Z',
      ['2028-01-31T00:00Z', '2028-02-29T00:00Z', '2028-03-31T00:00Z'],
    ],
    ['5L is the last Friday', '0 0 * * 5L', 'UTC', '2027-01-13T00:00Z', ['2027-01-29T00:00Z', '2027-02-26T00:00Z']],
    [
      'a zone may be three quarters of an hour off',
      '0 9 * * MON-FRI',
      'Asia/Kathmandu',
      '2027-01-14T12:00Z',
      ['2027-01-15T03:15Z', '2027-01-18T03:15Z'],
    ],
    [
      'a clock may change by half an hour',
      '0 2 * * *',
      'Australia/Lord_Howe',
      '2027-10-01T18:00Z',
      ['2027-10-02T15:30Z', '2027-10-03T15:00Z'],
    ],
    [
      'a day may be left out whole',
      '0 12 * * *',
      'Pacific/Apia',
      '2011-12-29T00:00Z',
      ['2011-12-29T22:00Z', '2011-12-30T22:00Z'],
    ],
  ])('%s', (_name, text, zone, after, expected) => {
    expect(shown(nextSlots(cron(text, zone), at(after), expected.length))).toEqual(expected)
  })

  test('the first of six fields is the seconds', () => {
    expect(nextSlots(cron('*/20 * * * * *'), at('2027-01-01T00:00:05.500Z'), 3).map((slot) => slot.getTime())).toEqual(
      [20, 40, 60].map((seconds) => Date.UTC(2027, 0, 1, 0, 0, seconds)),
    )
  })

  test('are from startsAt to endsAt, both included', () => {
    const timing = { ...cron('0 * * * *'), startsAt: at('2027-01-01T03:00Z'), endsAt: at('2027-01-01T05:00Z') }
    const all = ['2027-01-01T03:00Z', '2027-01-01T04:00Z', '2027-01-01T05:00Z']
    expect(shown(nextSlots(timing, at('2026-01-01T00:00Z'), 9))).toEqual(all)
    expect(nextSlot(timing, at('2027-01-01T05:00Z'))).toBeNull()
  })
})

test('a period is counted from its beginning', () => {
  const timing: Timing = { every: 90_000, timeZone: 'UTC', startsAt: at('2027-01-01T00:00Z') }
  expect(nextSlot(timing, at('2026-06-01T00:00Z'))).toEqual(timing.startsAt)
  expect(nextSlot(timing, timing.startsAt!)).toEqual(at('2027-01-01T00:01:30Z'))
  expect(nextSlot(timing, at('2027-01-01T00:01:29.999Z'))).toEqual(at('2027-01-01T00:01:30Z'))
  expect(nextSlot(timing, at('2027-01-01T01:00:00.001Z'))).toEqual(at('2027-01-01T01:01:30Z'))
})

describe('missed slots', () => {
  const minutely = cron('* * * * *')
  const first = at('2027-01-01T00:00Z')

  test('are all due slots, including the first', () => {
    expect(missedSlots(minutely, first, first, 10)).toEqual({ slots: [first], before: null })
    const { slots, before } = missedSlots(minutely, first, at('2027-01-01T00:02:59.999Z'), 10)
    expect([shown(slots), before]).toEqual([['2027-01-01T00:00Z', '2027-01-01T00:01Z', '2027-01-01T00:02Z'], null])
  })

  test('are the latest ones if there are too many, with the last omitted one', () => {
    const { slots, before } = missedSlots(minutely, first, at('2027-06-01T00:00Z'), 2)
    expect(shown(slots)).toEqual(['2027-05-31T23:59Z', '2027-06-01T00:00Z'])
    expect(before).toEqual(at('2027-05-31T23:58Z'))
  })

  test('include a slot that another host has stored, even if this host would not have it', () => {
    const odd = at('2027-01-01T00:00:30Z')
    expect(missedSlots(minutely, odd, at('2027-01-01T00:00:40Z'), 5)).toEqual({ slots: [odd], before: null })
  })
})

const field = (least: number, most: number): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constant('*'),
    fc.integer({ min: least, max: most }).map(String),
    fc.integer({ min: 2, max: 20 }).map((step) => `*/${step}`),
    fc
      .tuple(fc.integer({ min: least, max: most }), fc.integer({ min: least, max: most }))
      .map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
    fc.uniqueArray(fc.integer({ min: least, max: most }), { minLength: 2, maxLength: 3 }).map((days) => days.join(',')),
  )
const zones = fc.constantFrom(
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kathmandu',
  'Australia/Lord_Howe',
  'Pacific/Apia',
  'America/St_Johns',
  'Africa/Casablanca',
)
const crons: fc.Arbitrary<Timing> = fc
  .tuple(
    fc.option(field(0, 59)),
    field(0, 59),
    field(0, 23),
    fc.constantFrom('*', 'L', '1', '*/7'),
    fc.constantFrom('*', '*/3', '3,10'),
    fc.constantFrom('*', '0', 'MON-FRI', '5L'),
    zones,
  )
  .map(([second, minute, hour, day, month, weekday, timeZone]) => ({
    cron: [...(second === null ? [] : [second]), minute, hour, day, month, weekday].join(' '),
    timeZone,
  }))
const periods: fc.Arbitrary<Timing> = fc
  .tuple(
    fc.integer({ min: 1_000, max: 86_400_000 * 30 }),
    fc.date({ min: at('2020-01-01'), max: at('2030-01-01'), noInvalidDate: true }),
  )
  .map(([every, startsAt]) => ({ every, startsAt, timeZone: 'UTC' }))
/** Moments, mostly near clock changes. */
const moments = fc.oneof(
  fc.date({ min: at('2024-01-01'), max: at('2032-01-01'), noInvalidDate: true }),
  fc
    .tuple(
      fc.constantFrom(
        '2027-03-28T01:00Z',
        '2027-10-31T01:00Z',
        '2027-03-14T07:00Z',
        '2027-11-07T06:00Z',
        '2027-10-02T15:30Z',
        '2027-04-03T15:00Z',
      ),
      fc.integer({ min: -7_200_000, max: 7_200_000 }),
    )
    .map(([text, off]) => new Date(at(text).getTime() + off)),
)

describe('for any timing', () => {
  test('the next slot is later, and slots increase', () => {
    fc.assert(
      fc.property(fc.oneof(crons, periods), moments, (timing, after) => {
        const slots = nextSlots(timing, after, 12)
        for (const [index, slot] of slots.entries()) {
          expect(slot.getTime()).toBeGreaterThan((slots[index - 1] ?? after).getTime())
        }
      }),
      { numRuns: 400 },
    )
  })

  test('no slot lies between a moment and the next slot: a later moment has no earlier slot', () => {
    fc.assert(
      fc.property(
        fc.oneof(crons, periods),
        moments,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (timing, after, part) => {
          const slot = nextSlot(timing, after)
          if (slot === null) return
          const between = new Date(after.getTime() + Math.floor((slot.getTime() - after.getTime() - 1) * part))
          expect(nextSlot(timing, between)).toEqual(slot)
        },
      ),
      { numRuns: 400 },
    )
  })

  test('the missed slots equal those of a count from the first one', () => {
    fc.assert(
      fc.property(
        fc.oneof(crons, periods),
        moments,
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 20 }),
        (timing, after, limit, count) => {
          const counted = nextSlots(timing, after, count)
          const [first, last] = [counted[0], counted.at(-1)]
          if (first === undefined || last === undefined) return
          const { slots, before } = missedSlots(timing, first, last, limit)
          expect(slots).toEqual(counted.slice(-limit))
          expect(before).toEqual(counted.at(-limit - 1) ?? null)
        },
      ),
      { numRuns: 200 },
    )
  })
})
