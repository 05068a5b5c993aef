import { FleetError, MISSED_POLICIES, OVERLAP_POLICIES } from '@taskfleet/protocol'
import { durationWithin } from '@taskfleet/protocol/internal'
import { fieldsOf, parseTaskOptions, TASK_OPTIONS } from '../events/parse-event.ts'
import { parseBoolean, parseDate, parseName, parseOneOf } from '../task/parse-value.ts'
import type { ScheduleDocument, ScheduleOptions, ScheduleSettings, Timing } from './schedule-document.ts'
import { readCron, slotsOf } from './slots.ts'

export interface NewSchedule extends ScheduleSettings {
  _id: string
}

const SETTINGS = [
  'task',
  'version',
  'input',
  'options',
  'cron',
  'every',
  'timeZone',
  'startsAt',
  'endsAt',
  'missed',
  'overlap',
  'paused',
] as const
const OPTIONS = [...TASK_OPTIONS, 'deadlineAfter'] as const
const CRON_LIMIT = 256
const CRON_FIELDS = [
  ['second', '0-59'],
  ['minute', '0-59'],
  ['hour', '0-23'],
  ['day of the month', '1-31, L for the last one'],
  ['month', '1-12 or JAN-DEC'],
  ['day of the week', '0-7 or SUN-SAT, with #2 for the second of a month and L for the last'],
] as const
const ORDINALS = ['1st', '2nd', '3rd', '4th', '5th', '6th']
const ZONE = /^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/
const LONGEST_MS = 366 * 86_400_000

/**
 * @param now the server's time; a cron without a slot after it is rejected
 * @throws {FleetError} `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_NAME`, `BAD_CRON`, `BAD_EVERY`, `BAD_TIME_ZONE`, `BAD_DATE`,
 *   `BAD_VALUE`, `BAD_INPUT`, `INPUT_TOO_LARGE`, `BAD_QUEUE`, `OUT_OF_RANGE`
 */
export function parseSchedule(request: unknown, now: Date): NewSchedule {
  const { _id, ...asked } = fieldsOf(request, ['_id', ...SETTINGS])
  return { _id: parseScheduleName(_id, '_id'), ...parseSettings(asked, now) }
}

/**
 * A schedule's settings with changes applied. `null` removes an optional setting. Of `options`, only the given fields change.
 * `cron` and `every` replace each other.
 *
 * @throws {FleetError} as `parseSchedule`
 */
export function parseScheduleChanges(before: ScheduleDocument, changes: unknown, now: Date): ScheduleSettings {
  const asked = fieldsOf(changes, SETTINGS)
  if (Object.keys(asked).length === 0) {
    throw new FleetError('BAD_REQUEST', `There is nothing to change. Give at least one of ${SETTINGS.join(', ')}`)
  }
  const kept = Object.fromEntries(SETTINGS.map((field) => [field, before[field]]))
  if (isGiven(asked.cron)) kept.every = undefined
  if (isGiven(asked.every)) kept.cron = undefined
  const options =
    asked.options === undefined ? before.options : { ...before.options, ...fieldsOf(asked.options, OPTIONS) }
  return parseSettings(withoutNulls({ ...kept, ...asked, options: withoutNulls(options) }), now)
}

/** The changes that replace all settings: what is not given is removed or gets its default. */
export function settingsToReplace(asked: object): Record<string, unknown> {
  const none = (names: readonly string[]): object => Object.fromEntries(names.map((name) => [name, null]))
  const { options = {} } = asked as { options?: object }
  return { ...none(SETTINGS), ...asked, options: { ...none(OPTIONS), ...options } }
}

/** @throws {FleetError} `BAD_NAME` */
export function parseScheduleName(value: unknown, field = 'name'): string {
  // Over REST, the path `/schedules/preview` is used for previews.
  if (value === 'preview') throw new FleetError('BAD_NAME', "A schedule can't be called 'preview'", { field })
  return parseName(value, field, 'BAD_NAME')
}

function parseSettings(asked: Partial<Record<(typeof SETTINGS)[number], unknown>>, now: Date): ScheduleSettings {
  const { task, version = 1, input = {}, options = {}, missed = 'latest', overlap = 'allow', paused = false } = asked
  const { deadlineAfter, ...taskOptions } = fieldsOf(options, OPTIONS)
  const { made, given } = placed(() => parseTaskOptions({ name: task, version, input }, taskOptions))
  const policies = {
    missed: parseOneOf(missed, 'missed', MISSED_POLICIES),
    overlap: parseOneOf(overlap, 'overlap', OVERLAP_POLICIES),
  }
  if (policies.missed === 'all' && policies.overlap === 'skip') {
    const why = "'missed: all' makes tasks for all missed slots at once. It can't be combined with 'overlap: skip'"
    throw new FleetError('BAD_VALUE', why, { field: 'missed' })
  }
  return {
    task: made.name,
    version: made.version,
    input: made.input,
    options: {
      ...given,
      queue: made.queue,
      ...(deadlineAfter === undefined ? {} : { deadlineAfter: parseDeadlineAfter(deadlineAfter) }),
    } satisfies ScheduleOptions,
    ...parseTiming(asked, now),
    ...policies,
    paused: parseBoolean(paused, 'paused'),
  }
}

