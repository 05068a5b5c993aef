import type {
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
   * The gateway's address, with its base path: `https://host/fleet`. Of several, the next one is tried when one does not answer,
   * and then those that the last gateway has named. In a browser the page's own origin by default.
   */
  url?: string | readonly string[]
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
  /** Log lines and events that were left out here, because this client did not read fast enough. */
  onDropped?: (dropped: DroppedMessages) => void
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

/** What pages use of a `FleetClient`, and what tests stand in for: live views, and every operation as a method. */
export interface FleetApi extends FleetOperations {
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
