/**
 * What travels between a gateway, a task's socket and their clients: plain types and pure functions without Node or
 * MongoDB, so that a browser can load this entry. The prose to it is `docs/protocol.md`.
 */

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

/** Names accepted wherever a priority is, with the numbers they stand for. */
export const PRIORITY_NAMES = { low: 2, medium: 5, high: 8 } as const
export type PriorityName = keyof typeof PRIORITY_NAMES
/** 1 to 10, higher first, or one of the three names. */
export type Priority = number | PriorityName

/** How far a task is. All fields but `at` come from the handler. */
export interface Progress {
  /** 0 to 1. Derived from `done / total` where only those are given. */
  ratio?: number
  done?: number
  total?: number
  /** What `done` and `total` count, for example `bytes`. */
  unit?: string
  message?: string
  /** When the worker reported it (ISO 8601). */
  at: string
}

export interface TaskErrorView {
  code: string
  name: string
  message: string
  /** Equal for errors that are the same fault. */
  fingerprint: string
  stack?: string
}

/** How an attempt ended. */
export type AttemptOutcome = 'completed' | 'failed' | 'lost' | 'released' | 'paused' | 'cancelled' | 'snoozed'

export interface AttemptView {
  /** The claim's number, from 1. */
  n: number
  worker: string
  claimedAt: string
  endedAt?: string
  outcome?: AttemptOutcome
  error?: TaskErrorView
}

export interface ControlView {
  action: 'cancel' | 'pause'
  by: string
  reason?: string
  at: string
}

/** A task as clients see it: ids are hex, dates ISO 8601, and nothing that proves a claim. */
export interface TaskRow {
  _id: string
  name: string
  version: number
  /** Only where `fields` asks for it. */
  input?: unknown
  /** Only where `fields` asks for it. */
  output?: unknown
  status: TaskStatus
  queue: string
  priority: number
  basePriority: number
  runAt: string
  order: string
  deadline?: string
  lazy: boolean
  attempt: number
  failures: number
  lost: number
  maxAttempts: number
  /** Only where `fields` asks for it. */
  attempts?: AttemptView[]
  attemptsDropped?: number
  worker?: string
  publicUrl?: string
  control?: ControlView
  progress?: Progress
  /** Only where `fields` asks for it. */
  checkpoint?: unknown
  error?: TaskErrorView
  key?: string
  parent?: string
  after?: string
  replayOf?: string
  schedule?: string
  event?: string
  rev: number
  createdAt: string
  updatedAt: string
  claimedAt?: string
  startedAt?: string
  finishedAt?: string
  expireAt?: string
}

export type WorkerState = 'running' | 'draining' | 'stopped'

/** A worker process as clients see it. */
export interface WorkerRow {
  _id: string
  /** What people call it; `_id` is new at every start. */
  name: string
  host: string
  pid: number
  /** A worker runs tasks; a gateway alone only serves those who watch. */
  role: 'worker' | 'gateway'
  /** Where its gateway and task sockets listen, if they do. */
  url?: string
  state: WorkerState
  queues: string[]
  /** `name@version` of everything it can run. */
  tasks: string[]
  /** How many tasks it runs at once at most. */
  slots: number
  running: number
  load: { cpu: number; rss: number; memoryFree: number; eventLoopDelayMs: number }
  /** The load gate and why it is closed; open while absent. */
  gate?: { open: boolean; reason?: string }
  /** How often it says that it lives, in milliseconds. Silent for three of these means gone. */
  heartbeatMs: number
  version: string
  startedAt: string
  heartbeatAt: string
  stoppedAt?: string
  rev: number
}

/** Rows of collections whose documents have no type of their own yet. */
export interface OtherRow {
  _id: string
  rev?: number
  [field: string]: unknown
}

export interface CollectionRows {
  tasks: TaskRow
  workers: WorkerRow
  queues: OtherRow
  schedules: OtherRow
  events: OtherRow
}
export type CollectionName = keyof CollectionRows
export const COLLECTIONS = ['tasks', 'workers', 'queues', 'schedules', 'events'] as const satisfies CollectionName[]

export type Row = { _id: string }

