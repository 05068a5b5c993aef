import { z } from 'zod'
import { FAILURE_COUNTS, IF_FAILED, STATUSES } from '../protocol.ts'
import {
  count,
  date,
  duration,
  filter,
  givenDate,
  hexId,
  name,
  object,
  priority,
  queueName,
  reason,
  wireError,
} from './values.ts'

export const taskStatus = z.enum(STATUSES).meta({ id: 'TaskStatus', title: 'Status of a task' })
const predecessors = z.union([hexId, z.array(hexId).max(100)])
const givenPredecessors = predecessors as z.ZodType<string | readonly string[]>
const ifFailed = z
  .enum(IF_FAILED)
  .describe('What it does when a task that it waits for fails, is cancelled or is removed; `fail` by default')

export const taskError = object({
  code: z.string(),
  name: z.string(),
  message: z.string(),
  fingerprint: z.string().describe('Equal for errors that are the same fault'),
  stack: z.string().exactOptional(),
}).meta({ id: 'TaskError', title: 'Error of an attempt' })

export const attempt = object({
  /** The claim's number, from 1. */
  n: z.int().min(1),
  worker: z.string(),
  claimedAt: date,
  endedAt: date.exactOptional(),
  /** `deferred`: it failed and asked to be tried again later; that costs nothing. */
  outcome: z
    .enum(['completed', 'failed', 'lost', 'released', 'paused', 'cancelled', 'snoozed', 'deferred'])
    .exactOptional(),
  /** It was counted as lost, and then its worker came back. */
  survived: z.literal(true).exactOptional(),
  error: taskError.exactOptional(),
}).meta({ id: 'Attempt', title: 'One claim of a task' })

export const progress = object({
  /** 0 to 1. Derived from `done / total` where only those are given. */
  ratio: z.number().exactOptional(),
  done: z.number().exactOptional(),
  total: z.number().exactOptional(),
  /** What `done` and `total` count, for example `bytes`. */
  unit: z.string().exactOptional(),
  message: z.string().exactOptional(),
  /** When the worker reported it (ISO 8601). */
  at: date,
}).meta({ id: 'Progress', title: 'How far a task is: all fields but `at` come from its handler' })

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

const maxAttempts = z.int().min(1).max(50)
const limit = z.int().min(1).describe('In milliseconds; the task has it in place of its handler')
const counts = z
  .enum(FAILURE_COUNTS)
  .describe('`without-progress`: a failed attempt that changed the checkpoint sets `failures` back to 0')
const decay = z.boolean().describe('Whether each failure costs a step of priority')
const factor = z.number().min(1).max(1_000)

const storedRetry = object({
  backoff: object({ base: count, factor, cap: count, jitter: z.boolean() })
    .exactPartial()
    .exactOptional()
    .describe('Times in milliseconds'),
  decay: decay.exactOptional(),
  counts: counts.exactOptional(),
}).meta({ id: 'TaskRetry', title: 'Retry options of a task; its handler decides the rest' })

export const retry = object({
  /** The most failed attempts, 1-50; 5 by default. */
  maxAttempts: z.int().min(1).max(50).exactOptional().describe('Wins over the field of that name'),
  backoff: object({
    /** `exponential` by default: each failure multiplies the delay by `factor`. */
    kind: z.enum(['fixed', 'exponential']).exactOptional(),
    /** The first delay, or with `fixed` each; a second by default. */
    base: duration.exactOptional(),
    /** 1 to 1,000; 2 by default. */
    factor: factor.exactOptional(),
    /** The longest delay; five minutes by default. */
    cap: duration.exactOptional(),
    /** Spreads retries over 50-100 % of the delay; on by default. */
    jitter: z.boolean().exactOptional(),
  })
    .strict()
    .exactOptional(),
  /** Whether each failure costs the task a step of priority, so that others come first; on by default. */
  decay: decay.exactOptional(),
  /**
   * `every` by default. With `without-progress`, a failed attempt that saved a checkpoint other than the one it started from
   * sets `failures` back to 0 and restores the priority.
   */
  counts: counts.exactOptional(),
})
  .strict()
  .meta({
    id: 'RetryOptions',
    title: 'When a failed task is tried again, and how often',
    examples: [{ maxAttempts: 8, counts: 'without-progress', backoff: { base: '5s', cap: '10m' } }],
  })

