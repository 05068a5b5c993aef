import { z } from 'zod'
import { MISSED_POLICIES, OVERLAP_POLICIES, type ScheduleRow } from '../protocol.ts'
import { budget, budgetRow } from './tasks.ts'
import { date, duration, hexId, name, priority, queueName } from './values.ts'

export const scheduleName = name.meta({ examples: ['nightly'] })
export const cron = z.string().meta({
  description: 'Five fields (minute, hour, day, month, weekday), or six with seconds first',
  examples: ['30 6 * * MON-FRI'],
})
export const timeZone = z.string().meta({ description: 'IANA', examples: ['Europe/Berlin'] })
const missed = z
  .enum(MISSED_POLICIES)
  .describe('Slots that passed while no worker was there: none is run, the last one, or each (the latest 100)')
const overlap = z
  .enum(OVERLAP_POLICIES)
  .describe('Whether a slot is left out while a task of the schedule has not ended')
const version = z.int().min(1)
const maxAttempts = z.int().min(1).max(50)

export const schedule = z
  .looseObject({
    _id: scheduleName,
    task: name,
    version,
    input: z.unknown().optional(),
    options: z.object({
      queue: queueName,
      priority: z.int().min(1).max(10).optional(),
      lazy: z.boolean().optional(),
      maxAttempts: maxAttempts.optional(),
      ...budgetRow,
      deadlineAfter: z.int().optional().describe('The deadline of each task, in milliseconds after its slot'),
    }),
    cron: cron.optional(),
    every: z.int().optional().describe('A period in milliseconds, counted from startsAt'),
    timeZone,
    startsAt: date.optional(),
    endsAt: date.optional(),
    missed,
    overlap,
    paused: z.boolean(),
    nextAt: date.optional().describe('The slot that comes next; absent while it is paused and when it is over'),
    lastSlot: date.optional().describe('The last slot for which a task was made'),
    lastTask: hexId.optional().describe('The last task that was made, for a slot or by hand'),
    lastSkipped: z
      .object({ slot: date, reason: z.enum(['MISSED', 'OVERLAP']) })
      .optional()
      .describe('The last slot for which none was made'),
    by: z.string(),
    createdAt: date,
    updatedAt: date,
    edition: z.int().describe('Plus one with every change that somebody makes; its ETag'),
    rev: z.int().describe('Plus one with every write'),
  } satisfies Record<keyof ScheduleRow, z.ZodType>)
  .meta({ id: 'Schedule', title: 'Says: at these times, run this task' })

const options = z.looseObject({
  queue: queueName.optional(),
  priority: priority.optional(),
  lazy: z.boolean().optional(),
  maxAttempts: maxAttempts.optional(),
  ...budget,
  deadlineAfter: duration.optional(),
})

const fields = {
  task: name,
  version: version.optional(),
  input: z.unknown().optional(),
  options: options.optional(),
  cron: cron.optional(),
  every: duration.optional().describe('In place of cron: a period of 1 s at least, counted from startsAt'),
  timeZone: timeZone.optional(),
  startsAt: date.optional(),
  endsAt: date.optional(),
  missed: missed.optional(),
  overlap: overlap.optional(),
  paused: z.boolean().optional(),
}

export const newSchedule = z.looseObject({ _id: scheduleName, ...fields }).meta({
  id: 'NewSchedule',
  title: 'A schedule to be made',
  examples: [{ _id: 'nightly', task: 'report', cron: '30 3 * * *', timeZone: 'Europe/Berlin' }],
})

export const scheduleChanges = z
  .looseObject({
    ...fields,
    cron: cron.nullable(),
    every: duration.nullable(),
    startsAt: date.nullable(),
    endsAt: date.nullable(),
    edition: z.int().describe('Only if nobody has changed it since; as If-Match'),
  })
  .partial()
  .meta({
    id: 'ScheduleChanges',
    title: 'What is to change of a schedule; null takes away what need not be',
    examples: [{ cron: '0 4 * * *', options: { priority: 'high' } }],
  })
