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
  /** The id of the worker's session. */
  worker: z.string(),
  /** The name of the worker. Attempts of earlier versions have none. */
  host: z.string().exactOptional(),
  claimedAt: date,
  endedAt: date.exactOptional(),
  /** `deferred`: it failed and asked for a later retry, which costs no try. */
  outcome: z
    .enum(['completed', 'failed', 'lost', 'released', 'paused', 'cancelled', 'snoozed', 'deferred'])
    .exactOptional(),
  /** The attempt was counted as lost, and then its worker came back. */
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
}).meta({ id: 'Progress', title: 'Progress of a task: all fields except `at` come from its handler' })

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
const limit = z.int().min(1).describe("In milliseconds; replaces the handler's limit")
const counts = z
  .enum(FAILURE_COUNTS)
  .describe('`without-progress`: a failed attempt that changed the checkpoint sets `failures` back to 0')
const decay = z.boolean().describe('Whether each failure lowers the priority by one')
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
  maxAttempts: z.int().min(1).max(50).exactOptional().describe("Takes precedence over the task's own `maxAttempts`"),
  backoff: object({
    /** `exponential` by default: each failure multiplies the delay by `factor`. */
    kind: z.enum(['fixed', 'exponential']).exactOptional(),
    /** The first delay, or with `fixed` every delay; one second by default. */
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
  /** Whether each failure lowers the task's priority by one, so that others come first; on by default. */
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

/** Limits of a task that replace its handler's. */
export const budget = {
  /** Replaces the handler's options. Its `maxAttempts` takes precedence over the task's own `maxAttempts`. */
  retry: retry
    .exactOptional()
    .describe('When a failed attempt is repeated, such as `{"counts":"without-progress","backoff":{"base":"5s"}}`'),
  timeout: duration.exactOptional().describe('How long one attempt may take; by default, the handler decides'),
  totalTimeout: duration
    .exactOptional()
    .describe('How long the task may take from its first claim, including waits between attempts'),
  /** An attempt that reports no new progress and saves no new checkpoint for this long fails with `STALLED`. */
  stall: duration
    .exactOptional()
    .describe('How long an attempt may go without new progress and without a new checkpoint'),
}

/** As `budget`, where `null` means the handler's value. */
export const budgetChanges = {
  retry: retry
    .nullable()
    .exactOptional()
    .describe("When a failed attempt is repeated; `null` for the handler's options"),
  timeout: duration
    .nullable()
    .exactOptional()
    .describe("How long one attempt may take; `null` for the handler's limit"),
  totalTimeout: duration
    .nullable()
    .exactOptional()
    .describe("How long a task may take from its first claim; `null` for the handler's limit"),
  stall: duration
    .nullable()
    .exactOptional()
    .describe(
      "How long an attempt may go without new progress and without a new checkpoint; `null` for the handler's limit",
    ),
}

/** The options of tasks that a schedule or a callback makes later. */
export const taskOptions = {
  queue: queueName.exactOptional().describe('The queue of its tasks; `default` by default'),
  priority: priority
    .exactOptional()
    .describe('The priority of its tasks: 1 to 10, higher first, or `low`, `medium`, `high`'),
  lazy: z.boolean().exactOptional().describe('Its tasks run only while the machine is not overloaded'),
  maxAttempts: maxAttempts.exactOptional().describe('The most failed attempts of a task, 1 to 50; 5 by default'),
  ...budgetChanges,
}

/** As `budget` in its stored form, with durations in milliseconds. */
export const budgetRow = {
  /** The task's own retry options, with durations in milliseconds. The handler decides the rest. */
  retry: storedRetry.exactOptional(),
  /** The task's own limits in milliseconds, which replace the handler's. */
  timeout: limit.exactOptional(),
  totalTimeout: limit.exactOptional(),
  stall: limit.exactOptional(),
}

export const LONGEST_TITLE = 200
export const MOST_LABELS = 16
/** Half a surrogate pair can't be stored, and other control characters can't be shown. */
const SHOWN = /^[^\p{Cc}\p{Surrogate}]*$/u
const shownText = (most: number) => z.string().min(1).max(most).regex(SHOWN, 'must have no control characters')
export const title = shownText(LONGEST_TITLE).describe('What people call the task')
export const labelName = z.string().regex(/^[A-Za-z][A-Za-z0-9_-]{0,39}$/)
export const labels = z
  .record(labelName, shownText(LONGEST_TITLE))
  .refine((all) => Object.keys(all).length <= MOST_LABELS, `must have at most ${MOST_LABELS} labels`)
  .describe('Short texts by which people search, such as `{ "customer": "cus_1003" }`: up to 16')

export const task = object({
  _id: hexId,
  name,
  title: title.exactOptional(),
  labels: labels.exactOptional(),
  version: z.int().min(1),
  /** Only if `fields` requests it. */
  input: z.unknown().exactOptional(),
  /** Only if `fields` requests it. */
  output: z.unknown().exactOptional(),
  status: taskStatus,
  queue: queueName,
  priority: z.int().min(1).max(10).describe('The effective priority'),
  basePriority: z.int().min(1).max(10).describe('The requested priority'),
  runAt: date,
  /** Its position among tasks of the same priority. */
  order: date,
  deadline: date.exactOptional(),
  /** When its priority is raised next, because the deadline is near or reached. */
  raiseAt: date.exactOptional(),
  /** Set when the deadline passed before the task ended. */
  deadlineMissedAt: date.exactOptional(),
  /** Runs only while the machine is not overloaded. */
  lazy: z.boolean(),
  attempt: count.describe('Claims so far'),
  /** Failed attempts that used up a try. */
  failures: count,
  /** How many workers in a row died with the task while its checkpoint stayed the same. */
  lost: count,
  maxAttempts: z.int().min(1).max(50),
  ...budgetRow,
  checkpointAttempt: count.exactOptional().describe('The latest attempt that changed the checkpoint'),
  affinity: object({
    place: z.string(),
    /** The name of the worker that saved the checkpoint. */
    host: z.string(),
    ms: count,
    since: date.exactOptional(),
  })
    .exactOptional()
    .describe(
      'Where its checkpoint goes on: workers at this `place` may claim it from `since` on, others `ms` milliseconds later, at `runAt`',
    ),
  /** Only if `fields` requests it. */
  attempts: z.array(attempt).exactOptional(),
  attemptsDropped: count.exactOptional(),
  /** The id of the session of the worker that runs it. */
  worker: z.string().exactOptional(),
  host: z
    .string()
    .exactOptional()
    .describe('The name of the worker that claimed it last. It stays when the attempt ends'),
  /** The task's own socket while it runs. */
  publicUrl: z.string().exactOptional(),
  control: object({
    action: z.enum(['cancel', 'pause']),
    by: z.string(),
    reason: z.string().exactOptional(),
    at: date,
  }).exactOptional(),
  progress: progress.exactOptional(),
  /** Only if `fields` requests it. */
  checkpoint: z.unknown().exactOptional(),
  error: taskError.exactOptional(),
  /** Unique among the open tasks of its queue. */
  key: z.string().exactOptional(),
  parent: hexId.exactOptional(),
  after: predecessors.exactOptional().describe('The tasks that it waits for: an id for one task, a list for several'),
  ifFailed: ifFailed.exactOptional(),
  replayOf: hexId.exactOptional(),
  schedule: name.exactOptional().describe('The schedule that made it'),
  event: hexId.exactOptional(),
  rev: z.int().min(1).describe('Increases by one with every write'),
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

/** The response to storing a task. */
export const storedTask = object({
  ...task.shape,
  served: z.literal(false).exactOptional().describe('No live worker has a handler for it in its queue yet'),
}).meta({ id: 'StoredTask', title: 'A task as it was stored', examples: [EXAMPLE] })

/** A row of a list. `fields` may leave out all fields except the id. */
export const taskRow = task.exactPartial().extend({ _id: hexId }).meta({
  id: 'TaskRow',
  title: 'Task in a list',
  description: 'Without input, output, attempts and checkpoint; with `fields`, only the requested fields',
})

const DEADLINE = 'Its priority rises when the deadline is near, and again when it is reached'
export const position = z.enum(['front', 'back']).describe('Before or after all waiting tasks with the same priority')
export const newTask = object({
  _id: hexId
    .exactOptional()
    .describe('Makes a request safe to repeat: the same id with the same content is stored once'),
  name,
  version: z
    .int()
    .min(1)
    .max(1_000_000)
    .exactOptional()
    .describe('The version of the task that the input is for; 1 by default'),
  input: z.unknown().exactOptional().describe('Its input, up to 256 KiB; `{}` by default'),
  title: title.exactOptional(),
  labels: labels.exactOptional(),
  priority: priority.exactOptional(),
  /** ISO 8601 on the wire. */
  runAt: givenDate.exactOptional().describe('When it may start; now by default'),
  deadline: givenDate.exactOptional().describe(DEADLINE),
  position: position.exactOptional(),
  lazy: z.boolean().exactOptional().describe('Runs only while the machine is not overloaded'),
  key: z.string().min(1).max(256).exactOptional().describe('Unique among the open tasks of the queue'),
  /** If an open task has this key: reject the request (the default), return that task, or replace it while it waits. */
  keyPolicy: z
    .enum(['reject', 'return', 'replace'])
    .exactOptional()
    .describe('If an open task has the key: reject the request, return that task, or replace it while it waits'),
  /** Each further request with this key within the time moves the start and replaces the waiting task; needs `key`. */
  debounce: duration.exactOptional().describe('Starts this long after the last request with the same `key`'),
  /** At most one task with this key within the time; further requests get that task; needs `key`. */
  throttle: duration.exactOptional().describe('At most one task with the same `key` in this time'),
  queue: queueName.exactOptional().describe('The queue that it waits in; `default` by default'),
  after: givenPredecessors
    .exactOptional()
    .describe('Runs when this task has completed, or all tasks in a list of up to 100'),
  ifFailed: ifFailed.exactOptional(),
  maxAttempts: maxAttempts.exactOptional().describe('The most failed attempts, 1 to 50; 5 by default'),
  ...budget,
})
  .strict()
  .meta({
    id: 'NewTask',
    title: 'A new task',
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
  title: title.nullable().exactOptional().describe('What people call the task; `null` removes it'),
  labels: labels.nullable().exactOptional().describe('All its labels; `null` removes them'),
  queue: queueName.exactOptional().describe('The queue that it waits in'),
  input: z.unknown().exactOptional().describe('Replaces the input'),
  lazy: z.boolean().exactOptional().describe('Runs only while the machine is not overloaded'),
  maxAttempts: maxAttempts.exactOptional().describe('The most failed attempts, 1 to 50'),
  ...budgetChanges,
  after: givenPredecessors
    .nullable()
    .exactOptional()
    .describe('Replaces the tasks that it waits for; `null` or `[]` for none'),
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
  matched: count.describe('Selected tasks that the command can change'),
  /** How many tasks it changed, or requested their worker to change; 0 for a dry run. */
  changed: count.describe('0 for a dry run'),
  /** The tasks that could not be changed, and why. */
  refused: z.array(object({ id: hexId, error: wireError })),
  /** The tasks that a replay made, in the order of the original tasks. */
  tasks: z.array(hexId).exactOptional().describe('The tasks that a replay made'),
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
    'CHECKPOINT_ELSEWHERE',
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
  /** The task that it waits for. */
  task: hexId.exactOptional(),
  /** The date that it waits for. */
  at: date.exactOptional(),
  /** The workers that the reason is about. */
  workers: z.array(z.string()).exactOptional(),
  /** How many tasks come before it. */
  ahead: count.exactOptional(),
})

export const explanation = object({
  id: hexId,
  status: taskStatus,
  /** Whether it will run without further action. */
  willRun: z.boolean(),
  /** Why the task does not run, the most important reason first. */
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
  /** The changed thing if it is not a task: a worker, a queue, a fingerprint. */
  target: z.string().exactOptional(),
  filter: z.string().exactOptional(),
  reason: z.string().exactOptional(),
  /** The error code if the request was refused; `matched` counts such refusals since the previous entry. */
  refused: z.string().exactOptional().describe('The error code if the request was refused'),
}).meta({ id: 'AuditEntry', title: 'Who did what' })

/** How a request selects many tasks. */
export const selection = {
  ids: z.array(hexId).max(10_000).optional().describe('Up to 10,000 ids'),
  filter: filter.optional().describe('All tasks that match and that the command can change'),
  dryRun: z.boolean().optional().describe('Only count the tasks'),
  reason: reason.optional().describe('For the audit log, and for the handler that is stopped'),
}
