import { z } from 'zod'
import { attentionRow, stats } from './fleet.ts'
import { liveLogLine, progress, task, taskError, taskStatus } from './tasks.ts'
import { date, object, wireError } from './values.ts'

export const subscription = z.string().max(64)
export const seq = z.int()
export const epoch = z.string()

export const statsAnswer = object({ subscription, seq, stats })

export const statsDelta = object({ subscription, seq, changes: stats.exactPartial() }).meta({ id: 'StatsDelta' })

export const attentionRows = object({
  subscription,
  seq,
  rows: z.array(attentionRow).describe('All of them, the most urgent first; empty if all is well.'),
  error: wireError
    .exactOptional()
    .describe(
      "Why they can't be read now. Then `rows` are the last known ones. The next message without it is current again.",
    ),
}).meta({ id: 'AttentionRows' })

export const checksumAnswer = object({ epoch, seq, count: z.int(), checksum: z.string() }).meta({
  id: 'ChecksumAnswer',
})

export const ticketAnswer = object({
  publicUrl: z.string().exactOptional(),
  relayUrl: z.string(),
  token: z.string(),
  expiresAt: date,
}).meta({ id: 'TicketAnswer' })

export const hostTicketAnswer = object({
  worker: z.string().describe('The worker that runs the task.'),
  url: z.string().exactOptional().describe("The host's socket; absent if the worker doesn't listen."),
  relayUrl: z.string(),
  token: z.string(),
  expiresAt: date,
}).meta({ id: 'HostTicketAnswer' })

export const renewalAnswer = object({ expiresAt: date, serverTime: date }).meta({
  id: 'RenewalAnswer',
  description: "How long the connection stays open. Both times are by the server's clock.",
})

export const welcome = object({
  version: z.string(),
  serverTime: date.describe("So that a client can show ages by the server's clock."),
  environment: z.string().exactOptional().describe('What people call the fleet, such as `prod`.'),
  worker: z.string().exactOptional().describe('The worker whose gateway this is; absent for a gateway alone.'),
  /** A client connects to another gateway when its own is gone. */
  gateways: z
    .array(z.string())
    .exactOptional()
    .describe("Where the fleet's live gateways can be reached, this one first."),
  scopes: z.array(z.string()),
  queues: z.array(z.string()).exactOptional().describe('If given, the key may reach only tasks in these queues.'),
  names: z.array(z.string()).exactOptional().describe('If given, the key may reach only tasks of these names.'),
  expiresAt: date
    .exactOptional()
    .describe('When the session that opened this connection ends, and the connection with it; absent for a key.'),
}).meta({ id: 'Welcome' })

export const resetReason = z.enum(['HISTORY_LOST', 'SLOW_CONSUMER', 'RESUME_TOO_OLD', 'COLLECTION_GONE', 'AUDIT'])

export const taskSnapshot = object({ task, progress: progress.nullable(), log: z.array(liveLogLine) }).meta({
  id: 'TaskSnapshot',
})

export const taskEnd = object({
  status: taskStatus.describe('`pending`, `paused` or `running`: it goes on elsewhere or later.'),
  output: z.unknown().exactOptional(),
  error: taskError.exactOptional(),
}).meta({ id: 'TaskEnd' })

/** `data` of the `connect_error` of a task's socket. */
export const taskConnectError = object({
  code: z.enum([
    'TASK_NOT_HERE',
    'UNAUTHENTICATED',
    'WRONG_AUDIENCE',
    'STALE_ATTEMPT',
    'TOKEN_EXPIRED',
    'SECRET_MISMATCH',
    'QUEUE_NOT_ALLOWED',
    'NAME_NOT_ALLOWED',
    'RATE_LIMITED',
  ]),
  status: taskStatus.exactOptional(),
  publicUrl: z.string().exactOptional(),
  retryAfter: z.number().exactOptional().describe('In seconds, if too many wrong tokens came from this address.'),
}).meta({ id: 'TaskConnectError' })

const ofTask = { id: z.string(), attempt: z.int().describe('The attempt that runs at this host.') }

/** Whether one task is watched now, or why not. */
export const watchedTask = object({
  id: z.string(),
  attempt: z.int().exactOptional().describe('The attempt that is watched; absent with `error`.'),
  error: wireError.exactOptional(),
  status: taskStatus.exactOptional().describe('With `TASK_NOT_HERE`: its stored status.'),
  publicUrl: z.string().exactOptional().describe('With `TASK_NOT_HERE`: where it runs now.'),
}).meta({ id: 'WatchedTask' })

export const tasksProgress = object({ tasks: z.array(object({ ...ofTask, progress })) }).meta({ id: 'TasksProgress' })
export const taskLines = object({ ...ofTask, lines: z.array(liveLogLine) }).meta({ id: 'TaskLines' })
export const taskEvent = object({ ...ofTask, name: z.string(), data: z.unknown().exactOptional() }).meta({
  id: 'TaskEvent',
})
export const taskDropped = object({ id: z.string(), lines: z.int(), events: z.int() }).meta({ id: 'TaskDropped' })
export const watchedEnd = object({
  ...ofTask,
  ...taskEnd.shape,
  partial: z
    .literal(true)
    .exactOptional()
    .describe('The output was left out, because this client did not read fast enough. The stored task has it.'),
}).meta({ id: 'WatchedEnd' })
