import { z } from 'zod'
import { MISSED_POLICIES, OVERLAP_POLICIES } from '../protocol.ts'
import { budgetRow, taskOptions } from './tasks.ts'
import { date, duration, givenDate, hexId, name, object, queueName, strictObject } from './values.ts'

export const scheduleName = name.meta({ examples: ['nightly'] })
export const cron = z.string().meta({
  description: 'Five fields (minute, hour, day, month, weekday), or six with seconds first',
  examples: ['30 6 * * MON-FRI'],
})
export const timeZone = z.string().meta({ description: 'IANA', examples: ['Europe/Berlin'] })
const missed = z
  .enum(MISSED_POLICIES)
  .describe(
    'What to run for slots that were missed because no worker was there: none, the latest, or all (up to 100); `latest` by default',
  )
const overlap = z
  .enum(OVERLAP_POLICIES)
  .describe('Whether a slot is skipped while a task of the schedule has not ended; `allow` by default')
const version = z.int().min(1)
const maxAttempts = z.int().min(1).max(50)

export const schedule = object({
  /** Its name. */
  _id: scheduleName,
  /** The task's name. */
  task: name,
  /** The version of the task that the input is for. */
  version: version,
  /** Only if `fields` requests it. */
  input: z.unknown().exactOptional(),
  options: object({
    queue: queueName,
    priority: z.int().min(1).max(10).exactOptional(),
    lazy: z.boolean().exactOptional(),
    maxAttempts: maxAttempts.exactOptional(),
    ...budgetRow,
    deadlineAfter: z.int().exactOptional().describe('The deadline of each task, in milliseconds after its slot'),
  }),
  /** Five fields, or six with seconds first. Absent if there is `every`. */
  cron: cron.exactOptional(),
  every: z.int().exactOptional().describe('A period in milliseconds, counted from startsAt'),
  /** The IANA time zone of `cron`. */
  timeZone,
  startsAt: date.exactOptional(),
  endsAt: date.exactOptional(),
  missed,
  overlap,
  paused: z.boolean(),
  nextAt: date.exactOptional().describe('The next slot; absent while the schedule is paused and after its end'),
  lastSlot: date.exactOptional().describe('The last slot for which a task was made'),
  lastTask: hexId.exactOptional().describe('The last task that was made, for a slot or on request'),
  lastSkipped: object({ slot: date, reason: z.enum(['MISSED', 'OVERLAP']) })
    .exactOptional()
    .describe('The last slot for which no task was made'),
  by: z.string(),
  createdAt: date,
  updatedAt: date,
  /** Increases by one with every change of the settings, but not with slots. An edit can require it. */
  edition: z.int().describe('Increases by one with every change of the settings; the ETag'),
  rev: z.int().describe('Increases by one with every write'),
}).meta({ id: 'Schedule', title: 'At these times, run this task' })

const options = strictObject({
  ...taskOptions,
  /** The deadline of each task, after its slot. */
  deadlineAfter: duration.exactOptional().describe('The deadline of each task, this long after its slot'),
})
const orNull = Object.entries(options.shape).map(([option, schema]) => {
  const changed = schema.unwrap().nullable()
  return [option, schema.description === undefined ? changed : changed.describe(schema.description)]
})
const optionChanges = strictObject(Object.fromEntries(orNull) as Record<keyof typeof options.shape, z.ZodType>)
  .exactPartial()
  .describe('Only the given options change; null removes an option')

const every = 'Instead of `cron`: a period of at least 1 s, counted from `startsAt`'
const startsAt = 'There are no slots before this date. A period is counted from it; from now by default'
const endsAt = 'There are no slots after this date'

/** When a schedule runs. */
export const timing = {
  cron: cron.exactOptional(),
  every: duration.exactOptional().describe(every),
  /** IANA; `UTC` by default. */
  timeZone: timeZone.exactOptional().describe('The IANA time zone of `cron`, such as `Europe/Berlin`; UTC by default'),
  /** By default, a period is counted from now on. */
  startsAt: givenDate.exactOptional().describe(startsAt),
  endsAt: givenDate.exactOptional().describe(endsAt),
}

const fields = {
  task: name.describe('The name of the task'),
  version: version.exactOptional().describe('The version of the task that the input is for; 1 by default'),
  input: z.unknown().exactOptional().describe('The input of its tasks'),
  options: options.exactOptional(),
  ...timing,
  /** `latest` by default. */
  missed: missed.exactOptional(),
  /** `allow` by default. */
  overlap: overlap.exactOptional(),
  paused: z.boolean().exactOptional().describe('Its slots make no tasks until it is resumed'),
}

export const newSchedule = strictObject({
  /** Its name. */
  _id: scheduleName,
  ...fields,
}).meta({
  id: 'NewSchedule',
  title: 'A new schedule',
  examples: [{ _id: 'nightly', task: 'report', cron: '30 3 * * *', timeZone: 'Europe/Berlin' }],
})

export const scheduleChanges = strictObject({
  ...fields,
  options: optionChanges,
  cron: cron.nullable(),
  every: duration.nullable().describe(every),
  startsAt: givenDate.nullable().describe(startsAt),
  endsAt: givenDate.nullable().describe(endsAt),
  edition: z.int().describe('Only if the schedule still has this edition; like If-Match'),
})
  .exactPartial()
  .meta({
    id: 'ScheduleChanges',
    title: 'Changes to a schedule; null removes an optional field',
    examples: [{ cron: '0 4 * * *', options: { priority: 'high' } }],
    minProperties: 1,
  })
