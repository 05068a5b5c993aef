import { z } from 'zod'
import { OPERATIONS, type Operation } from './operations.ts'
import {
  type ClientToGateway,
  type ClientToHost,
  type ClientToTask,
  COLLECTIONS,
  type GatewayToClient,
  type HostToClient,
  type Scope,
  type TaskToClient,
} from './protocol.ts'
import { byCore } from './shapes/by-core.ts'
import * as shapes from './shapes/index.ts'

/** One message of a socket. A message with an answer is acknowledged with `{ ok: true, … }` or `{ ok: false, error }`. */
export interface SocketMessage {
  readonly summary: string
  /** The scope that a key needs; absent if the operation defines it, and for messages from a server. */
  readonly scope?: Scope
  readonly payload: z.ZodType
  readonly answer?: z.ZodType
}

const { tasks, errors, audit } = OPERATIONS
const nothing = z.object({})
const { subscription, seq, epoch } = shapes
const row = z.looseObject({ _id: z.string() }).meta({
  id: 'Row',
  description: 'A row of the requested collection, with the requested `fields`.',
})
const placed = z
  .object({ row, index: z.int().min(0).describe('Its index in the new window.') })
  .meta({ id: 'PlacedRow' })

const queryDelta = z
  .object({
    subscription,
    seq,
    added: z.array(placed).describe('Rows that entered.'),
    changed: z.array(placed).describe('Rows whose content or index changed.'),
    removed: z.array(z.string()).describe('Ids of rows that left, including rows that no longer fit in `limit`.'),
  })
  .meta({ id: 'QueryDelta' })

/** An operation with the message name from before the table; `inside` is the field of the answer with the result. */
const ofOperation = ({ summary, scope, request, answer }: Operation, inside?: string): SocketMessage => ({
  summary,
  scope,
  payload: request,
  answer: answer === null ? nothing : inside === undefined ? answer : z.object({ [inside]: answer }),
})

const taskId = z.strictObject({ id: byCore(shapes.hexId) })

