import { z } from 'zod'
import { stats } from './fleet.ts'
import { liveLogLine, progress, task, taskError, taskStatus } from './tasks.ts'
import { date, object } from './values.ts'

export const subscription = z.string().max(64)
export const seq = z.int()
export const epoch = z.string()

export const statsAnswer = object({ subscription, seq, stats })

export const statsDelta = object({ subscription, seq, changes: stats.exactPartial() }).meta({ id: 'StatsDelta' })

export const checksumAnswer = object({ epoch, seq, count: z.int(), checksum: z.string() }).meta({
  id: 'ChecksumAnswer',
})

export const ticketAnswer = object({
  publicUrl: z.string().exactOptional(),
  relayUrl: z.string(),
  token: z.string(),
  expiresAt: date,
}).meta({ id: 'TicketAnswer' })

export const renewalAnswer = object({ expiresAt: date, serverTime: date }).meta({
  id: 'RenewalAnswer',
  description: "How long the connection stays open. Both times are by the server's clock.",
})

export const welcome = object({
  version: z.string(),
  serverTime: date.describe("So that a client can show ages by the server's clock."),
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
