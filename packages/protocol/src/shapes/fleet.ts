import { z } from 'zod'
import { SCOPES, STATUSES, type TaskStatus } from '../protocol.ts'
import { byCore } from './by-core.ts'
import { count, date, fixed, hexId, name, object, queueName } from './values.ts'

export const worker = object({
  _id: z.string(),
  /** The worker's name for people; `_id` is new at every start. */
  name: z.string(),
  /** Absent for keys that are limited to queues or names, as `pid`, `url` and `boot` are. */
  host: z.string().exactOptional(),
  /** Identifies the process. `_id` is its session: a worker that was taken for dead goes on with a new session. */
  boot: z.string().exactOptional(),
  /** When its session may be ended if it is not renewed. */
  until: date.exactOptional(),
  leaseMs: z.number().exactOptional(),
  pid: z.int().exactOptional(),
  /** A worker runs tasks; a gateway alone only serves clients. */
  role: z.enum(['worker', 'gateway']),
  /** Where its gateway and task sockets listen, if they do. */
  url: z.string().exactOptional(),
  /** Ids of its secrets, the signing one first; empty if only the database's secret signs. The ids reveal nothing about them. */
  secretIds: z.array(z.string()).exactOptional(),
  state: z.enum(['running', 'draining', 'stopped', 'dead']),
  queues: z.array(z.string()),
  tasks: z.array(z.string()).describe('`name@version` of everything it can run'),
  /** The most tasks that it runs at once. */
  slots: count,
  running: count,
  load: object({
    /** Processors that this process keeps busy. */
    cpu: z.number(),
    /** Memory of this process, in bytes. */
    rss: z.number(),
    /** Free memory of the host, in bytes. */
    memoryFree: z.number(),
    eventLoopDelayMs: z.number(),
    /** Share of the processors that the process may use that is busy, by any process, 0..1; absent while unknown. */
    hostCpu: z.number().exactOptional(),
    /** Share of the memory that the process may use that is left, 0..1; absent if unknown. */
    memoryLeft: z.number().exactOptional(),
  }),
  /**
   * The file systems of the folders that its handlers need (`disk.folder`), in bytes. A figure stays until it has changed by more than 1 %. Absent
   * without such a handler, and for keys that are limited to queues or names.
   */
  disks: z.array(object({ folder: z.string(), free: z.number(), total: z.number() })).exactOptional(),
  /** Whether this host takes more tasks (`open`) and lazy tasks (`lazy`), and if not, why. Open if absent. */
  gate: object({ open: z.boolean(), lazy: z.boolean(), reason: z.string().exactOptional() }).exactOptional(),
  /** The latest request to the worker. */
  control: object({ action: z.enum(['drain', 'resume']), by: z.string(), at: date }).exactOptional(),
  /** How often it renews its session, in milliseconds. After three missed renewals it is gone. */
  heartbeatMs: z.number(),
  version: z.string(),
  startedAt: date,
  heartbeatAt: date,
  stoppedAt: date.exactOptional(),
  rev: z.int(),
}).meta({ id: 'Worker', title: 'A worker or a gateway' })

const eachStatus = Object.fromEntries(STATUSES.map((status) => [status, count])) as Record<TaskStatus, typeof count>
const allCounts = object(eachStatus).meta({ id: 'AllCounts', title: 'Tasks by status' })
const counts = object(eachStatus)
  .exactPartial()
  .meta({ id: 'Counts', title: 'Tasks by status; statuses without tasks may be left out' })

export const newRate = z
  .strictObject({
    limit: z.int().min(1).max(100_000),
    per: z.union([z.number(), z.string().max(20)]).describe('1s to 1d: a text such as `1m`, or milliseconds'),
  })
  .meta({ id: 'NewRate', title: 'A limit of starts in any span of a time', examples: [{ limit: 100, per: '1m' }] })

export const queueLimits = z
  .strictObject({
    concurrency: byCore(z.int().min(1).max(10_000).nullable()),
    rate: z.strictObject({ limit: byCore(newRate.shape.limit), per: byCore(newRate.shape.per) }).nullable(),
    maxWaiting: byCore(z.int().min(1).max(100_000_000).nullable()),
  })
  .partial()

/** The settings of a queue, without its counts. */
export const queueSettings = object({
  _id: queueName.describe('The name'),
  paused: z.boolean(),
  concurrency: z.int().min(1).exactOptional().describe('How many of its tasks may run at once in the whole fleet'),
  rate: object({ limit: z.int().min(1), per: z.int().min(1_000) })
    .exactOptional()
    .describe('At most `limit` starts in any span of `per` milliseconds in the whole fleet'),
  maxWaiting: z.int().min(1).exactOptional().describe('How many of its tasks may wait; 1,000,000 by default'),
  by: z.string().exactOptional(),
  reason: z.string().exactOptional(),
  updatedAt: date,
  rev: z.int(),
}).meta({ id: 'QueueSettings', title: 'Settings of a queue' })