/** The messages that a client may send to a gateway. */
export const GATEWAY_TAKES: Readonly<Record<keyof ClientToGateway, SocketMessage>> = {
  subscribeQuery: {
    summary: 'Subscribes to a query. The answer has `rows`, or with `resume` the missed `deltas`.',
    scope: 'read',
    payload: z
      .strictObject({
        collection: byCore(z.enum(COLLECTIONS).default('tasks')),
        filter: byCore(shapes.filter.optional()),
        sort: byCore(shapes.sort.optional()),
        limit: byCore(z.int().min(1).max(1_000).default(100)),
        fields: byCore(
          z
            .array(z.string())
            .max(64)
            .optional()
            .describe("Dotted paths, such as `input.file`; by default, all fields that aren't heavy."),
        ),
        resume: z
          .strictObject({ epoch: z.string().max(64), seq: z.int().min(0) })
          .optional()
          .describe('The position of the lost connection.'),
      })
      .meta({ id: 'SubscribeQuery' }),
    answer: z
      .object({
        subscription,
        epoch,
        seq,
        rows: z
          .array(row)
          .optional()
          .describe("All current rows, if the subscription is new or the missed deltas can't be replayed."),
        deltas: z.array(queryDelta).optional().describe('The missed deltas, if `resume` was possible.'),
        parts: z
          .literal(true)
          .optional()
          .describe('The rows follow in `queryPart`. Only for connections with `auth: { parts: true }`.'),
      })
      .meta({ id: 'SubscribeAnswer' }),
  },
  unsubscribeQuery: {
    summary:
      'Ends a subscription of `subscribeQuery`, `subscribeStats` or `subscribeAttention`. Ending an unknown subscription is not an error.',
    scope: 'read',
    payload: z.strictObject({ subscription }),
    answer: nothing,
  },
  subscribeStats: {
    summary: 'Counts, rates and latencies of the tasks that match a filter, kept current by `statsDelta`.',
    scope: 'read',
    payload: z.strictObject({ filter: byCore(shapes.filter.optional()) }),
    answer: shapes.statsAnswer,
  },
  subscribeAttention: {
    summary: 'What needs somebody, as `attention.list`, kept current by `attentionRows`.',
    scope: 'read',
    payload: z.strictObject({}),
    answer: shapes.attentionRows,
  },
  checksumQuery: {
    summary: 'The checksum of the rows of a subscription, as of `seq`. docs/protocol.md defines it.',
    scope: 'read',
    payload: z.strictObject({ subscription }),
    answer: shapes.checksumAnswer,
  },
  enqueue: ofOperation(tasks.enqueue, 'task'),
  cancel: ofOperation(tasks.cancel),
  pause: ofOperation(tasks.pause),
  resume: ofOperation(tasks.resume),
  retry: ofOperation(tasks.retry),
  replay: ofOperation(tasks.replay),
  reprioritise: ofOperation(tasks.reprioritise),
  edit: ofOperation(tasks.edit, 'task'),
  explain: ofOperation(tasks.explain, 'explanation'),
  coverage: ofOperation(tasks.coverage, 'coverage'),
  taskLog: ofOperation(tasks.log, 'lines'),
  audit: ofOperation(audit.list, 'entries'),
  markError: ofOperation(errors.mark, 'error'),
  controlWorker: {
    summary: 'Drains a worker, or resumes it.',
    scope: 'control',
    payload: z.strictObject({ worker: z.string().min(1).max(64), action: z.enum(['drain', 'resume']) }),
    answer: nothing,
  },
  controlQueue: {
    summary: 'Pauses a queue, or resumes it.',
    scope: 'control',
    payload: z.strictObject({
      queue: byCore(shapes.queueName),
      action: z.enum(['pause', 'resume']),
      reason: shapes.reason.optional(),
    }),
    answer: z.object({ queue: shapes.queueSettings }),
  },
  taskTicket: {
    summary: "A short-lived token for a running task's own socket.",
    scope: 'read',
    payload: taskId,
    answer: shapes.ticketAnswer,
  },
  hostTicket: {
    summary: 'A short-lived token for the socket of the host that runs a task, where many tasks are watched at once.',
    scope: 'read',
    payload: taskId,
    answer: shapes.hostTicketAnswer,
  },
  operation: {
    summary: 'Any operation by its name, such as `schedules.pause`. docs/protocol.md lists them with their scopes.',
    payload: z
      .strictObject({ name: z.string().max(64), request: z.unknown().optional() })
      .meta({ id: 'OperationRequest' }),
    answer: z.object({ answer: z.unknown().optional() }),
  },
  renewSession: {
    summary: 'A new session of the same key replaces the one that opened this connection. The connection stays open.',
    scope: 'read',
    payload: z.strictObject({ token: z.string().max(2_000).describe('The session, from `POST /api/v1/sessions`.') }),
    answer: shapes.renewalAnswer,
  },
}

/** The messages that a gateway sends. */
export const GATEWAY_SENDS: Readonly<Record<keyof GatewayToClient, SocketMessage>> = {
  welcome: { summary: 'Sent once after the connection.', payload: shapes.welcome },
  queryDelta: { summary: "A change of a subscription's rows.", payload: queryDelta },
  queryReset: {
    summary: "All rows again, because missed changes can't be sent as deltas.",
    payload: z
      .object({
        subscription,
        epoch,
        seq,
        rows: z.array(row),
        reason: shapes.resetReason,
      })
      .meta({ id: 'QueryReset' }),
  },
  queryPart: {
    summary:
      'A part of the rows, for clients that connect with `auth: { parts: true }`. docs/protocol.md says how to assemble them.',
    payload: z
      .object({
        subscription,
        part: z.int().min(0).describe('Counts the parts. Part 0 begins anew.'),
        rows: z.array(row).describe('In any order. A later row replaces an earlier one with its `_id`.'),
        end: z
          .object({
            epoch,
            seq,
            ids: z.array(z.string()).describe('All rows of the window in order; other rows have left it.'),
            reason: shapes.resetReason
              .optional()
              .describe('Why the rows are sent again; absent after `subscribeQuery`.'),
          })
          .optional()
          .describe('Only in the last part.'),
      })
      .meta({ id: 'QueryPart' }),
  },
  statsDelta: {
    summary: 'The changed parts of the statistics, each with its current value.',
    payload: shapes.statsDelta,
  },
  attentionRows: {
    summary: 'What needs somebody now: all rows, whenever they change, or why they could not be read.',
    payload: shapes.attentionRows,
  },
}

