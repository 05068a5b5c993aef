import type { ClockChanges } from './clock-changes.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000
const NAMES: Record<string, number> = Object.fromEntries(
  [
    ['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'].map((name, n) => [
      name,
      n + 1,
    ]),
    ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'].map((name, n) => [name, n]),
  ].flat() as [string, number][],
)

/**
 * The times of a cron by the rule of `docs/tasks.md`, found by checking minute after minute: slow, simple, and independent of
 * the schedules' own code.
 */
export function countedSlots(cron: string, clock: ClockChanges, since: number, until: number): number[] {
  const fields = cron.split(' ')
  const [second, minute, hour, day, month, weekday] = (fields.length === 5 ? ['0', ...fields] : fields) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ]
  const seconds = Array.from({ length: 60 }, (_, at) => at).filter((at) => takes(second, at, 0))
  const [minutes, hours] = [numbersOf(minute, 60), numbersOf(hour, 24)]
  const isSlot = (wall: number): boolean =>
    minutes.has(Math.floor(wall / MINUTE_MS) % 60) &&
    hours.has(Math.floor(wall / HOUR_MS) % 24) &&
    isDay(wall, day, month, weekday)
  const slots = new Set<number>()
  const passes = [second, minute, hour].some((field) => /[*/-]/.test(field))
  if (passes) {
    // In real time: the local time of a moment decides.
    for (let at = since; at <= until; at += MINUTE_MS) {
      if (isSlot(clock.wall(at))) for (const second of seconds) slots.add(at + second * 1_000)
    }
  } else {
    // A time of day: each runs once, even if it is skipped or repeated.
    for (let wall = clock.wall(since) - DAY_MS / 2; wall <= clock.wall(until) + DAY_MS / 2; wall += MINUTE_MS) {
      if (!isSlot(wall)) continue
      for (const second of seconds) {
        const [first] = clock.momentsOf(wall + second * 1_000)
        slots.add(first ?? clock.jumpOver(wall + second * 1_000))
      }
    }
  }
  return [...slots].filter((slot) => slot >= since && slot <= until).sort((a, b) => a - b)
}

const numbersOf = (field: string, count: number): Set<number> =>
  new Set(Array.from({ length: count }, (_, at) => at).filter((at) => takes(field, at, 0)))

/** Whether a plain field takes a number: `*`, numbers, names, lists, ranges and steps from the range's start. */
function takes(field: string, value: number, least: number): boolean {
  return field.split(',').some((part) => {
    const [range, step = '1'] = part.split('/') as [string, string?]
    if (range === '*') return (value - least) % Number(step) === 0
    const [from, to = from] = range.split('-').map((text) => NAMES[text.toUpperCase()] ?? Number(text)) as [
      number,
      number?,
    ]
    return value >= from && value <= to && (value - from) % Number(step) === 0
  })
}

function isDay(wall: number, day: string, month: string, weekday: string): boolean {
  const date = new Date(wall)
  if (!takes(month, date.getUTCMonth() + 1, 1)) return false
  const byDay = day.split(',').some((part) => isMonthsDay(part, date))
  const byWeekday = weekday.split(',').some((part) => isWeekday(part, date))
  // A day and a weekday together mean either.
  if (day !== '*' && weekday !== '*') return byDay || byWeekday
  return day === '*' ? byWeekday : byDay
}

const lastOf = (date: Date): number => new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate()

function isMonthsDay(part: string, date: Date): boolean {
  const today = date.getUTCDate()
  const last = lastOf(date)
  if (part === 'L') return today === last
  if (!part.endsWith('W')) return takes(part, today, 1)
  const wanted = Number(part.slice(0, -1))
  if (wanted > last) return false
  // The working day that is nearest, in the same month.
  const at = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), wanted)).getUTCDay()
  if (at === 6) return today === (wanted === 1 ? 3 : wanted - 1)
  if (at === 0) return today === (wanted === last ? last - 2 : wanted + 1)
  return today === wanted
}

function isWeekday(part: string, date: Date): boolean {
  const today = date.getUTCDate()
  const matches = (text: string): boolean =>
    takes(text, date.getUTCDay(), 0) || (date.getUTCDay() === 0 && takes(text, 7, 0))
  if (part.endsWith('L') && part.length > 1) return matches(part.slice(0, -1)) && today + 7 > lastOf(date)
  const [name, nth] = part.split('#') as [string, string?]
  return matches(name) && (nth === undefined || Math.ceil(today / 7) === Number(nth))
}
