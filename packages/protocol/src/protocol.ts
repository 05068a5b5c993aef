/**
 * The messages between a gateway, a task's socket and their clients: plain types and pure functions without Node or MongoDB, so
 * that a browser can load this entry. `docs/protocol.md` describes them.
 *
 * A type with a schema in `shapes/` is inferred from it. It is an interface and not an alias, because aliases lose their name:
 * editors and built declarations would show all of its fields instead, without their comments.
 */

import type { z } from 'zod'
import type * as shapes from './shapes/index.ts'

export { durationText, milliseconds, shortDuration } from './duration.ts'

/** Every state that a task can be in. "scheduled", "retrying" and "overdue" are labels derived from these. */
export const STATUSES = ['pending', 'running', 'paused', 'blocked', 'completed', 'failed', 'cancelled'] as const
export type TaskStatus = (typeof STATUSES)[number]

const ENDED: Record<TaskStatus, boolean> = {
  pending: false,
  running: false,
  paused: false,
  blocked: false,
  completed: true,
  failed: true,
  cancelled: true,
}

/** Whether a task in this status will never run again by itself. */
export function hasEnded(status: TaskStatus): boolean {
  return ENDED[status]
}

/** The names of priorities with their numbers. A name may be used for every priority. */
export const PRIORITY_NAMES = { low: 2, medium: 5, high: 8 } as const
export type PriorityName = keyof typeof PRIORITY_NAMES
/** 1 to 10, higher first, or one of the three names. */
export type Priority = number | PriorityName

/** The progress of a task. All fields except `at` come from the handler. */
export interface Progress extends z.output<typeof shapes.progress> {}

export interface TaskErrorView extends z.output<typeof shapes.taskError> {}

/** What a task does when a task that it waits for fails, is cancelled or is removed. */
export const IF_FAILED = ['fail', 'cancel', 'run', 'wait'] as const
/** `fail` and `cancel` end it. `run` runs it once all have ended. `wait` waits until they are retried and complete. */
export type IfFailed = (typeof IF_FAILED)[number]

/** How an attempt ended. */
export type AttemptOutcome = NonNullable<AttemptView['outcome']>

export interface AttemptView extends z.output<typeof shapes.attempt> {}

export interface ControlView extends NonNullable<TaskRow['control']> {}

/** A task as clients see it: ids are hex, dates are ISO 8601, and the proof of a claim is left out. */
export interface TaskRow extends z.output<typeof shapes.task> {}

/** A task as it was stored. `served: false` is a warning: no live worker has a handler for it in its queue. */
export interface StoredTask extends z.output<typeof shapes.storedTask> {}

/** The ids of the tasks that a task waits for, in their order. */
export function afterIds({ after }: Pick<TaskRow, 'after'>): string[] {
  return after === undefined ? [] : Array.isArray(after) ? after : [after]
}

/** `dead`: it was silent for too long, so its session was ended and its tasks run elsewhere. A worker that comes back has a new session. */
export type WorkerState = WorkerRow['state']

/** A worker process as clients see it. */
export interface WorkerRow extends z.output<typeof shapes.worker> {}

export type ErrorState = ErrorRow['state']

/** Errors with the same fingerprint, which are the same fault: what fails, where, and since when. */
export interface ErrorRow extends z.output<typeof shapes.errorGroup> {}

/** Absent fields stay as they are; `null` removes the owner or the note. */
export interface ErrorMarkRequest {
  fingerprint: string
  state?: ErrorState
  /** For `ignored`: it opens again when it comes back after this date. */
  until?: string
  /** For `resolved`: `name@version`. It opens again only when it comes from this version or a later one, or from another handler. */
  resolvedIn?: string
  owner?: string | null
  note?: string | null
}

/** The settings of a queue. A queue without settings has no document. */
export interface QueueRow extends z.output<typeof shapes.queueSettings> {}

