import { z } from 'zod'
import {
  type AuditEntry,
  type EnqueueRequest,
  EXPLAIN_CODES,
  FAILURE_COUNTS,
  IF_FAILED,
  STATUSES,
  type TaskChanges,
  type TaskRow,
} from '../protocol.ts'
import { count, date, duration, filter, hexId, name, priority, queueName, reason, wireError } from './values.ts'

export const taskStatus = z.enum(STATUSES).meta({ id: 'TaskStatus', title: 'Status of a task' })
const predecessors = z.union([hexId, z.array(hexId).max(100)])
const ifFailed = z
  .enum(IF_FAILED)
  .describe('What it does when a task of `after` fails, is cancelled or is removed; `fail` by default')

export const taskError = z
  .object({
    code: z.string(),
    name: z.string(),
    message: z.string(),
    fingerprint: z.string().describe('Equal for errors that are the same fault'),
    stack: z.string().optional(),
  })
  .meta({ id: 'TaskError', title: 'Error of an attempt' })

export const attempt = z
  .object({
    n: z.int().min(1),
    worker: z.string(),
    claimedAt: date,
    endedAt: date.optional(),
    outcome: z
      .enum(['completed', 'failed', 'lost', 'released', 'paused', 'cancelled', 'snoozed', 'deferred'])
      .optional(),
    error: taskError.optional(),
    survived: z.literal(true).optional(),
  })
  .meta({ id: 'Attempt', title: 'One claim of a task' })

/** All fields but `at` come from the handler. */
export const progress = z
  .object({
    ratio: z.number().optional(),
    done: z.number().optional(),
    total: z.number().optional(),
    unit: z.string().optional(),
    message: z.string().optional(),
    at: date,
  })
  .meta({ id: 'Progress', title: 'How far a task is' })

const EXAMPLE = {
  _id: '66f1c0ffee0123456789abcd',
  name: 'download',
  version: 2,
  input: { url: 'https://files.example/large.iso', file: 'large.iso' },
  status: 'pending',
  queue: 'default',
  priority: 8,
  basePriority: 8,
  runAt: '2027-03-01T12:00:00.000Z',
  order: '2027-03-01T12:00:00.000Z',
  lazy: false,
  attempt: 0,
  failures: 0,
  lost: 0,
  maxAttempts: 5,
  attempts: [],
  attemptsDropped: 0,
  rev: 1,
  createdAt: '2027-03-01T12:00:00.000Z',
  updatedAt: '2027-03-01T12:00:00.000Z',
}

const limit = z.int().min(1).describe('In milliseconds; the task has it in place of its handler')
const counts = z
  .enum(FAILURE_COUNTS)
  .describe('`without-progress`: a failed attempt that changed the checkpoint sets `failures` back to 0')
const decay = z.boolean().describe('Whether each failure costs a step of priority')
const factor = z.number().min(1).max(1_000)

const storedRetry = z
  .object({
    backoff: z
      .object({ base: count, factor, cap: count, jitter: z.boolean() })
      .partial()
      .optional()
      .describe('Times in milliseconds'),
    decay: decay.optional(),
    counts: counts.optional(),
  })
  .meta({ id: 'TaskRetry', title: 'What a task says of its retries; its handler decides the rest' })

const retry = z
  .strictObject({
    maxAttempts: z.int().min(1).max(50).optional().describe('Wins over the field of that name'),
    backoff: z
      .strictObject({
        kind: z.enum(['fixed', 'exponential']),
        base: duration,
        factor,
        cap: duration,
        jitter: z.boolean(),
      })
      .partial()
      .optional(),
    decay: decay.optional(),
    counts: counts.optional(),
  })
  .meta({
    id: 'RetryOptions',
    title: 'When a failed task is tried again, and how often',
    examples: [{ maxAttempts: 8, counts: 'without-progress', backoff: { base: '5s', cap: '10m' } }],
  })

