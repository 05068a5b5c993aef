import { allClockChanges } from '@taskfleet/testkit/schedules/clock-changes'
import { compareSlots } from '@taskfleet/testkit/schedules/compare-slots'
import { CRONS } from '@taskfleet/testkit/schedules/crons'
import { describe, expect, test } from 'vitest'

const world = allClockChanges(Intl.supportedValuesOf('timeZone'), Date.UTC(2026, 0, 1), Date.UTC(2029, 0, 1))

describe('the slots equal those of a count minute by minute, around every clock change from 2026 to 2028', () => {
  test('of which there are some, for crons of every form', () => {
    expect(world.size).toBeGreaterThan(20)
    expect(CRONS.length).toBeGreaterThanOrEqual(40)
  })

  test.each([...world.keys()])('in %s', (zone) => {
    const clock = world.get(zone)!
    for (const change of clock.moments) for (const cron of CRONS) compareSlots(cron, zone, clock, change)
  })
})