/** A queue in the list of all, with or without settings. */
export interface QueueListRow extends z.output<typeof shapes.queue> {}

/** At most `limit` starts in any span of `per` milliseconds. */
export interface QueueRate extends NonNullable<QueueRow['rate']> {}

/** The limits of a queue; null removes a limit. */
export interface QueueLimits {
  concurrency?: number | null
  rate?: { limit: number; per: Duration } | null
  maxWaiting?: number | null
}

export type EventStatus = EventRow['status']

/** Something that happened or will happen, with a task for each callback of its name. */
export interface EventRow extends z.output<typeof shapes.event> {}

/** An event as it is posted. */
export interface EventRequest extends z.output<typeof shapes.newEvent> {}
export type EventChanges = Pick<EventRequest, 'scheduledFor' | 'priority'>

/** "When an event of this name arrives, run this task." */
export interface CallbackRow extends z.output<typeof shapes.callback> {}

/** The limits that a schedule or a callback gives its tasks. They replace the handler's. */
export type BudgetOptions = Pick<EnqueueOptions, 'maxAttempts' | 'retry' | 'timeout' | 'totalTimeout' | 'stall'>
/** The limits in their stored form, with durations in milliseconds. */
export type BudgetRow = Pick<TaskRow, 'retry' | 'timeout' | 'totalTimeout' | 'stall'> & { maxAttempts?: number }

/** A request to make a callback. */
export interface CallbackRequest extends z.output<typeof shapes.newCallback> {}

/** Which missed slots get a task afterwards: none, the latest, or all (up to 100). A slot is missed if no worker was there. */
export const MISSED_POLICIES = ['skip', 'latest', 'all'] as const
export type MissedPolicy = (typeof MISSED_POLICIES)[number]
/** Whether a slot is skipped while a task of its schedule has not ended. */
export const OVERLAP_POLICIES = ['allow', 'skip'] as const
export type OverlapPolicy = (typeof OVERLAP_POLICIES)[number]
/** Why a slot has no task: no worker was there in time, or a task of the schedule had not ended. */
export type SkipReason = NonNullable<ScheduleRow['lastSkipped']>['reason']

/** "At these times, run this task." */
export interface ScheduleRow extends z.output<typeof shapes.schedule> {}

/** When a schedule runs: exactly one of `cron` and `every`. */
export interface TimingRequest extends Pick<NewSchedule, 'cron' | 'every' | 'timeZone' | 'startsAt' | 'endsAt'> {}

/** All fields of a schedule except its task. */
export interface ScheduleFields extends Omit<NewSchedule, 'task' | 'version' | 'input'> {}

/** A request to make a schedule. */
export interface NewSchedule extends z.output<typeof shapes.newSchedule> {}
/** Changes to a schedule. `null` removes an optional field. */
export type ScheduleChanges = OrNull<Omit<NewSchedule, '_id' | 'options'>> & {
  /** Only the given options change. */
  options?: OrNull<NonNullable<NewSchedule['options']>>
}
type OrNull<Fields> = { [Field in keyof Fields]?: Fields[Field] | null }

/** A row of any collection. */
export interface OtherRow {
  _id: string
  rev?: number
  [field: string]: unknown
}

export interface CollectionRows {
  tasks: TaskRow
  workers: WorkerRow
  queues: QueueRow
  schedules: ScheduleRow
  events: EventRow
  errors: ErrorRow
}
export type CollectionName = keyof CollectionRows
/** A malformed document that is set aside. */
export interface SetAsideRow extends z.output<typeof shapes.setAsideDocument> {}

export const COLLECTIONS = [
  'tasks',
  'workers',
  'queues',
  'schedules',
  'events',
  'errors',
] as const satisfies CollectionName[]

export type Row = { _id: string }

