import type { ScheduleRow } from '@taskfleet/protocol'

export const DAY_MS = 86_400_000
/** So many times of a cron are requested: the most that one request answers. */
export const SLOTS_ASKED = 100
/** A schedule with more runs than this in a day is one line. */
const LINES_EACH = 4
/** A schedule that is due for longer than this is late: workers create its tasks within seconds. */
const LATE_MS = 60_000

export interface Firing {
  schedule: ScheduleRow
  /** In milliseconds. */
  at: number
}

/** Many runs of a schedule in one line. */
export interface Repeated extends Firing {
  count: number
  /** The time between two runs; undefined if it varies. */
  everyMs: number | undefined
  /** There are more than were requested, and `count` follows from their distance. */
  isEstimate: boolean
}

export interface Agenda {
  /** Due, but no worker has created their tasks; and times of the last day that were left out. The latest first. */
  missed: Firing[]
  /** Single runs in their order. */
  once: Firing[]
  often: Repeated[]
}

/** The times of a period from the next one on, which need no request. */
function timesOfPeriod({ every = 0, nextAt = '', endsAt }: ScheduleRow, until: number): number[] {
  const end = endsAt === undefined ? until : Math.min(until, Date.parse(endsAt))
  const first = Date.parse(nextAt)
  return Array.from({ length: Math.max(0, Math.floor((end - first) / every) + 1) }, (_, n) => first + n * every)
}

/**
 * What schedules do within the next day, and what they have missed.
 *
 * @param slots the next times of each cron in milliseconds, at most `SLOTS_ASKED`, by the schedule's name
 * @param now the server's time in milliseconds
 */
export function agendaOf(
  schedules: readonly ScheduleRow[],
  slots: ReadonlyMap<string, readonly number[]>,
  now: number,
): Agenda {
  const agenda: Agenda = { missed: [], once: [], often: [] }
  const until = now + DAY_MS
  for (const schedule of schedules) {
    const { _id, paused, nextAt, every, lastSkipped } = schedule
    const skippedAt = lastSkipped?.reason === 'MISSED' ? Date.parse(lastSkipped.slot) : 0
    if (skippedAt > now - DAY_MS) agenda.missed.push({ schedule, at: skippedAt })
    if (paused || nextAt === undefined) continue
    const next = Date.parse(nextAt)
    if (next < now - LATE_MS) agenda.missed.push({ schedule, at: next })
    const known = every === undefined ? (slots.get(_id) ?? [next]) : timesOfPeriod(schedule, until)
    const times = known.filter((at) => at >= now - LATE_MS && at <= until)
    const [at] = times
    if (at === undefined) continue
    if (times.length <= LINES_EACH) agenda.once.push(...times.map((time) => ({ schedule, at: time })))
    else agenda.often.push({ schedule, at, ...repetition(times, every === undefined, until) })
  }
  agenda.missed.sort((a, b) => b.at - a.at)
  agenda.once.sort((a, b) => a.at - b.at)
  agenda.often.sort((a, b) => a.at - b.at)
  return agenda
}

function repetition(
  times: readonly number[],
  isCron: boolean,
  until: number,
): Pick<Repeated, 'count' | 'everyMs' | 'isEstimate'> {
  const [first = 0, second = 0] = times
  const gap = second - first
  const everyMs = times.every((at, index) => at === first + index * gap) ? gap : undefined
  const isEstimate = isCron && times.length >= SLOTS_ASKED
  const count = isEstimate && everyMs !== undefined ? Math.floor((until - first) / everyMs) + 1 : times.length
  return { count, everyMs, isEstimate }
}
