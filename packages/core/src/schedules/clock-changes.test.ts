import { ClockChanges } from '@taskfleet/testkit/schedules/clock-changes'
import { compareSlots } from '@taskfleet/testkit/schedules/compare-slots'
import { CRONS } from '@taskfleet/testkit/schedules/crons'
import { describe, expect, test } from 'vitest'

const [since, until] = [Date.UTC(2026, 0, 1), Date.UTC(2027, 0, 1)]
/** Changes of an hour at night, of half an hour in the southern hemisphere, and of an hour at and before midnight. */
const ZONES = ['Europe/Berlin', 'Australia/Lord_Howe', 'Africa/Cairo', 'America/Godthab']

describe('around a clock change, the slots equal those of a count minute by minute', () => {
  test.each(ZONES)('in %s', (zone) => {
    const clock = ClockChanges.of(zone, since, until)
    expect(clock.moments.length).toBeGreaterThan(0)
    for (const change of clock.moments) for (const cron of CRONS) compareSlots(cron, zone, clock, change)
  })
})