const why = z.strictObject({ reason: shapes.reason.optional() })

/** The messages that a client may send on a task's socket, directly or through the relay. */
export const TASK_TAKES: Readonly<Record<keyof ClientToTask, SocketMessage>> = {
  cancel: { summary: 'Requests the task to end.', scope: 'control', payload: why, answer: nothing },
  pause: {
    summary: 'Requests the task to pause and free its slot. It keeps its checkpoint.',
    scope: 'control',
    payload: why,
    answer: nothing,
  },
  message: {
    summary: 'Sends a message to the handler, which answers with `data`.',
    scope: 'control',
    payload: z.strictObject({ name: z.string().min(1).max(128), data: z.unknown().optional() }),
    answer: z.object({ data: z.unknown().optional() }),
  },
}

/** The messages that a task's socket sends. */
export const TASK_SENDS: Readonly<Record<keyof TaskToClient, SocketMessage>> = {
  snapshot: { summary: 'Sent once after the connection, with the last 200 lines.', payload: shapes.taskSnapshot },
  progress: { summary: 'The latest progress, at most 10 times a second.', payload: shapes.progress },
  log: { summary: 'A line of the log.', payload: shapes.liveLogLine },
  event: {
    summary: 'An event from the handler to its watchers.',
    payload: z.object({ name: z.string(), data: z.unknown().optional() }),
  },
  dropped: {
    summary: 'How many log lines and events were left out here, because this client did not read fast enough.',
    payload: z.object({ lines: z.int(), events: z.int() }).meta({ id: 'DroppedMessages' }),
  },
  end: { summary: 'The end of the attempt. Then the server closes the connection.', payload: shapes.taskEnd },
}

/** How many tasks one `watchTasks` or `unwatchTasks` names at most. */
export const WATCHED_AT_ONCE = 500
const someIds = z.array(z.string().max(64)).min(1).max(WATCHED_AT_ONCE)

/** The messages that a client may send on a host's socket, directly or through the relay. */
export const HOST_TAKES: Readonly<Record<keyof ClientToHost, SocketMessage>> = {
  watchTasks: {
    summary:
      'Watches tasks that run at this host. Each has its own answer; watching a task again changes what is sent.',
    scope: 'read',
    payload: z.strictObject({
      ids: someIds,
      logs: z
        .boolean()
        .optional()
        .describe('Also log lines, the last 200 at first. Without it, only progress and ends.'),
      events: z.boolean().optional().describe("Also the handlers' events."),
    }),
    answer: z.object({ tasks: z.array(shapes.watchedTask) }),
  },
  unwatchTasks: {
    summary: 'Ends the watching of tasks. An unknown one is not an error.',
    scope: 'read',
    payload: z.strictObject({ ids: someIds }),
    answer: nothing,
  },
  messageTask: {
    summary: 'Sends a message to the handler of a task, which answers with `data`.',
    scope: 'control',
    payload: z.strictObject({
      id: byCore(shapes.hexId),
      name: z.string().min(1).max(128),
      data: z.unknown().optional(),
    }),
    answer: z.object({ data: z.unknown().optional() }),
  },
}

/** The messages that a host's socket sends. Each names its task. */
export const HOST_SENDS: Readonly<Record<keyof HostToClient, SocketMessage>> = {
  tasksProgress: {
    summary: 'The latest progress of each task that has reported since the last message, at most 20 messages a second.',
    payload: shapes.tasksProgress,
  },
  taskLines: { summary: "Lines of a task's log.", payload: shapes.taskLines },
  taskEvent: { summary: 'An event from the handler of a task.', payload: shapes.taskEvent },
  taskDropped: {
    summary: 'How many log lines and events of a task were left out, because this client did not read fast enough.',
    payload: shapes.taskDropped,
  },
  taskEnd: {
    summary: 'The end of an attempt. The task is no longer watched here, and the connection stays open.',
    payload: shapes.watchedEnd,
  },
}

/** The error answer that every request may get. */
export const refusal = z
  .object({
    ok: z.literal(false),
    error: shapes.wireError,
  })
  .meta({ id: 'Refusal', description: 'Any request may get this answer. The codes are in docs/protocol.md.' })
