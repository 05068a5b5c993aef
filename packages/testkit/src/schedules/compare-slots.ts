import { missedSlots, nextSlots } from '@taskfleet/core/internal'
import { expect } from 'vitest'
import type { ClockChanges } from './clock-changes.ts'
import { countedSlots } from './counted-slots.ts'

const HOUR_MS = 3_600_000
/** With many scheduled times, fewer hours are enough. */
const MANY = 60
/** How many are computed backwards, which takes a search for each. */
const BACKWARDS = 4

/** Checks that the schedules' own times around a change of the clock equal the counted ones, in both directions. */
export function compareSlots(cron: string, timeZone: string, clock: ClockChanges, change: number): void {
  const where = `${cron} in ${timeZone} around ${new Date(change).toISOString()}`
  let [since, until] = [change - 27 * HOUR_MS, change + 27 * HOUR_MS]
  let counted = countedSlots(cron, clock, since, until)
  if (counted.length > MANY) {
    ;[since, until] = [change - 2 * HOUR_MS, change + 2 * HOUR_MS]
    counted = counted.filter((slot) => slot >= since && slot <= until)
  }
  const shown = (slots: readonly number[]): string[] => slots.map((slot) => new Date(slot).toISOString())
  const timing = { cron, timeZone }
  const ahead = nextSlots(timing, new Date(since - 1), counted.length + 1)
    .map((slot) => slot.getTime())
    .filter((slot) => slot <= until)
  expect(shown(ahead), where).toEqual(shown(counted))
  const first = counted[0]
  if (first === undefined) return
  const back = missedSlots(timing, new Date(first), new Date(until), BACKWARDS)
  expect(shown(back.slots.map((slot) => slot.getTime())), `${where}, backwards`).toEqual(
    shown(counted.slice(-BACKWARDS)),
  )
}
