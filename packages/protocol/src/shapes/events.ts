import { z } from 'zod'
import { budget, budgetRow } from './tasks.ts'
import { date, hexId, name, object, priority, queueName } from './values.ts'

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
    .describe('How its tasks ended; there when all have'),
  createdAt: date,
  startedAt: date.exactOptional(),
  processedAt: date.exactOptional(),
  updatedAt: date,
  rev: z.int(),
}).meta({ id: 'Event', title: 'Something that happened or will happen, with a task for each callback of its name' })

export const newEvent = z
  .looseObject({
    _id: hexId.optional().describe('Makes a repeated request harmless'),
    name: eventName,
    props: anyObject.optional().describe('What its tasks get as input, over the defaults of their callback'),
    scheduledFor: date.optional().describe('When its tasks become active; at once by default'),
    priority: priority.optional().describe('Of its tasks: 1 to 10, or low, medium, high'),
  })
  .meta({ id: 'NewEvent', title: 'An event to be posted', examples: [{ name: 'Add', props: { a: 1, b: 2 } }] })

const common = {
  input: anyObject.optional(),
  queue: queueName.optional(),
  priority: priority.optional(),
  lazy: z.boolean().optional(),
  maxAttempts: z.int().min(1).max(50).optional(),
}
const defaults = z.looseObject({ ...common, ...budget })
const storedDefaults = object({
  input: anyObject.exactOptional(),
  queue: queueName.exactOptional(),
  priority: z.int().min(1).max(10).exactOptional(),
  lazy: z.boolean().exactOptional(),
  maxAttempts: z.int().min(1).max(50).exactOptional(),
  ...budgetRow,
})

export const callback = object({
  _id: hexId,
  event: eventName,
  task: name,
  version: z.int().min(1),
  defaults: storedDefaults,
  createdAt: date,
  updatedAt: date,
  rev: z.int(),
}).meta({ id: 'Callback', title: 'Says: when an event of this name arrives, run this task' })

const callbackFields = {
  event: eventName,
  task: name,
  version: z.int().min(1).optional(),
  defaults: defaults.optional(),
}

export const newCallback = z
  .looseObject({ _id: hexId.optional(), ...callbackFields })
  .meta({ id: 'NewCallback', title: 'A callback to be made', examples: [{ event: 'Add', task: 'addition' }] })

export const callbackChanges = z
  .looseObject({ ...callbackFields, rev: z.int().optional() })
  .partial()
  .meta({
    id: 'CallbackChanges',
    title: 'What is to change of a callback',
    examples: [{ defaults: { priority: 'high' } }],
  })