export interface Delta<R extends Row = Row> {
  /** Rows that entered, with their index in the new window. */
  added: { row: R; index: number }[]
  /** Rows whose content or index changed, with their index in the new window. */
  changed: { row: R; index: number }[]
  /** Ids of rows that left, including rows that no longer fit in `limit`. */
  removed: string[]
}

export type QuerySort = Record<string, 1 | -1>

export interface QueryRequest {
  collection?: CollectionName
  filter?: Record<string, unknown>
  sort?: QuerySort
  limit?: number
  fields?: string[]
}

export interface SubscribeQuery extends QueryRequest {
  resume?: { epoch: string; seq: number }
}

export interface QueryDelta<R extends Row = Row> extends Delta<R> {
  subscription: string
  seq: number
}

export type ResetReason = z.output<typeof shapes.resetReason>

export interface QueryReset<R extends Row = Row> {
  subscription: string
  epoch: string
  seq: number
  rows: R[]
  reason: ResetReason
}

/** A part of the rows of a subscription, for a client that takes parts. */
export interface QueryPart<R extends Row = Row> {
  subscription: string
  /** Counts the parts. Part 0 begins anew. */
  part: number
  /** In any order. A later row replaces an earlier one with its `_id`. */
  rows: R[]
  /** Only in the last part: the place of the rows, and the ids of all rows of the window in order. */
  end?: { epoch: string; seq: number; ids: string[]; reason?: ResetReason }
}

/** The events of an interval of ten seconds. */
export interface StatsSlot extends z.output<typeof shapes.statsSlot> {}

/** In milliseconds, over the last five minutes. Without samples, there is only a count of 0. */
export interface Percentiles extends z.output<typeof shapes.percentiles> {}

/** What ended in a minute or an hour: attempts of one queue, name, host and outcome, and the status of their tasks after it. */
export interface HistoryRow extends z.output<typeof shapes.historyRow> {}

/** What waited in a minute or an hour. Minutes without a row had no gateway that counted. */
export interface WaitingRow extends z.output<typeof shapes.waitingRow> {}

/** Dates are ISO 8601 texts. */
export interface HistoryRequest {
  unit?: 'minute' | 'hour'
  since?: string
  until?: string
  queue?: string
  name?: string
}

/** Counts, rates and latencies of the tasks that fit a filter. */
export interface FleetStats extends z.output<typeof shapes.stats> {}

export interface StatsAnswer extends z.output<typeof shapes.statsAnswer> {}

/** The changed parts of the statistics, each with its current value. */
export interface StatsDelta extends z.output<typeof shapes.statsDelta> {}

/** What needs somebody, as of `seq`. */
export interface AttentionRows extends z.output<typeof shapes.attentionRows> {}

/** The checksum of the rows of a window as of `seq`; see `rowsChecksum`. */
export interface ChecksumAnswer extends z.output<typeof shapes.checksumAnswer> {}

/** An error in a message: `code` is stable and for programs, `message` is for people. */
export interface WireError extends z.output<typeof shapes.wireError> {}

export type Ack<T = object> = ({ ok: true } & T) | { ok: false; error: WireError }

export interface SubscribeAnswer<R extends Row = Row> {
  subscription: string
  epoch: string
  seq: number
  /** All current rows, if the subscription is new or the missed deltas can't be replayed. */
  rows?: R[]
  /** The missed deltas, if `resume` was possible. */
  deltas?: QueryDelta<R>[]
  /** The rows follow in `queryPart`. */
  parts?: true
}

/** Selects the tasks of a command: exactly one of the three. */
export type TaskSelection = { id: string } | { ids: string[] } | { filter: Record<string, unknown> }
export type CommandRequest = TaskSelection & {
  /** Only count the tasks that would be changed. */
  dryRun?: boolean
  /** For the audit log, and for the handler that is stopped. */
  reason?: string
}

