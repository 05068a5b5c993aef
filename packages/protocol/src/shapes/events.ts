import { z } from 'zod'
import { budgetRow, taskOptions } from './tasks.ts'
import { date, givenDate, hexId, name, object, priority, queueName, strictObject } from './values.ts'

const eventName = name.meta({ examples: ['Add'] })
const anyObject = z.record(z.string(), z.unknown())
export const eventStatus = z.enum(['scheduled', 'processing', 'finished', 'failed', 'cancelled'])

export const event = object({
  _id: hexId,
  name: eventName,
  props: z.unknown(),
  scheduledFor: date,
  priority: z.int().min(1).max(10).exactOptional(),
  status: eventStatus.describe('Follows its tasks'),
  tasks: z.array(hexId),
  results: z
    .array(
      object({
        task: hexId,
        name,
        status: z.enum(['completed', 'failed', 'cancelled']),
        output: z.unknown().exactOptional(),
        error: object({ code: z.string(), message: z.string() }).exactOptional(),
      }),
    )
    .exactOptional()
    .describe('The results of its tasks; set when all have ended'),
  by: z.string().exactOptional().describe('The key that posted it'),
  createdAt: date,
  startedAt: date.exactOptional(),
  processedAt: date.exactOptional(),
  updatedAt: date,
  rev: z.int(),
}).meta({ id: 'Event', title: 'Something that happened or will happen, with a task for each callback of its name' })

export const newEvent = strictObject({
  _id: hexId.exactOptional().describe('Makes a request safe to repeat'),
  name: eventName,
  props: anyObject.exactOptional().describe("The input of its tasks; takes precedence over the callback's input"),
  scheduledFor: givenDate.exactOptional().describe('When its tasks are due; at once by default'),
  priority: priority
    .exactOptional()
    .describe('The priority of its tasks: 1 to 10, higher first, or `low`, `medium`, `high`'),
}).meta({ id: 'NewEvent', title: 'A new event', examples: [{ name: 'Add', props: { a: 1, b: 2 } }] })

export const callback = object({
  _id: hexId,
  event: eventName,
  task: name,
  version: z.int().min(1),
  defaults: object({
    input: anyObject.exactOptional(),
    queue: queueName.exactOptional(),
    lazy: z.boolean().exactOptional(),
    maxAttempts: z.int().min(1).max(50).exactOptional(),
    priority: z.int().min(1).max(10).exactOptional(),
    ...budgetRow,
  }),
  createdAt: date,
  updatedAt: date,
  rev: z.int(),
}).meta({ id: 'Callback', title: 'When an event of this name arrives, run this task' })

const callbackFields = {
  event: eventName.describe('The name of the events'),
  task: name.describe('The name of the task'),
  version: z.int().min(1).exactOptional().describe('The version of the task that the input is for; 1 by default'),
  defaults: strictObject({
    input: anyObject.exactOptional().describe("The input of its tasks; the event's props take precedence over it"),
    ...taskOptions,
  }).exactOptional(),
}

export const newCallback = strictObject({ _id: hexId.exactOptional(), ...callbackFields }).meta({
  id: 'NewCallback',
  title: 'A new callback',
  examples: [{ event: 'Add', task: 'addition' }],
})

export const callbackChanges = strictObject({ ...callbackFields, rev: z.int() })
  .exactPartial()
  .meta({
    id: 'CallbackChanges',
    title: 'Changes to a callback',
    examples: [{ defaults: { priority: 'high' } }],
  })
