import type {
  AttentionRow,
  CollectionName,
  CollectionRows,
  Delta,
  DroppedMessages,
  FleetError,
  FleetOperations,
  FleetStats,
  LogLine,
  Progress,
  QueryRequest,
  ResetReason,
  TaskEnd,
  TaskRow,
  Welcome,
} from '@taskfleet/protocol'

export interface FleetClientOptions {
  /**
   * The gateway's address with its base path: `https://host/fleet`. If one of several does not respond, the next one is tried, and
   * then the other gateways of the fleet. In a browser, the default is the page's own origin.
   */
  url?: string | readonly string[]
  /**
   * A key, or a session's token. A function is called with the gateway's address before each connection, and again before the session of
   * the connection ends. If it rejects with `UNAUTHENTICATED`, `FORBIDDEN` or `RATE_LIMITED`, the client is refused; after any other error
   * it is called again, with the address of another gateway if there is one.
   */
  token?: string | ((gateway: string) => string | Promise<string>)
  /** How task sockets are reached: directly with the relay as a fallback (default), or always by the relay. */
  reach?: 'direct' | 'relay'
}

export type ConnectionState = 'connecting' | 'live' | 'reconnecting' | 'refused' | 'closed'

/** Why rows were replaced: the first answer, a reset by the gateway, or a reconnection that could not resume. */
export type RowsReason = 'snapshot' | 'delta' | 'resync' | ResetReason

export type RowsListener<N extends CollectionName> = (
  rows: readonly CollectionRows[N][],
  /** The changes. Empty after a reconnection that missed nothing; `null` when all rows were replaced. */
  delta: Delta<CollectionRows[N]> | null,
  reason: RowsReason,
) => void

/**
 * Called when a subscription is refused after it was open, for example with `FORBIDDEN` when the key has lost a right. The subscription is
 * then closed and empty.
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

/** Gets all rows, the most urgent first. With `error`, they can't be read now, and the rows are the last known ones. */
export type AttentionListener = (rows: readonly AttentionRow[], error: FleetError | undefined) => void

/** What needs somebody, kept current. */
export interface LiveAttentionHandle {
  readonly rows: readonly AttentionRow[]
  close(): Promise<void>
}

/** The current source of a watched task's details. */
export type WatchSource =
  | { state: 'connecting'; publicUrl?: string }
  /** The host that runs it, directly or by the relay. */
  | { state: 'live'; via: 'direct' | 'relay'; publicUrl: string }
  /** Its worker does not listen: the stored progress, about a second old, is all there is. */
  | { state: 'stored' }
  /** Neither way works for now: only the stored progress is known. */
  | { state: 'unreachable'; publicUrl: string; reason: string }
  /** No worker runs it now. */
  | { state: 'waiting' }
  | { state: 'ended' }

export interface WatchListeners {
  onTask?: (task: TaskRow) => void
  /** Live from its host. While that is not possible, as stored (`source`). */
  onProgress?: (progress: Progress) => void
  /** Lines are requested only with this listener. */
  onLog?: (line: LogLine) => void
  /** The task's own events, sent by its handler. */
  onEvent?: (event: { name: string; data?: unknown }) => void
  /** Log lines and events that were left out here, because this client did not read fast enough. */
  onDropped?: (dropped: DroppedMessages) => void
  /** The source of the details, each time it changes. */
  onSource?: (source: WatchSource) => void
  /** The task has ended for good. */
  onEnd?: (end: TaskEnd) => void
  /** The key has lost the right to the task. The watch is closed. */
  onRefused?: RefusedListener
}

/** The listeners for many tasks: each is called with the id of the task that it is about. */
export interface TasksListeners {
  onTask?: (task: TaskRow) => void
  /** Live from the host. While that is not possible, as stored (`onSource`). */
  onProgress?: (id: string, progress: Progress) => void
  /** Lines are requested only with this listener. */
  onLog?: (id: string, line: LogLine) => void
  onEvent?: (id: string, event: { name: string; data?: unknown }) => void
  onDropped?: (id: string, dropped: DroppedMessages) => void
  /** The source of a task's details, each time it changes. */
  onSource?: (id: string, source: WatchSource) => void
  /** A task has ended for good. */
  onEnd?: (id: string, end: TaskEnd) => void
  /** The key has lost the right to the tasks. The watch is closed. */
  onRefused?: RefusedListener
}

/** Many watched tasks: the given ones, or those that match a query now. */
export interface TasksWatch {
  /** The current source of each task's details. Tasks that no longer match a query are left out. */
  readonly sources: ReadonlyMap<string, WatchSource>
  /** Sends a message to the handler of a task. @throws {FleetError} `NOT_CONNECTED`, `NO_ANSWER`, and the handler's errors */
  message(id: string, name: string, data?: unknown): Promise<unknown>
  close(): void
}

/** A query of tasks. */
export interface TasksQuery extends QueryRequest {
  collection?: 'tasks'
}

/** A task whose stored row the caller has, for example from a live query. */
export interface FollowedTask extends TaskWatch {
  /**
   * To be called with the first row and each later one; undefined if there is no such task any more. Its `status`, `attempt`, `worker`,
   * `publicUrl` and `progress` are used.
   */
  update(task: TaskRow | undefined): void
}

export interface TaskWatch {
  readonly source: WatchSource
  cancel(reason?: string): Promise<void>
  message(name: string, data?: unknown): Promise<unknown>
  close(): void
}

/** The part of `FleetClient` that pages use, and that tests can replace: live views, and every operation as a method. */
export interface FleetApi extends FleetOperations {
  readonly state: ConnectionState
  readonly welcome: Welcome | undefined
  /** Milliseconds to add to the local clock to get the server's. */
  readonly clockOffset: number
  /** Calls the listener at once and on every change. Returns a function that removes it. */
  onState(listener: (state: ConnectionState, error?: Error) => void): () => void
  subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
    onRefused?: RefusedListener,
  ): Promise<LiveQuery<N>>
  /** Counts, rates and latencies of the tasks that fit a filter. `listener` is called with the first values and on every change. */
  subscribeStats(
    request: { filter?: Record<string, unknown> },
    listener: (stats: FleetStats) => void,
    onRefused?: RefusedListener,
  ): Promise<LiveStatsHandle>
  /** What needs somebody. `listener` is called with the first rows and on every change. */
  subscribeAttention(listener: AttentionListener, onRefused?: RefusedListener): Promise<LiveAttentionHandle>
  watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch>
  watchTasks(tasks: readonly string[] | TasksQuery, listeners: TasksListeners): Promise<TasksWatch>
  followTask(id: string, listeners: WatchListeners): FollowedTask
  close(): void
}
