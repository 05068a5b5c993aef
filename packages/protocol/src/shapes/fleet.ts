import { z } from 'zod'
import {
  type CoverageRow,
  type ErrorRow,
  type KeyRow,
  SCOPES,
  STATUSES,
  type TaskStatus,
  type WorkerRow,
} from '../protocol.ts'
import { count, date, hexId, name, queueName } from './values.ts'

export const worker = z
  .looseObject({
    _id: z.string(),
    name: z.string(),
    host: z.string(),
    boot: z.string().optional(),
    until: date.optional(),
    leaseMs: z.number().optional(),
    pid: z.int(),
    role: z.enum(['worker', 'gateway']),
    url: z.string().optional(),
    state: z.enum(['running', 'draining', 'stopped', 'dead']),
    queues: z.array(z.string()),
    tasks: z.array(z.string()).describe('`name@version` of everything it can run'),
    slots: count,
    running: count,
    load: z.object({
      cpu: z.number().describe('Processors that this process keeps busy'),
      rss: z.number().describe('Memory of this process, in bytes'),
      memoryFree: z.number().describe('Free memory of the host, in bytes'),
      eventLoopDelayMs: z.number(),
      hostCpu: z.number().optional().describe('Busy part of the processors, 0 to 1, by whoever'),
      memoryLeft: z.number().optional().describe('Part of the memory that is left, 0 to 1'),
    }),
    gate: z.looseObject({ open: z.boolean(), lazy: z.boolean(), reason: z.string().optional() }).optional(),
    control: z.object({ action: z.enum(['drain', 'resume']), by: z.string(), at: date }).optional(),
    heartbeatMs: z.number(),
    version: z.string(),
    startedAt: date,
    heartbeatAt: date,
    stoppedAt: date.optional(),
    rev: z.int(),
  } satisfies Record<keyof WorkerRow, z.ZodType>)
  .meta({ id: 'Worker', title: 'A worker or a gateway' })

const eachStatus = Object.fromEntries(STATUSES.map((status) => [status, count])) as Record<TaskStatus, typeof count>
const allCounts = z.object(eachStatus).meta({ id: 'AllCounts', title: 'Tasks by status' })
const counts = z
  .object(eachStatus)
  .partial()
  .meta({ id: 'Counts', title: 'Tasks by status; those of which there are none may be left out' })

export const newRate = z
  .strictObject({
    limit: z.int().min(1).max(100_000),
    per: z.union([z.number(), z.string().max(20)]).describe('1s to 1d: a text such as `1m`, or milliseconds'),
  })
  .meta({ id: 'NewRate', title: 'At most so many starts in any span of a time', examples: [{ limit: 100, per: '1m' }] })

/** The core checks the numbers, and says with its own codes which one is out of range. */
export const queueLimits = z
  .strictObject({
    concurrency: z.unknown(),
    rate: z.strictObject({ limit: z.unknown(), per: z.unknown() }).nullable(),
    maxWaiting: z.unknown(),
  })
  .partial()

const queueFields = {
  _id: queueName.describe('The name'),
  paused: z.boolean(),
  concurrency: z.int().min(1).optional().describe('How many of its tasks run at once in the whole fleet at most'),
  rate: z
    .object({ limit: z.int().min(1), per: z.int().min(1_000) })
    .optional()
    .describe('At most `limit` starts in any span of `per` milliseconds in the whole fleet'),
  maxWaiting: z.int().min(1).optional().describe('How many of its tasks may wait; 1,000,000 when nothing is said'),
  by: z.string().optional(),
  reason: z.string().optional(),
  updatedAt: date.optional(),
  rev: z.int().optional(),
}

/** Settings of a queue, without its counts. */
export const queueSettings = z
  .object({ ...queueFields, updatedAt: date, rev: z.int() })
  .meta({ id: 'QueueSettings', title: 'Settings of a queue' })

export const queue = z
  .looseObject({
    ...queueFields,
    counts: counts.optional().describe('Its tasks by status'),
  })
  .meta({
    id: 'Queue',
    title: 'A queue',
    examples: [{ _id: 'default', paused: false, counts: { pending: 3, running: 2 } }],
  })

export const errorState = z.enum(['open', 'resolved', 'ignored'])