/** Changes to a waiting task. Absent fields stay as they are; `null` removes a field. */
export interface TaskChanges extends Omit<z.output<typeof shapes.changes>, 'rev' | 'reason'> {}
export type ReprioritiseRequest = CommandRequest & Pick<TaskChanges, 'priority' | 'position'>
/** `rev`: only if the task still has this revision. */
export type EditRequest = { id: string; rev?: number; changes: TaskChanges; reason?: string }
/** `input` replaces the input; only for a single `id`. */
export type ReplayRequest = CommandRequest & { input?: unknown }

/** The names of the commands that change tasks, as in messages. */
export const COMMANDS = ['cancel', 'pause', 'resume', 'retry', 'replay', 'reprioritise'] as const
export type CommandName = (typeof COMMANDS)[number]

export interface CommandAnswer extends z.output<typeof shapes.commandAnswer> {}

/** A command on many tasks, which a gateway carries out: exactly one of `ids` and `filter`. */
export interface BulkRequest extends z.output<typeof shapes.bulkRequest> {}

/** A command on many tasks that a gateway carries out, with its counts. */
export interface BulkRow extends z.output<typeof shapes.bulkRow> {}

/** One reason why a task does not run, or its current state. */
export interface ExplainReason extends z.output<typeof shapes.explainReason> {}

export interface Explanation extends z.output<typeof shapes.explanation> {}

/** Tasks of one `name@version` in a queue that wait or will be made, and the workers that serve them. */
export interface CoverageRow extends z.output<typeof shapes.coverageRow> {}

/** A handler that live workers have. */
export interface HandlerRow extends z.output<typeof shapes.handlerRow> {}

/** Something that needs somebody. */
export interface AttentionRow extends z.output<typeof shapes.attentionRow> {}

/** Who did what to which tasks. */
export interface AuditEntry extends z.output<typeof shapes.auditEntry> {}