export const queue = queueSettings
  .exactPartial()
  .extend({ ...queueSettings.pick({ _id: true, paused: true }).shape, counts: counts.describe('Its tasks by status') })
  .meta({
    id: 'Queue',
    title: 'A queue',
    examples: [{ _id: 'default', paused: false, counts: { pending: 3, running: 2 } }],
  })

export const errorState = z.enum(['open', 'resolved', 'ignored'])

export const errorGroup = object({
  _id: z.string().describe('The fingerprint'),
  code: z.string(),
  name: z.string(),
  /** The message of the latest error. */
  message: z.string(),
  stack: z.string().exactOptional(),
  state: errorState,
  /** Failed attempts so far. */
  count,
  /** Failures by hour, for the latest 48 hours with failures. */
  trend: z.array(object({ hour: date, count })),
  /** Names of the tasks that failed with this error. */
  tasks: z.array(z.string()),
  /** `name@version`. */
  versions: z.array(z.string()),
  hosts: z.array(z.string()),
  /** Ids of the latest tasks, the newest last. */
  samples: z.array(hexId),
  firstSeenAt: date,
  lastSeenAt: date,
  /** How often it came back after it had been resolved or ignored. */
  reopened: count,
  /** Who resolved or ignored it, and when. */
  marked: object({ by: z.string(), at: date }).exactOptional(),
  /** An ignored error stays ignored until this date, or until it is marked differently. */
  ignoredUntil: date.exactOptional(),
  /** Who takes care of it, for people. It stays when the error is marked. */
  owner: z.string().exactOptional(),
  note: z.string().exactOptional(),
  /** A resolved error stays resolved while it comes from earlier versions of this handler only. */
  resolvedIn: object({ name: z.string(), version: z.int() })
    .exactOptional()
    .describe('It stays resolved while it comes from earlier versions of this handler only'),
  /** When the developer was last notified. */
  notifiedAt: date.exactOptional(),
  rev: z.int(),
}).meta({ id: 'ErrorGroup', title: 'Errors that are the same fault' })

export const coverageRow = object({
  queue: queueName,
  name,
  version: z.int(),
  waiting: count,
  /** How many of the waiting tasks are due. */
  due: count,
  running: count,
  /** When the oldest of the waiting tasks was due, or will be. */
  oldest: date.exactOptional(),
  /** Names of the live workers that can run the task and serve its queue. */
  workers: z.array(z.string()),
  served: z.boolean(),
  schedules: z.array(z.string()).describe('Schedules that make it, without paused ones'),
  callbacks: count.describe('How many callbacks make it'),
}).meta({
  id: 'Coverage',
  title: 'Tasks of a name and version in a queue that wait or will be made, and the workers that serve them',
})

export const handlerRow = object({
  name,
  version: z.int(),
  queues: z
    .array(queueName)
    .describe('The queues in which a live worker runs it; of these, a limited key sees its own'),
  workers: z.array(z.string()).describe('Names of the live workers that run it'),
  firstSeenAt: date.exactOptional().describe('When a worker first had it; kept for 90 days after the last worker'),
  replay: z.literal(false).exactOptional().describe('Its completed tasks must not run again'),
  schema: z
    .record(z.string(), z.unknown())
    .exactOptional()
    .describe('JSON Schema of its input; absent if it publishes none'),
}).meta({ id: 'Handler', title: 'A handler that live workers have' })

export const attentionRow = object({
  _id: z.string().describe('Stays the same as long as the cause does'),
  kind: z.enum(['unserved', 'behind', 'paused', 'silent', 'missed', 'deadline', 'failing', 'documents', 'weak']),
  urgency: z.enum(['now', 'soon']),
  subject: z.string().describe('The queue, task, worker, schedule or error code that it is about'),
  message: z.string(),
  since: date.exactOptional(),
  count: count.exactOptional().describe('How many tasks, attempts or documents'),
  queue: queueName.exactOptional(),
  name: name.exactOptional(),
  worker: z.string().exactOptional().describe('The id of its session'),
  schedule: z.string().exactOptional(),
  error: z.string().exactOptional().describe('The fingerprint'),
}).meta({ id: 'Attention', title: 'Something that needs somebody' })

export const percentiles = object({
  count,
  p50: z.number().exactOptional(),
  p95: z.number().exactOptional(),
  p99: z.number().exactOptional(),
})
const rates = object({ enqueued: z.number(), completed: z.number(), failed: z.number(), cancelled: z.number() })

export const historyRow = object({
  at: date.describe('The start of the minute or hour'),
  queue: queueName,
  name,
  host: z
    .string()
    .exactOptional()
    .describe('The name of the worker; absent without an attempt, and for keys that are limited'),
  outcome: z.string().describe("How the attempts ended; 'none' for tasks that ended without one"),
  status: z.string().describe('The status of the tasks after it'),
  count,
  waitMs: percentiles.describe('From due to claimed, estimated'),
  runMs: percentiles.describe('From claimed to the end, estimated'),
}).meta({ id: 'History', title: 'What ended in a minute or an hour' })