/** What a task may have of its own in place of its handler's. */
export const budget = {
  retry: retry.optional(),
  timeout: duration.optional().describe('How long one attempt may take; the handler decides by default'),
  totalTimeout: duration
    .optional()
    .describe('How long the task may take from its first claim on, waiting between attempts included'),
  stall: duration.optional().describe('How long an attempt may report no new progress and save no new checkpoint'),
}

/** The same as it is stored. */
export const budgetRow = {
  retry: storedRetry.optional(),
  timeout: limit.optional(),
  totalTimeout: limit.optional(),
  stall: limit.optional(),
}

const taskFields = {
  _id: hexId,
  name,
  version: z.int().min(1),
  input: z.unknown().optional(),
  output: z.unknown().optional(),
  status: taskStatus,
  queue: queueName,
  priority: z.int().min(1).max(10).describe('The effective one'),
  basePriority: z.int().min(1).max(10).describe('The one that was asked for'),
  runAt: date,
  order: date,
  deadline: date.optional(),
  raiseAt: date.optional(),
  deadlineMissedAt: date.optional(),
  lazy: z.boolean(),
  attempt: count.describe('Claims so far'),
  failures: count,
  lost: count,
  maxAttempts: z.int().min(1).max(50),
  ...budgetRow,
  checkpointAttempt: count.optional().describe('The latest attempt that changed the checkpoint'),
  attempts: z.array(attempt).optional(),
  attemptsDropped: count.optional(),
  worker: z.string().optional(),
  publicUrl: z.string().optional(),
  control: z
    .object({ action: z.enum(['cancel', 'pause']), by: z.string(), reason: z.string().optional(), at: date })
    .optional(),
  progress: progress.optional(),
  checkpoint: z.unknown().optional(),
  error: taskError.optional(),
  key: z.string().optional(),
  parent: hexId.optional(),
  after: predecessors
    .optional()
    .describe('What it waits for: an id when it is one task, a list when there are several'),
  ifFailed: ifFailed.optional(),
  replayOf: hexId.optional(),
  schedule: name.optional().describe('The schedule that made it'),
  event: hexId.optional(),
  rev: z.int().min(1).describe('Plus one with every write'),
  createdAt: date,
  updatedAt: date,
  claimedAt: date.optional(),
  startedAt: date.optional(),
  finishedAt: date.optional(),
  expireAt: date.optional(),
} satisfies Record<keyof TaskRow, z.ZodType>

export const task = z.object(taskFields).meta({
  id: 'Task',
  title: 'Task',
  description: 'A task as it is stored, without what proves a claim',
  examples: [EXAMPLE],
})

/** What storing a task answers with. */
export const storedTask = task
  .extend({ served: z.literal(false).optional().describe('No live worker has a handler for it in its queue yet') })
  .meta({ id: 'StoredTask', title: 'A task as it was stored', examples: [EXAMPLE] })

/** What a list holds: `fields` may leave out all but the id. */
export const taskRow = z.object({ ...z.object(taskFields).partial().shape, _id: hexId }).meta({
  id: 'TaskRow',
  title: 'Task in a list',
  description: 'Without input, output, attempts and checkpoint, or just what `fields` asks for',
})

const newTaskFields = {
  _id: hexId.optional().describe('Makes a repeated request harmless: the same id with the same content is one task'),
  name,
  version: z.int().min(1).max(1_000_000).optional().describe('1 by default'),
  input: z.unknown().optional().describe('Any JSON up to 256 KiB; `{}` by default'),
  priority: priority.optional(),
  runAt: date.optional().describe('Now by default'),
  deadline: date.optional(),
  position: z.enum(['front', 'back']).optional(),
  lazy: z.boolean().optional().describe('Runs only while the machine is not overloaded'),
  key: z.string().min(1).max(256).optional().describe('Unique among tasks that have not ended'),
  keyPolicy: z.enum(['reject', 'return', 'replace']).optional(),
  debounce: duration.optional(),
  throttle: duration.optional(),
  queue: queueName.optional(),
  after: predecessors.optional().describe('Runs when that task has completed, or all of up to 100'),
  ifFailed: ifFailed.optional(),
  maxAttempts: z.int().min(1).max(50).optional(),
  ...budget,
} satisfies Record<keyof EnqueueRequest, z.ZodType>