/** Limits of a task in place of its handler's. */
export const budget = {
  /** In place of the handler's. Its `maxAttempts` wins over the field of that name. */
  retry: retry
    .exactOptional()
    .describe('When a failed attempt is repeated, such as `{"counts":"without-progress","backoff":{"base":"5s"}}`'),
  timeout: duration.exactOptional().describe('How long one attempt may take; the handler decides by default'),
  totalTimeout: duration
    .exactOptional()
    .describe('How long the task may take from its first claim on, waiting between attempts included'),
  /** An attempt that reports no new progress and saves no new checkpoint for so long fails with `STALLED`. */
  stall: duration.exactOptional().describe('How long an attempt may report no new progress and save no new checkpoint'),
}

/** The same where `null` leaves it to the handler. */
export const budgetChanges = {
  retry: retry
    .nullable()
    .exactOptional()
    .describe('When a failed attempt is repeated; `null` leaves it to the handler'),
  timeout: duration
    .nullable()
    .exactOptional()
    .describe('How long one attempt may take; `null` leaves it to the handler'),
  totalTimeout: duration
    .nullable()
    .exactOptional()
    .describe('How long a task may take from its first claim on; `null` leaves it to the handler'),
  stall: duration
    .nullable()
    .exactOptional()
    .describe(
      'How long an attempt may report no new progress and save no new checkpoint; `null` leaves it to the handler',
    ),
}

/** The options of tasks that are to be made later. */
export const taskOptions = {
  queue: queueName.exactOptional().describe('The queue of its tasks; `default` by default'),
  priority: priority
    .exactOptional()
    .describe('The priority of its tasks: 1 to 10, higher first, or `low`, `medium`, `high`'),
  lazy: z.boolean().exactOptional().describe('Its tasks run only while the machine is not overloaded'),
  maxAttempts: maxAttempts.exactOptional().describe('The most failed attempts of a task, 1 to 50; 5 by default'),
  ...budgetChanges,
}

/** The same as it is stored, durations in milliseconds. */
export const budgetRow = {
  /** What the task itself says of its retries, durations in milliseconds; its handler decides the rest. */
  retry: storedRetry.exactOptional(),
  /** The task's own limits in milliseconds, in place of its handler's. */
  timeout: limit.exactOptional(),
  totalTimeout: limit.exactOptional(),
  stall: limit.exactOptional(),
}

export const task = object({
  _id: hexId,
  name,
  version: z.int().min(1),
  /** Only where `fields` asks for it. */
  input: z.unknown().exactOptional(),
  /** Only where `fields` asks for it. */
  output: z.unknown().exactOptional(),
  status: taskStatus,
  queue: queueName,
  priority: z.int().min(1).max(10).describe('The effective one'),
  basePriority: z.int().min(1).max(10).describe('The one that was asked for'),
  runAt: date,
  /** Its place among tasks of the same priority. */
  order: date,
  deadline: date.exactOptional(),
  /** When the nearness of its deadline, or the deadline itself, raises its priority next. */
  raiseAt: date.exactOptional(),
  /** Set when the deadline passed before it had ended. */
  deadlineMissedAt: date.exactOptional(),
  /** Runs only while the machine is not overloaded. */
  lazy: z.boolean(),
  attempt: count.describe('Claims so far'),
  /** Failed attempts that used up a try. */
  failures: count,
  /** How many workers in a row died with it while its checkpoint stayed the same. */
  lost: count,
  maxAttempts: z.int().min(1).max(50),
  ...budgetRow,
  checkpointAttempt: count.exactOptional().describe('The latest attempt that changed the checkpoint'),
  /** Only where `fields` asks for it. */
  attempts: z.array(attempt).exactOptional(),
  attemptsDropped: count.exactOptional(),
  worker: z.string().exactOptional(),
  /** Its own socket while it runs. */
  publicUrl: z.string().exactOptional(),
  control: object({
    action: z.enum(['cancel', 'pause']),
    by: z.string(),
    reason: z.string().exactOptional(),
    at: date,
  }).exactOptional(),
  progress: progress.exactOptional(),
  /** Only where `fields` asks for it. */
  checkpoint: z.unknown().exactOptional(),
  error: taskError.exactOptional(),
  /** Unique among tasks of its queue that have not ended. */
  key: z.string().exactOptional(),
  parent: hexId.exactOptional(),
  after: predecessors
    .exactOptional()
    .describe('What it waits for: an id when it is one task, a list when there are several'),
  ifFailed: ifFailed.exactOptional(),
  replayOf: hexId.exactOptional(),
  schedule: name.exactOptional().describe('The schedule that made it'),
  event: hexId.exactOptional(),
  rev: z.int().min(1).describe('Plus one with every write'),
  createdAt: date,
  updatedAt: date,
  claimedAt: date.exactOptional(),
  startedAt: date.exactOptional(),
  finishedAt: date.exactOptional(),
  /** When retention removes it. */
  expireAt: date.exactOptional(),
}).meta({
  id: 'Task',
  title: 'Task',
  description: 'A task as it is stored, without what proves a claim',
  examples: [EXAMPLE],
})