export const waitingRow = object({
  at: date.describe('The start of the minute or hour'),
  count: count.describe(
    'The due tasks that no worker had claimed, at one moment of the minute; of an hour, its fullest minute',
  ),
  oldestMs: z.number().describe('How long the oldest of them had waited; of an hour, the longest'),
  attention: count
    .exactOptional()
    .describe(
      'How many things needed somebody; of an hour, the most. Only for keys without limits, of all queues and names',
    ),
}).meta({ id: 'Waiting', title: 'What waited in a minute or an hour' })

export const statsSlot = object({
  /** Start of the interval. */
  at: date,
  ...rates.shape,
})

export const stats = object({
  byStatus: allCounts,
  byQueue: z.record(z.string(), counts),
  byName: z.record(z.string(), counts),
  rates: rates.describe('Per second, over the last minute'),
  auditedAt: date
    .exactOptional()
    .describe('Since when removed and retried tasks may still be counted as ended. Absent if all counts are exact'),
  /** The last five minutes in intervals of ten seconds. Intervals without events are left out. */
  slots: z.array(statsSlot),
  /** The time from due to claimed, of tasks that ended recently. */
  waitMs: percentiles,
  /** The time from the last claim to the end. */
  runMs: percentiles,
}).meta({ id: 'Stats', title: 'Counts, rates and latencies' })

const scopes = z.array(z.enum(SCOPES)).min(1)
const keyName = z.string().min(1).max(100)
/** Callers may have scopes as plain strings. */
const givenScopes = fixed(scopes) as z.ZodType<readonly string[]>
const someQueues = fixed(z.array(queueName).min(1).max(100))
const someNames = fixed(z.array(name).min(1).max(100))

export const newKey = z
  .strictObject({
    name: keyName.describe('What the key is for'),
    scopes: givenScopes.describe('What the key may do'),
    queues: someQueues.optional().describe('Only tasks in these queues; all by default'),
    names: someNames.optional().describe('Only tasks of these names; all by default'),
    expiresAt: date.optional().describe('When the key expires; never by default'),
  })
  .meta({
    id: 'NewKey',
    title: 'A new key',
    examples: [{ name: 'ci', scopes: ['read', 'write'], queues: ['builds'] }],
  })

export const keyChanges = z
  .strictObject({
    name: keyName.describe('What the key is for'),
    scopes: givenScopes.describe('What the key may do'),
    queues: someQueues.nullable().describe('Only tasks in these queues; `null` for all'),
    names: someNames.nullable().describe('Only tasks of these names; `null` for all'),
    expiresAt: date.nullable().describe('When the key expires; `null` for never'),
  })
  .partial()
  .meta({
    id: 'KeyChanges',
    title: 'Changes to a key',
    examples: [{ scopes: ['read'], queues: null }],
    minProperties: 1,
  })

export const key = object({
  id: z.string(),
  name: keyName,
  state: z.enum(['good', 'expired', 'revoked']).describe("By the server's time"),
  scopes: fixed(scopes),
  /** Only tasks in these queues, when given. */
  queues: someQueues.exactOptional(),
  /** Only tasks of these names, when given. */
  names: someNames.exactOptional(),
  createdAt: date,
  expiresAt: date.exactOptional(),
  revokedAt: date.exactOptional(),
}).meta({ id: 'Key', title: 'A key without its secret' })

export const madeKey = object({ id: z.string(), token: z.string().describe('Shown only once') }).meta({
  id: 'MadeKey',
  title: 'A new key',
  examples: [{ id: '0123456789ab', token: 'tf_0123456789ab_…' }],
})

const kept = z.number().min(1_000).nullable()
const endings = {
  completed: kept.describe('How long completed tasks are kept'),
  failed: kept.describe('How long failed tasks are kept'),
  cancelled: kept.describe('How long cancelled tasks are kept'),
}

export const retention = object(endings).meta({
  id: 'Retention',
  title: 'How long ended tasks are kept, in milliseconds; null to keep them forever',
})

export const retentionChanges = z
  .strictObject(endings)
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, {
    message: "There is nothing to change. Give 'completed', 'failed' or 'cancelled'",
  })
  .meta({
    id: 'RetentionChanges',
    title: 'Changes to the retention',
    examples: [{ completed: 604_800_000 }],
    minProperties: 1,
  })

export const pruneRequest = object({
  statuses: fixed(z.array(z.enum(['completed', 'failed', 'cancelled'])).min(1))
    .exactOptional()
    .describe('Only tasks with this status; all by default'),
  /** Only tasks that ended at least this long ago, in milliseconds; by default, the fleet's retention decides. */
  olderThanMs: z
    .number()
    .min(0)
    .exactOptional()
    .describe('Only tasks that ended at least this long ago; by default, retention decides'),
  name: name.exactOptional().describe('Only tasks of this name'),
  dryRun: z.boolean().exactOptional().describe('Only count the tasks'),
})
  .strict()
  .meta({
    id: 'PruneRequest',
    title: 'Which ended tasks to remove',
    examples: [{ statuses: ['failed'], dryRun: true }],
  })

export const pruned = object({
  /** How many tasks match. */
  matched: count,
  /** How many tasks were removed; 0 for a dry run. */
  removed: count.describe('0 for a dry run'),
}).meta({ id: 'Pruned', title: 'Result of a prune' })