export const newTask = z.strictObject(newTaskFields).meta({
  id: 'NewTask',
  title: 'A task to be stored',
  examples: [
    { name: 'download', input: { url: 'https://files.example/large.iso', file: 'large.iso' }, priority: 'high' },
  ],
  dependentSchemas: {
    debounce: { required: ['key'], not: { required: ['runAt'] } },
    throttle: { required: ['key'], not: { required: ['debounce'] } },
  },
})

export const changes = z
  .strictObject({
    priority: priority.optional(),
    position: z.enum(['front', 'back']).optional(),
    runAt: date.optional(),
    deadline: date.nullable().optional().describe('`null` takes it away'),
    queue: queueName.optional(),
    input: z.unknown().optional(),
    lazy: z.boolean().optional(),
    maxAttempts: z.int().min(1).max(50).optional(),
    retry: retry.nullable().optional().describe('Replaces all of it; `null` leaves it to the handler'),
    timeout: duration.nullable().optional().describe('`null` leaves it to the handler'),
    totalTimeout: duration.nullable().optional().describe('`null` leaves it to the handler'),
    stall: duration.nullable().optional().describe('`null` leaves it to the handler'),
    after: predecessors
      .nullable()
      .optional()
      .describe('In place of what it waits for; `null` or `[]`: it waits for none'),
    ifFailed: ifFailed.optional(),
  } satisfies Record<keyof TaskChanges, z.ZodType>)
  .meta({
    id: 'TaskChanges',
    title: 'What is to change of a task that waits',
    examples: [{ priority: 'high' }],
    minProperties: 1,
  })

export const commandAnswer = z
  .object({
    matched: count.describe('Tasks that the selection names and the command can do something about'),
    changed: count.describe('0 for a dry run'),
    refused: z.array(z.object({ id: hexId, error: wireError })).describe('Those that could not be changed, and why'),
    tasks: z.array(hexId).optional().describe('What a replay made'),
  })
  .meta({ id: 'CommandAnswer', title: 'What came of a command', examples: [{ matched: 12, changed: 12, refused: [] }] })

export const liveLogLine = z
  .object({
    seq: z.int().min(1).describe("Counts the attempt's lines from 1"),
    at: date,
    level: z.enum(['debug', 'info', 'warn', 'error']),
    message: z.string(),
  })
  .meta({ id: 'LogLine', title: "Line of a running attempt's log" })

export const logLine = z
  .object({ attempt: z.int().min(1), ...liveLogLine.shape })
  .meta({ id: 'StoredLogLine', title: "Line of an attempt's log" })

export const explanation = z
  .object({
    id: hexId,
    status: taskStatus,
    willRun: z.boolean(),
    reasons: z.array(
      z.object({
        code: z.enum(EXPLAIN_CODES),
        message: z.string(),
        task: hexId.optional(),
        at: date.optional(),
        workers: z.array(z.string()).optional(),
        ahead: count.optional(),
      }),
    ),
  })
  .meta({ id: 'Explanation', title: 'Why a task does not run' })

export const auditEntry = z
  .object({
    _id: hexId,
    at: date,
    by: z.string(),
    action: z.string(),
    tasks: z.array(hexId),
    matched: count,
    changed: count,
    target: z.string().optional(),
    filter: z.string().optional(),
    reason: z.string().optional(),
    refused: z.string().optional().describe('The code with which it was refused'),
  } satisfies Record<keyof AuditEntry, z.ZodType>)
  .meta({ id: 'AuditEntry', title: 'Who did what' })

/** What stands for many tasks. */
export const selection = {
  ids: z.array(hexId).max(10_000).optional().describe('Up to 10,000 ids'),
  filter: filter.optional().describe('All that match and the command can do something about'),
  dryRun: z.boolean().optional().describe('Only count'),
  reason: reason.optional(),
}
