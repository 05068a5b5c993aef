import { ClockChanges } from '@taskfleet/testkit/schedules/clock-changes'
import { compareSlots } from '@taskfleet/testkit/schedules/compare-slots'
import { CRONS } from '@taskfleet/testkit/schedules/crons'
import { describe, expect, test } from 'vitest'

const [since, until] = [Date.UTC(2026, 0, 1), Date.UTC(2027, 0, 1)]
/** An hour at night, half an hour on the other half of the world, and an hour at and before midnight. */
const ZONES = ['Europe/Berlin', 'Australia/Lord_Howe', 'Africa/Cairo', 'America/Godthab']

describe('around a change of the clock the slots are those that are counted by the minute', () => {
  test.each(ZONES)('in %s', (zone) => {
    const clock = ClockChanges.of(zone, since, until)
    expect(clock.moments.length).toBeGreaterThan(0)
    for (const change of clock.moments) for (const cron of CRONS) compareSlots(cron, zone, clock, change)
  })
})