export const errorGroup = z
  .looseObject({
    _id: z.string().describe('The fingerprint'),
    code: z.string(),
    name: z.string(),
    message: z.string(),
    stack: z.string().optional(),
    state: errorState,
    count,
    trend: z.array(z.object({ hour: date, count })),
    tasks: z.array(z.string()),
    versions: z.array(z.string()),
    hosts: z.array(z.string()),
    samples: z.array(hexId),
    firstSeenAt: date,
    lastSeenAt: date,
    reopened: count,
    marked: z.object({ by: z.string(), at: date }).optional(),
    ignoredUntil: date.optional(),
    notifiedAt: date.optional(),
    rev: z.int(),
  } satisfies Record<keyof ErrorRow, z.ZodType>)
  .meta({ id: 'ErrorGroup', title: 'Errors that are the same fault' })

export const coverageRow = z
  .object({
    queue: queueName,
    name,
    version: z.int(),
    waiting: count,
    due: count,
    running: count,
    oldest: date.optional(),
    workers: z.array(z.string()),
    served: z.boolean(),
    schedules: z.array(z.string()).describe('Schedules that make it, without those that are paused'),
    callbacks: count.describe('How many callbacks make it'),
  } satisfies Record<keyof CoverageRow, z.ZodType>)
  .meta({
    id: 'Coverage',
    title: 'Tasks of a name and version in a queue that wait or will be made, and who serves them',
  })

const percentiles = z.object({
  count,
  p50: z.number().optional(),
  p95: z.number().optional(),
  p99: z.number().optional(),
})
const rates = z.object({ enqueued: z.number(), completed: z.number(), failed: z.number(), cancelled: z.number() })

export const stats = z
  .object({
    byStatus: allCounts,
    byQueue: z.record(z.string(), counts),
    byName: z.record(z.string(), counts),
    rates: rates.describe('Per second, over the last minute'),
    slots: z.array(rates.extend({ at: date })),
    waitMs: percentiles,
    runMs: percentiles,
  })
  .meta({ id: 'Stats', title: 'Counts, rates and latencies' })

const scopes = z.array(z.enum(SCOPES)).min(1)
const keyName = z.string().min(1).max(100)
const limits = {
  queues: z.array(queueName).min(1).max(100).optional(),
  names: z.array(name).min(1).max(100).optional(),
}

export const newKey = z.strictObject({ name: keyName, scopes, ...limits, expiresAt: date.optional() }).meta({
  id: 'NewKey',
  title: 'A key to be made',
  examples: [{ name: 'ci', scopes: ['read', 'write'], queues: ['builds'] }],
})

export const keyChanges = z
  .strictObject({
    name: keyName,
    scopes,
    queues: limits.queues.nullable().describe('null for all'),
    names: limits.names.nullable().describe('null for all'),
    expiresAt: date.nullable().describe('null for never'),
  })
  .partial()
  .meta({ id: 'KeyChanges', title: 'What is to change of a key', examples: [{ scopes: ['read'], queues: null }] })

export const key = z
  .object({
    id: z.string(),
    name: keyName,
    state: z.enum(['good', 'expired', 'revoked']).describe("By the server's time"),
    scopes,
    ...limits,
    createdAt: date,
    expiresAt: date.optional(),
    revokedAt: date.optional(),
  } satisfies Record<keyof KeyRow, z.ZodType>)
  .meta({ id: 'Key', title: 'A key without what would prove it' })

export const madeKey = z
  .object({ id: z.string(), token: z.string().describe('Shown this once') })
  .meta({ id: 'MadeKey', title: 'A new key', examples: [{ id: '0123456789ab', token: 'tf_0123456789ab_…' }] })

const kept = z.number().min(1_000).nullable()
const endings = { completed: kept, failed: kept, cancelled: kept }

export const retention = z
  .object(endings)
  .meta({ id: 'Retention', title: 'How long ended tasks are kept, in milliseconds; null for ever' })

export const retentionChanges = z
  .strictObject(endings)
  .partial()
  .refine((changes) => Object.keys(changes).length > 0, {
    message: "There is nothing to change: give 'completed', 'failed' or 'cancelled'",
  })
  .meta({ id: 'RetentionChanges', title: 'What is to change of it', examples: [{ completed: 604_800_000 }] })

export const pruneRequest = z
  .strictObject({
    statuses: z
      .array(z.enum(['completed', 'failed', 'cancelled']))
      .min(1)
      .optional()
      .describe('How they ended; all by default'),
    olderThanMs: z.number().min(0).optional().describe('Ended at least so long ago; as retention says by default'),
    name: name.optional().describe('Only tasks of this name'),
    dryRun: z.boolean().optional().describe('Only count'),
  })
  .meta({
    id: 'PruneRequest',
    title: 'Which ended tasks are to go',
    examples: [{ statuses: ['failed'], dryRun: true }],
  })

export const pruned = z
  .object({ matched: count, removed: count.describe('0 for a dry run') })
  .meta({ id: 'Pruned', title: 'What went' })