export interface Delta<R extends Row = Row> {
  /** Rows that entered, with their place in the new window. */
  added: { row: R; index: number }[]
  /** Rows whose content or place changed, with their place in the new window. */
  changed: { row: R; index: number }[]
  /** Ids that left, those pushed out beyond `limit` included. */
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

export type ResetReason = 'HISTORY_LOST' | 'SLOW_CONSUMER' | 'RESUME_TOO_OLD' | 'COLLECTION_GONE' | 'AUDIT'

export interface QueryReset<R extends Row = Row> {
  subscription: string
  epoch: string
  seq: number
  rows: R[]
  reason: ResetReason
}

/** An error as it travels: `code` is stable and meant for programs, `message` for people. */
export interface WireError {
  code: string
  message: string
  field?: string
}

export type Ack<T = object> = ({ ok: true } & T) | { ok: false; error: WireError }

export interface SubscribeAnswer<R extends Row = Row> {
  subscription: string
  epoch: string
  seq: number
  /** The present, when the subscription is new or what was missed can't be replayed. */
  rows?: R[]
  /** What was missed, when `resume` could be honoured. */
  deltas?: QueryDelta<R>[]
}

/** Which tasks a command means: exactly one of the three. */
export type TaskSelection = { id: string } | { ids: string[] } | { filter: Record<string, unknown> }
export type CommandRequest = TaskSelection & { dryRun?: boolean; reason?: string }

export interface CommandAnswer {
  /** How many tasks the selection names. */
  matched: number
  /** How many it changed, or asked their worker to change; 0 for a dry run. */
  changed: number
  /** Those that could not be changed, and why. */
  refused: { id: string; error: WireError }[]
}

export interface EnqueueOptions {
  priority?: Priority
  /** ISO 8601 on the wire. */
  runAt?: string | Date
  deadline?: string | Date
  position?: 'front' | 'back'
  lazy?: boolean
  key?: string
  queue?: string
  after?: string
  maxAttempts?: number
}

export interface EnqueueRequest extends EnqueueOptions {
  /** Makes a repeated request harmless: the same id with the same content is one task. */
  _id?: string
  name: string
  version?: number
  input?: unknown
}

export interface TicketAnswer {
  publicUrl?: string
  relayUrl: string
  token: string
  /** ISO 8601. */
  expiresAt: string
}

type Acked<T> = (answer: Ack<T>) => void

/** What a client may send on the gateway's namespace. */
export interface ClientToGateway {
  subscribeQuery: (request: SubscribeQuery, ack: Acked<SubscribeAnswer>) => void
  unsubscribeQuery: (request: { subscription: string }, ack: Acked<object>) => void
  enqueue: (request: EnqueueRequest, ack: Acked<{ task: TaskRow }>) => void
  cancel: (request: CommandRequest, ack: Acked<CommandAnswer>) => void
  taskTicket: (request: { id: string }, ack: Acked<TicketAnswer>) => void
}

export interface GatewayToClient {
  queryDelta: (delta: QueryDelta) => void
  queryReset: (reset: QueryReset) => void
  /** Sent once after the connection: what the gateway is and what it can do. */
  welcome: (welcome: Welcome) => void
}

export interface Welcome {
  version: string
  /** The server's time, so that a client can show ages by the server's clock. */
  serverTime: string
  /** The worker whose gateway this is, or absent for a gateway alone. */
  worker?: string
  scopes: string[]
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LogLine {
  /** Counts the attempt's lines from 1. */
  seq: number
  at: string
  level: LogLevel
  message: string
}

export interface TaskSnapshot {
  task: TaskRow
  progress: Progress | null
  log: LogLine[]
}

export interface TaskEnd {
  /** `pending`, `paused` or `running` means that it goes on elsewhere or later. */
  status: TaskStatus
  output?: unknown
  error?: TaskErrorView
}

/** What a client may send on a task's socket. */
export interface ClientToTask {
  cancel: (request: { reason?: string }, ack: Acked<object>) => void
  pause: (request: { reason?: string }, ack: Acked<object>) => void
  message: (request: { name: string; data?: unknown }, ack: Acked<{ data?: unknown }>) => void
}

export interface TaskToClient {
  snapshot: (snapshot: TaskSnapshot) => void
  progress: (progress: Progress) => void
  log: (line: LogLine) => void
  event: (event: { name: string; data?: unknown }) => void
  end: (end: TaskEnd) => void
}

/** `data` of the `connect_error` of a task's socket. */
export interface TaskConnectError {
  code: 'TASK_NOT_HERE' | 'UNAUTHENTICATED' | 'WRONG_AUDIENCE' | 'STALE_ATTEMPT' | 'TOKEN_EXPIRED'
  status?: TaskStatus
  publicUrl?: string
}

/**
 * The window after a delta: every row that the delta names is taken out, then the changed and added ones are put in by
 * ascending index. Returns a new array; rows that the delta doesn't name keep their identity.
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

/** The labels that people see beside the status; derived, never stored. */
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