/**
 * @throws {FleetError} `BAD_CRON`, `BAD_EVERY`, `BAD_TIME_ZONE`, `BAD_DATE`, `BAD_VALUE`
 */
export function parseTiming(
  { cron, every, timeZone = 'UTC', startsAt, endsAt }: Partial<Record<keyof Timing, unknown>>,
  now: Date,
): Timing {
  if ((cron === undefined) === (every === undefined)) {
    throw new FleetError('BAD_REQUEST', "A schedule needs exactly one of 'cron' and 'every'", { field: 'cron' })
  }
  const zone = parseTimeZone(timeZone)
  const timing: Timing = {
    ...(cron === undefined ? { every: parseEvery(every) } : { cron: parseCron(cron, zone, now) }),
    timeZone: zone,
    ...(startsAt === undefined ? {} : { startsAt: parseDate(startsAt, 'startsAt') }),
    ...(endsAt === undefined ? {} : { endsAt: parseDate(endsAt, 'endsAt') }),
  }
  if (timing.startsAt !== undefined && timing.endsAt !== undefined && timing.endsAt < timing.startsAt) {
    throw new FleetError('BAD_VALUE', "'endsAt' is before 'startsAt'", { field: 'endsAt' })
  }
  return timing
}

/** @returns the cron with single spaces. @throws {FleetError} `BAD_CRON` */
function parseCron(value: unknown, timeZone: string, now: Date): string {
  const parts = typeof value === 'string' && value.length <= CRON_LIMIT ? value.trim().split(/\s+/) : []
  if (parts.length !== 5 && parts.length !== 6) {
    const had = parts.length === 0 || parts[0] === '' ? '' : `; this one has ${parts.length}`
    throw badCron(`A cron has 5 fields (minute, hour, day, month, weekday), or 6 with seconds first${had}`)
  }
  const cron = parts.join(' ')
  const named = CRON_FIELDS.slice(6 - parts.length)
  parts.forEach((part, index) => {
    // Each field is tried alone, so that the error can name the invalid one.
    const alone = named.map((_, at) => (at === index ? part : '*')).join(' ')
    if (readable(alone, timeZone)) return
    const [name, takes] = named[index]!
    throw badCron(`'${part}', the ${ORDINALS[index]} field of the cron, is not a valid ${name}: allowed are ${takes}`)
  })
  if (!readable(cron, timeZone)) throw badCron(`'${cron}' is not a valid cron`)
  if (slotsOf({ cron, timeZone })(now) === null)
    throw badCron(`The cron '${cron}' never matches: there is no such date`)
  return cron
}

function readable(cron: string, timeZone: string): boolean {
  try {
    readCron(cron, timeZone)
    return true
  } catch {
    return false
  }
}

const badCron = (message: string): FleetError => new FleetError('BAD_CRON', message, { field: 'cron' })

/** @throws {FleetError} `BAD_TIME_ZONE` */
function parseTimeZone(value: unknown): string {
  if (typeof value === 'string' && ZONE.test(value) && isKnownZone(value)) return value
  throw new FleetError('BAD_TIME_ZONE', "'timeZone' must be an IANA time zone, such as Europe/Berlin or UTC", {
    field: 'timeZone',
  })
}

function isKnownZone(timeZone: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
    return true
  } catch {
    return false
  }
}

/** @throws {FleetError} `BAD_EVERY` */
const parseEvery = (value: unknown): number =>
  durationWithin(value, 'every', { least: 1_000, most: LONGEST_MS, code: 'BAD_EVERY' })

const parseDeadlineAfter = (value: unknown): number =>
  durationWithin(value, 'options.deadlineAfter', { least: 1_000, most: LONGEST_MS })

/** Makes errors about the task name the schedule's field. */
function placed<T>(parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof FleetError) || error.field === undefined) throw error
    const { code, message, field } = error
    const inOptions = (OPTIONS as readonly string[]).includes(field.split('.')[0]!)
    throw new FleetError(code, message, {
      field: field === 'name' ? 'task' : inOptions ? `options.${field}` : field,
    })
  }
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null

const withoutNulls = (fields: object): object =>
  Object.fromEntries(Object.entries(fields).filter(([, v]) => isGiven(v)))
