import { Cron } from 'croner'
import type { Timing } from './schedule-document.ts'

/** Croner's slots are on whole seconds, so two slots are never closer than this. */
const SECOND_MS = 1_000
const DAY_MS = 86_400_000

/**
 * Returns the first slot after a moment, or null when there is none. If a clock change skips a time of day, its slot runs at
 * the end of the gap. If a time comes twice, the slot runs the first time. But a cron with a wildcard, range or step in its
 * seconds, minutes or hours runs as real time passes.
 */
export type NextSlot = (after: Date) => Date | null

/** Parses the timing once for many calls. @throws croner's error for an invalid cron */
export function slotsOf({ cron, every, timeZone, startsAt, endsAt }: Timing): NextSlot {
  const from = startsAt?.getTime() ?? Number.NEGATIVE_INFINITY
  const until = endsAt?.getTime() ?? Number.POSITIVE_INFINITY
  const next = every === undefined ? cronSlots(cron ?? '', timeZone) : periods(every, startsAt?.getTime() ?? 0)
  return (after) => {
    const slot = next(Math.max(after.getTime(), from - 1))
    return slot === null || slot > until ? null : new Date(slot)
  }
}

export function nextSlot(timing: Timing, after: Date): Date | null {
  return slotsOf(timing)(after)
}

/** The first slots after a moment, at most `count`. */
export function nextSlots(timing: Timing, after: Date, count: number): Date[] {
  const next = slotsOf(timing)
  const slots: Date[] = []
  for (let slot = next(after); slot !== null && slots.length < count; slot = next(slot)) slots.push(slot)
  return slots
}

/**
 * The latest slots from the slot `first` up to `now`: at most `limit`, the earliest of them first. If there are more, `before`
 * is the last slot that is left out.
 */
export function missedSlots(
  timing: Timing,
  first: Date,
  now: Date,
  limit: number,
): { slots: Date[]; before: Date | null } {
  const next = slotsOf(timing)
  const slots: Date[] = []
  let slot = latestSlot(next, first, new Date(now.getTime() + 1))
  while (slot !== null && slots.length < limit) {
    slots.unshift(slot)
    slot = latestSlot(next, first, slot)
  }
  return { slots, before: slot }
}

/**
 * The last slot before a moment, from the slot `first` on. It is found by computing the next slots of other moments, so that
 * both directions agree in every time zone. Its cost hardly depends on how long no worker ran.
 */
function latestSlot(next: NextSlot, first: Date, before: Date): Date | null {
  const [floor, end] = [first.getTime(), before.getTime()]
  if (floor >= end) return null
  const slotAfter = (moment: number): number => next(new Date(moment))?.getTime() ?? Number.POSITIVE_INFINITY
  let back = SECOND_MS
  while (end - back > floor && slotAfter(end - back) >= end) back *= 2
  let [found, empty] = [Math.max(floor - 1, end - back), end - 1]
  // Another host may have other time zone data. A slot that it has stored counts as a slot.
  if (slotAfter(found) >= end) return first
  while (empty - found > 1 && slotAfter(slotAfter(found)) < end) {
    const middle = Math.floor((found + empty) / 2)
    if (slotAfter(middle) < end) found = middle
    else empty = middle
  }
  return new Date(slotAfter(found))
}

function cronSlots(cron: string, timeZone: string): (after: number) => number | null {
  const read = readCron(cron, timeZone)
  const leftOut = isTimeOfDay(cron) ? slotsLeftOut(readCron(cron, 'UTC'), timeZone) : () => null
  return (after) => {
    const slot = read.nextRun(new Date(after))?.getTime() ?? null
    const skipped = leftOut(after)
    return skipped !== null && skipped > after && (slot === null || skipped < slot) ? skipped : slot
  }
}

/** Croner loses a skipped time if the gap ends on the next day, as in Nuuk. This adds the slot at the gap's end. */
function slotsLeftOut(onTheWall: Cron, timeZone: string): (after: number) => number | null {
  const offset = offsetOf(timeZone)
  return (after) => {
    const wall = onTheWall.nextRun(new Date(after + offset(after)))?.getTime()
    if (wall === undefined) return null
    let [before, past] = [wall - offset(wall - DAY_MS) - DAY_MS / 2, wall - offset(wall - DAY_MS)]
    const old = offset(before)
    const isShown = [past, wall - offset(past)].some((moment) => moment + offset(moment) === wall)
    if (isShown) return null
    while (past - before > SECOND_MS) {
      const middle = before + Math.floor((past - before) / (2 * SECOND_MS)) * SECOND_MS
      if (offset(middle) === old) before = middle
      else past = middle
    }
    return past
  }
}

/** A time zone's offset from UTC at a moment, in milliseconds. */
function offsetOf(timeZone: string): (moment: number) => number {
  const format = new Intl.DateTimeFormat('en', { timeZone, timeZoneName: 'longOffset' })
  return (moment) => {
    const [, sign, hours, minutes] = /GMT([+-])(\d+):(\d+)/.exec(format.format(moment)) ?? []
    return sign === undefined ? 0 : (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * 60_000
  }
}

const isTimeOfDay = (cron: string): boolean =>
  !cron
    .split(' ')
    .slice(0, -3)
    .some((field) => /[*/-]/.test(field))

/** @throws croner's error for an invalid cron; an unknown time zone fails only when slots are computed */
export function readCron(cron: string, timeZone: string): Cron {
  const options = { timezone: timeZone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard', paused: true } as const
  return new Cron(withStepsForRanges(cron), options)
}

/** Croner treats a range as a list of times of day, but a range with a step as running in real time. This adds the step. */
function withStepsForRanges(cron: string): string {
  const fields = cron.split(' ')
  const times = fields.length - 3
  const asStep = (field: string): string => field.replace(/(^|,)(\d+-\d+)(?=,|$)/g, '$1$2/1')
  return fields.map((field, index) => (index < times ? asStep(field) : field)).join(' ')
}

function periods(every: number, anchor: number): (after: number) => number {
  return (after) => anchor + Math.max(0, Math.floor((after - anchor) / every) + 1) * every
}