/** What a key may do: `read` subscribes and lists, `write` stores, `control` changes existing things, `admin` may do everything. */
export const SCOPES = ['read', 'write', 'control', 'worker', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

export type KeyState = KeyRow['state']

/** A key without its secret. */
export interface KeyRow extends z.output<typeof shapes.key> {}

/** A request to make a key; dates are ISO 8601. */
export interface KeyRequest extends z.output<typeof shapes.newKey> {}

/** Changes to a key. `null` removes a limit or the expiry date. */
export interface KeyEdit extends z.output<typeof shapes.keyChanges> {}

/** How long ended tasks are kept, in milliseconds; null to keep them forever. */
export type Retention = z.output<typeof shapes.retention>

/** Which ended tasks to remove. */
export interface PruneRequest extends z.output<typeof shapes.pruneRequest> {}

export interface Pruned extends z.output<typeof shapes.pruned> {}

export interface StoredLogLine extends z.output<typeof shapes.logLine> {}

/** Which log lines of a task to read. */
export interface LogRequest {
  id: string
  attempt?: number
  before?: { attempt: number; seq: number }
  limit?: number
}

/** Which failed attempts count: all, or only attempts that did not change the checkpoint. */
export const FAILURE_COUNTS = ['every', 'without-progress'] as const
export type FailureCounts = (typeof FAILURE_COUNTS)[number]

export interface BackoffOptions extends NonNullable<RetryOptions['backoff']> {}

/** When a failed task is tried again, and how often. */
export interface RetryOptions extends z.output<typeof shapes.retry> {}

export interface EnqueueOptions extends Omit<EnqueueRequest, '_id' | 'name' | 'version' | 'input'> {}

/** Milliseconds, or a number with `ms`, `s`, `m`, `h` or `d`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

export interface EnqueueRequest extends z.output<typeof shapes.newTask> {}

export interface TicketAnswer extends z.output<typeof shapes.ticketAnswer> {}

export interface HostTicketAnswer extends z.output<typeof shapes.hostTicketAnswer> {}

/** Whether one task is watched at a host now, or why not. */
export interface WatchedTask extends z.output<typeof shapes.watchedTask> {}

/** A client's message with its acknowledgement. */
type Message<Request, Answer = object> = (request: Request, ack: (answer: Ack<Answer>) => void) => void

/** What a client may send on the gateway's namespace. */
export interface ClientToGateway {
  subscribeQuery: Message<SubscribeQuery, SubscribeAnswer>
  /** Also ends subscriptions of `subscribeStats` and `subscribeAttention`. */
  unsubscribeQuery: Message<{ subscription: string }>
  subscribeStats: Message<{ filter?: Record<string, unknown> }, StatsAnswer>
  subscribeAttention: Message<object, AttentionRows>
  /** Lets a client check its rows. */
  checksumQuery: Message<{ subscription: string }, ChecksumAnswer>
  enqueue: Message<EnqueueRequest, { task: StoredTask }>
  cancel: Message<CommandRequest, CommandAnswer>
  pause: Message<CommandRequest, CommandAnswer>
  resume: Message<CommandRequest, CommandAnswer>
  /** Failed and cancelled tasks wait again, with all their tries. */
  retry: Message<CommandRequest, CommandAnswer>
  /** Makes new tasks from ended ones. */
  replay: Message<ReplayRequest, CommandAnswer>
  reprioritise: Message<ReprioritiseRequest, CommandAnswer>
  edit: Message<EditRequest, { task: TaskRow }>
  explain: Message<{ id: string }, { explanation: Explanation }>
  coverage: Message<object, { coverage: CoverageRow[] }>
  /** The newest stored lines before `before`, the oldest of them first. */
  taskLog: Message<LogRequest, { lines: StoredLogLine[] }>
  /** The newest first. With `id`, the entries of one task. */
  audit: Message<{ id?: string; limit?: number }, { entries: AuditEntry[] }>
  markError: Message<ErrorMarkRequest, { error: ErrorRow }>
  controlWorker: Message<{ worker: string; action: 'drain' | 'resume' }>
  controlQueue: Message<{ queue: string; action: 'pause' | 'resume'; reason?: string }, { queue: QueueRow }>
  taskTicket: Message<{ id: string }, TicketAnswer>
  /** For the socket of the host that runs this task. It lets a client watch all tasks there that its key may read. */
  hostTicket: Message<{ id: string }, HostTicketAnswer>
  /** Replaces the session that opened this connection by a fresh one of the same key. The connection stays open. */
  renewSession: Message<{ token: string }, RenewalAnswer>
  /** Any operation of the table by its name, such as `schedules.pause`. `answer` is absent if the operation has no answer. */
  operation: Message<{ name: string; request?: unknown }, { answer?: unknown }>
}

export interface GatewayToClient {
  queryDelta: (delta: QueryDelta) => void
  queryReset: (reset: QueryReset) => void
  /** Only to connections with `auth: { parts: true }`. */
  queryPart: (part: QueryPart) => void
  statsDelta: (delta: StatsDelta) => void
  attentionRows: (now: AttentionRows) => void
  /** Sent once after the connection: what the gateway is and what it can do. */
  welcome: (welcome: Welcome) => void
}

/** How long a connection stays open. Both times are by the server's clock, so their difference is right on any clock. */
export interface RenewalAnswer extends z.output<typeof shapes.renewalAnswer> {}

export interface Welcome extends z.output<typeof shapes.welcome> {}

export type LogLevel = LogLine['level']

export interface LogLine extends Omit<StoredLogLine, 'attempt'> {}

export interface TaskSnapshot extends z.output<typeof shapes.taskSnapshot> {}

/** How many messages were not sent to a watcher because it did not read fast enough. */
export interface DroppedMessages {
  lines: number
  events: number
}

export interface TaskEnd extends z.output<typeof shapes.taskEnd> {}

/** What a client may send on a task's socket. */
export interface ClientToTask {
  cancel: Message<{ reason?: string }>
  pause: Message<{ reason?: string }>
  message: Message<{ name: string; data?: unknown }, { data?: unknown }>
}

export interface TaskToClient {
  snapshot: (snapshot: TaskSnapshot) => void
  progress: (progress: Progress) => void
  log: (line: LogLine) => void
  event: (event: { name: string; data?: unknown }) => void
  dropped: (dropped: DroppedMessages) => void
  end: (end: TaskEnd) => void
}

/** What a client may send on a host's socket. */
export interface ClientToHost {
  /** Each task is checked by itself: one that can't be watched has its `error` in the answer, and the others are watched. */
  watchTasks: Message<{ ids: string[]; logs?: boolean; events?: boolean }, { tasks: WatchedTask[] }>
  unwatchTasks: Message<{ ids: string[] }>
  messageTask: Message<{ id: string; name: string; data?: unknown }, { data?: unknown }>
}

/** Each message names its task. */
export interface HostToClient {
  /** The latest progress of each task that has reported since the last message. */
  tasksProgress: (news: TasksProgress) => void
  taskLines: (news: TaskLines) => void
  taskEvent: (news: TaskEvent) => void
  taskDropped: (dropped: TaskDropped) => void
  /** The attempt has ended, and the task is no longer watched here. */
  taskEnd: (end: WatchedEnd) => void
}

export interface TasksProgress extends z.output<typeof shapes.tasksProgress> {}
export interface TaskLines extends z.output<typeof shapes.taskLines> {}
export interface TaskEvent extends z.output<typeof shapes.taskEvent> {}
export interface TaskDropped extends z.output<typeof shapes.taskDropped> {}
export interface WatchedEnd extends z.output<typeof shapes.watchedEnd> {}

/** `data` of the `connect_error` of a task's socket. */
export interface TaskConnectError extends z.output<typeof shapes.taskConnectError> {}

/**
 * The window after a delta: first all rows in the delta are removed, then its changed and added rows are inserted by ascending
 * index. Returns a new array. Rows that are not in the delta keep their identity.
 */
export function applyDelta<R extends Row>(rows: readonly R[], delta: Delta<R>): R[] {
  const named = new Set(delta.removed)
  for (const { row } of delta.added) named.add(row._id)
  for (const { row } of delta.changed) named.add(row._id)
  const next = rows.filter((row) => !named.has(row._id))
  const placed = [...delta.added, ...delta.changed].sort((a, b) => a.index - b.index)
  for (const { row, index } of placed) next.splice(index, 0, row)
  return next
}

/**
 * A checksum of a client's rows: 64-bit FNV-1a over `_id:rev` of each row in order, each followed by a line feed, as UTF-8. The
 * result has 16 hexadecimal digits. A missing `rev` counts as 0. See http://www.isthe.com/chongo/tech/comp/fnv/.
 */
export function rowsChecksum(rows: readonly { _id: string; rev?: number }[]): string {
  let hash = 0xcbf29ce484222325n
  for (const byte of new TextEncoder().encode(rows.map(({ _id, rev }) => `${_id}:${rev ?? 0}\n`).join(''))) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn
  }
  return hash.toString(16).padStart(16, '0')
}

/** The labels that people see beside the status. They are derived and never stored. */
export type TaskLabel = 'scheduled' | 'retrying' | 'overdue'

/**
 * @param now the server's time in milliseconds
 */
export function taskLabels(
  task: Pick<TaskRow, 'status' | 'runAt' | 'attempt'> & { deadline?: string },
  now: number,
): TaskLabel[] {
  const labels: TaskLabel[] = []
  if (task.status === 'pending' && Date.parse(task.runAt) > now && task.attempt === 0) labels.push('scheduled')
  if (task.status === 'pending' && task.attempt > 0) labels.push('retrying')
  if (!hasEnded(task.status) && task.deadline !== undefined && Date.parse(task.deadline) <= now) labels.push('overdue')
  return labels
}