/** What storing a task answers with. */
export const storedTask = object({
  ...task.shape,
  served: z.literal(false).exactOptional().describe('No live worker has a handler for it in its queue yet'),
}).meta({ id: 'StoredTask', title: 'A task as it was stored', examples: [EXAMPLE] })

/** What a list holds: `fields` may leave out all but the id. */
export const taskRow = task.exactPartial().extend({ _id: hexId }).meta({
  id: 'TaskRow',
  title: 'Task in a list',
  description: 'Without input, output, attempts and checkpoint, or just what `fields` asks for',
})

const DEADLINE = 'Its priority rises when the deadline is near, and again when it is reached'
export const position = z
  .enum(['front', 'back'])
  .describe('Ahead of all waiting tasks with the same priority, or behind them')
export const newTask = object({
  _id: hexId
    .exactOptional()
    .describe('Makes a repeated request harmless: the same id with the same content is one task'),
  name,
  version: z
    .int()
    .min(1)
    .max(1_000_000)
    .exactOptional()
    .describe('The version of the task that the input is written for; 1 by default'),
  input: z.unknown().exactOptional().describe('Its input, up to 256 KiB; `{}` by default'),
  priority: priority.exactOptional(),
  /** ISO 8601 on the wire. */
  runAt: givenDate.exactOptional().describe('When it may start; now by default'),
  deadline: givenDate.exactOptional().describe(DEADLINE),
  position: position.exactOptional(),
  lazy: z.boolean().exactOptional().describe('Runs only while the machine is not overloaded'),
  key: z.string().min(1).max(256).exactOptional().describe('Unique among tasks that have not ended'),
  /** When a task with this key has not ended: refuse (the default), return that one, or put this in its place while it waits. */
  keyPolicy: z
    .enum(['reject', 'return', 'replace'])
    .exactOptional()
    .describe('When the key is taken: refuse the request, return that task, or replace it while it waits'),
  /** Each further request with this key within the time moves the start and replaces what waits; needs `key`. */
  debounce: duration.exactOptional().describe('Starts this long after the last request with the same `key`'),
  /** At most one task with this key in the time; further requests get that one; needs `key`. */
  throttle: duration.exactOptional().describe('At most one task with the same `key` in this time'),
  queue: queueName.exactOptional().describe('The queue that it waits in; `default` by default'),
  after: givenPredecessors.exactOptional().describe('Runs when that task has completed, or all of up to 100'),
  ifFailed: ifFailed.exactOptional(),
  maxAttempts: maxAttempts.exactOptional().describe('The most failed attempts, 1 to 50; 5 by default'),
  ...budget,
})
  .strict()
  .meta({
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

export const changes = object({
  priority: priority.exactOptional(),
  position: position.exactOptional(),
  runAt: givenDate.exactOptional().describe('When it may start'),
  deadline: givenDate.nullable().exactOptional().describe(`${DEADLINE}; \`null\` removes it`),
  queue: queueName.exactOptional().describe('The queue that it waits in'),
  input: z.unknown().exactOptional().describe('In place of its input'),
  lazy: z.boolean().exactOptional().describe('Runs only while the machine is not overloaded'),
  maxAttempts: maxAttempts.exactOptional().describe('The most failed attempts, 1 to 50'),
  ...budgetChanges,
  after: givenPredecessors
    .nullable()
    .exactOptional()
    .describe('The tasks that it waits for in place of others; `null` or `[]` for none'),
  ifFailed: ifFailed.exactOptional(),
})
  .strict()
  .meta({
    id: 'TaskChanges',
    title: 'Changes to a waiting task',
    examples: [{ priority: 'high' }],
    minProperties: 1,
  })

export const commandAnswer = object({
  matched: count.describe('Tasks that the selection names and the command can do something about'),
  /** How many it changed, or asked their worker to change; 0 for a dry run. */
  changed: count.describe('0 for a dry run'),
  /** Those that could not be changed, and why. */
  refused: z.array(object({ id: hexId, error: wireError })),
  /** The tasks that a replay made, in the order of those they repeat. */
  tasks: z.array(hexId).exactOptional().describe('What a replay made'),
}).meta({ id: 'CommandAnswer', title: 'Result of a command', examples: [{ matched: 12, changed: 12, refused: [] }] })

export const liveLogLine = object({
  /** Counts the attempt's lines from 1. */
  seq: z.int().min(1),
  at: date,
  level: z.enum(['debug', 'info', 'warn', 'error']),
  message: z.string(),
}).meta({ id: 'LogLine', title: "Line of a running attempt's log" })

export const logLine = object({ attempt: z.int().min(1), ...liveLogLine.shape }).meta({
  id: 'StoredLogLine',
  title: "Line of an attempt's log",
})

export const explainReason = object({
  code: z.enum([
    'ENDED',
    'RUNNING',
    'PAUSED',
    'BLOCKED',
    'NOT_DUE',
    'QUEUE_PAUSED',
    'QUEUE_FULL',
    'RATE_LIMITED',
    'NOT_SERVED',
    'QUEUE_NOT_SERVED',
    'NO_FREE_SLOT',
    'GATE_CLOSED',
    'CORRUPT',
    'ABOUT_TO_RUN',
  ]),
  /** For people. */
  message: z.string(),
  /** The task it waits for. */
  task: hexId.exactOptional(),
  /** The date it waits for. */
  at: date.exactOptional(),
  /** The workers it concerns. */
  workers: z.array(z.string()).exactOptional(),
  /** How many tasks come before it. */
  ahead: count.exactOptional(),
})

export const explanation = object({
  id: hexId,
  status: taskStatus,
  /** Whether it will run without further action. */
  willRun: z.boolean(),
  /** Why it does not run, the most important reason first. */
  reasons: z.array(explainReason),
}).meta({ id: 'Explanation', title: 'Why a task does not run' })

export const auditEntry = object({
  _id: hexId,
  at: date,
  /** The key's id, or `local`. */
  by: z.string(),
  action: z.string(),
  /** The tasks, at most the first hundred. */
  tasks: z.array(hexId),
  matched: count,
  changed: count,
  /** What was changed besides tasks: a worker, a queue, a fingerprint. */
  target: z.string().exactOptional(),
  filter: z.string().exactOptional(),
  reason: z.string().exactOptional(),
  /** The code with which it was refused; `matched` counts such refusals since the entry before. */
  refused: z.string().exactOptional().describe('The code with which it was refused'),
}).meta({ id: 'AuditEntry', title: 'Who did what' })

/** How a request selects many tasks. */
export const selection = {
  ids: z.array(hexId).max(10_000).optional().describe('Up to 10,000 ids'),
  filter: filter.optional().describe('All tasks that match and that the command can change'),
  dryRun: z.boolean().optional().describe('Only count the tasks'),
  reason: reason.optional().describe('For the audit log, and for the handler that is stopped'),
}
