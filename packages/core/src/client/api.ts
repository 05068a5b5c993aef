import type { FleetError } from '../fleet-error.ts'
import type {
  AuditEntry,
  CollectionName,
  CollectionRows,
  CommandAnswer,
  CommandRequest,
  CoverageRow,
  Delta,
  EditRequest,
  EnqueueRequest,
  ErrorRow,
  ErrorState,
  Explanation,
  FleetStats,
  LogLine,
  Progress,
  QueryRequest,
  QueueRow,
  ReplayRequest,
  ReprioritiseRequest,
  ResetReason,
  StoredLogLine,
  TaskEnd,
  TaskRow,
  Welcome,
} from '../protocol.ts'

export interface FleetClientOptions {
  /** The gateway's address; in a browser the page's own origin by default. */
  url?: string
  /**
   * A key, or a session's token. A function is asked anew before each connection, and for a fresh session before the one that
   * opened a connection ends. What it rejects with `UNAUTHENTICATED`, `FORBIDDEN` or `RATE_LIMITED` is a refusal; after
   * anything else it is asked again.
   */
  token?: string | (() => string | Promise<string>)
  /** How task sockets are reached: straight, falling back to the relay (default), or always by the relay. */
  reach?: 'direct' | 'relay'
}

export type ConnectionState = 'connecting' | 'live' | 'reconnecting' | 'refused' | 'closed'

/** Why rows were replaced: the first answer, a reset by the gateway, or a reconnection that could not resume. */
export type RowsReason = 'snapshot' | 'delta' | 'resync' | ResetReason

export type RowsListener<N extends CollectionName> = (
  rows: readonly CollectionRows[N][],
  /** What changed, which is nothing after a lost connection that missed nothing; `null` when all rows were replaced. */
  delta: Delta<CollectionRows[N]> | null,
  reason: RowsReason,
) => void

/**
 * Hears that what was subscribed is refused now, such as with `FORBIDDEN` after the key has lost a right. It is closed then and
 * holds nothing any more; once the key may again, it can be subscribed anew with the next connection.
 */
export type RefusedListener = (error: FleetError) => void

export interface LiveQuery<N extends CollectionName> {
  readonly rows: readonly CollectionRows[N][]
  /** False while the rows may be behind: before the first answer and while the connection is down. */
  readonly live: boolean
  close(): Promise<void>
}

/** Statistics that are kept current. */
export interface LiveStatsHandle {
  readonly stats: FleetStats
  close(): Promise<void>
}

/** Where the details of a watched task come from at the moment. */
export type WatchSource =
  | { state: 'connecting'; publicUrl?: string }
  /** Its own socket, straight or by the relay. */
  | { state: 'live'; via: 'direct' | 'relay'; publicUrl: string }
  /** Neither way works: only the checkpoint in the database is known. */
  | { state: 'unreachable'; publicUrl: string; reason: string }
  /** No worker runs it now. */
  | { state: 'waiting' }
  | { state: 'ended' }

export interface WatchListeners {
  onTask?: (task: TaskRow) => void
  onProgress?: (progress: Progress) => void
  onLog?: (line: LogLine) => void
  /** The task's own events, sent by its handler. */
  onEvent?: (event: { name: string; data?: unknown }) => void
  /** Where details come from, each time that changes. */
  onSource?: (source: WatchSource) => void
  /** The task has ended for good. */
  onEnd?: (end: TaskEnd) => void
  /** It may not be watched any more, and the watch is closed. */
  onRefused?: RefusedListener
}

export interface TaskWatch {
  readonly source: WatchSource
  cancel(reason?: string): Promise<void>
  message(name: string, data?: unknown): Promise<unknown>
  close(): void
}

/** The public face of `FleetClient`; also what the monitor's tests stand in for. */
export interface FleetApi extends FleetControl {
  readonly state: ConnectionState
  readonly welcome: Welcome | undefined
  /** Milliseconds to add to the local clock to get the server's. */
  readonly clockOffset: number
  /** Called at once and on every change; returns its undo. */
  onState(listener: (state: ConnectionState, error?: Error) => void): () => void
  subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
    onRefused?: RefusedListener,
  ): Promise<LiveQuery<N>>
  /** Counts, rates and latencies of the tasks that fit a filter; `listener` hears of the first and of every change. */
  subscribeStats(
    request: { filter?: Record<string, unknown> },
    listener: (stats: FleetStats) => void,
    onRefused?: RefusedListener,
  ): Promise<LiveStatsHandle>
  watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch>
  close(): void
}

/** What can be asked of a fleet: by a client over its socket, or straight on the database. */
export interface FleetControl {
  /** Repeating it with the same `_id` is harmless. */
  enqueue(request: EnqueueRequest): Promise<TaskRow>
  cancel(request: CommandRequest): Promise<CommandAnswer>
  /** A running task keeps its checkpoint, gives its slot up and waits until it is resumed. */
  pause(request: CommandRequest): Promise<CommandAnswer>
  resume(request: CommandRequest): Promise<CommandAnswer>
  /** Failed and cancelled tasks wait again, with all their tries and their first priority. */
  retry(request: CommandRequest): Promise<CommandAnswer>
  /** New tasks from ended ones. */
  replay(request: ReplayRequest): Promise<CommandAnswer>
  reprioritise(request: ReprioritiseRequest): Promise<CommandAnswer>
  /** Changes a task that waits. */
  edit(request: EditRequest): Promise<TaskRow>
  /** Why a task doesn't run. */
  explain(id: string): Promise<Explanation>
  /** Which `name@version` waits, and who serves it. */
  coverage(): Promise<CoverageRow[]>
  taskLog(request: {
    id: string
    attempt?: number
    before?: { attempt: number; seq: number }
    limit?: number
  }): Promise<StoredLogLine[]>
  audit(request?: { id?: string; limit?: number }): Promise<AuditEntry[]>
  markError(request: { fingerprint: string; state: ErrorState; until?: string }): Promise<ErrorRow>
  /** A drained worker takes nothing new and goes on with what it runs. */
  controlWorker(request: { worker: string; action: 'drain' | 'resume' }): Promise<void>
  /** Nothing of a paused queue is claimed. */
  controlQueue(request: { queue: string; action: 'pause' | 'resume'; reason?: string }): Promise<QueueRow>
}
