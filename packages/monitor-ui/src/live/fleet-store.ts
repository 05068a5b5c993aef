import type { ConnectionState, FleetApi, TaskWatch, WatchSource } from '@taskfleet/client'
import type {
  CollectionName,
  CollectionRows,
  FleetStats,
  LogLine,
  Progress,
  QueryRequest,
  TaskEnd,
  TaskRow,
  WireError,
} from '@taskfleet/protocol'
import { ProgressTrack, type Sample } from './progress-track.ts'
import { ignoreGone, type LiveView, listen, type Observable, SharedSubscriptions } from './shared-subscriptions.ts'
import { wireError } from './wire-error.ts'

export interface ConnectionView {
  state: ConnectionState
  error: WireError | undefined
  /** Since when it is in this state, in milliseconds of the local clock. */
  since: number
}

export interface RowsView<N extends CollectionName> extends LiveView {
  rows: readonly CollectionRows[N][]
}

export interface StatsView extends LiveView {
  /** `undefined` before the first answer. */
  stats: FleetStats | undefined
}

/** What is known of one task beyond its row. A new object after every change. */
export interface TaskDetail {
  /** The freshest progress, from its socket or from the document. */
  progress: Progress | undefined
  /** When `progress` was received, in milliseconds of the server's clock. */
  receivedAt: number | undefined
  /** Where details come from; `undefined` while nobody watches. */
  source: WatchSource | undefined
  /** The document as the watch last saw it. */
  task: TaskRow | undefined
  log: readonly LogLine[]
  end: TaskEnd | undefined
  points: readonly Sample[]
}

export interface FleetStoreOptions {
  /** How many detail sockets are open at once at most. */
  watchLimit?: number
  /** How long a subscription or a watch outlives its last user: scrolling back and changing pages reopen nothing. */
  lingerMs?: number
  /** Changes within this time are told as one. */
  frameMs?: number
  /** How long a watch that could not be opened waits for its next try. */
  retryMs?: number
  now?: () => number
}

/** A watch on its way or open. Listeners of one that was replaced are told apart by its identity. */
interface OpenedWatch {
  promise: Promise<TaskWatch> | undefined
}

interface TaskEntry {
  track: ProgressTrack
  detail: TaskDetail
  attempt: number
  rev: number
  listeners: Set<() => void>
  /** How many components want its socket. */
  wanted: number
  watch: OpenedWatch | undefined
  closing: ReturnType<typeof setTimeout> | undefined
  retry: ReturnType<typeof setTimeout> | undefined
}

const LOG_LINES = 1_000
/** Tasks nobody looks at are remembered up to this many, for their rates and sparklines. */
const REMEMBERED = 2_000

const NOTHING: TaskDetail = {
  progress: undefined,
  receivedAt: undefined,
  source: undefined,
  task: undefined,
  log: [],
  end: undefined,
  points: [],
}
const NO_ROWS: RowsView<CollectionName> = { rows: [], loaded: false, live: false, error: undefined, again: undefined }
const NO_STATS: StatsView = {
  stats: undefined,
  loaded: false,
  live: false,
  error: undefined,
  again: undefined,
}

/** Equal for requests that ask the same; the order of `sort` counts. */
export function queryKey(request: QueryRequest): string {
  return JSON.stringify([
    request.collection ?? 'tasks',
    sorted(request.filter ?? {}),
    Object.entries(request.sort ?? {}),
    request.limit ?? null,
    request.fields === undefined ? null : [...request.fields].sort(),
  ])
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([field, inner]) => [field, sorted(inner)]),
  )
}

/**
 * Everything live that the monitor shows, without React: each query is subscribed once however many ask for it, each
 * task is watched once however many look at it, and both are let go shortly after the last one has left.
 */
export class FleetStore {
  readonly api: FleetApi
  readonly connection: Observable<ConnectionView>
  /** The server's time in milliseconds, told once a second to all who show ages. */
  readonly clock: Observable<number>
  #options: Required<FleetStoreOptions>
  readonly #rows: SharedSubscriptions<RowsView<CollectionName>>
  readonly #stats: SharedSubscriptions<StatsView>
  #tasks = new Map<string, TaskEntry>()
  /** Tasks whose socket is wanted but has to wait for a place. */
  #waiting = new Set<string>()
  #openWatches = 0
  #dirty = new Set<Set<() => void>>()
  #frame: ReturnType<typeof setTimeout> | undefined
  #connection: ConnectionView
  #connectionListeners = new Set<() => void>()
  #undo: () => void
  #closed = false

  constructor(api: FleetApi, options: FleetStoreOptions = {}) {
    this.api = api
    this.#options = { watchLimit: 120, lingerMs: 1_500, frameMs: 80, retryMs: 4_000, now: Date.now, ...options }
    this.#connection = { state: api.state, error: undefined, since: this.#options.now() }
    this.connection = {
      subscribe: (listener) => listen(this.#connectionListeners, listener),
      get: () => this.#connection,
    }
    const shared = {
      lingerMs: this.#options.lingerMs,
      isLive: () => this.#connection.state === 'live',
      tell: (listeners: Set<() => void>) => this.#tell(listeners),
    }
    this.#rows = new SharedSubscriptions(NO_ROWS, shared)
    this.#stats = new SharedSubscriptions(NO_STATS, shared)
    let tick = this.now()
    let timer: ReturnType<typeof setInterval> | undefined
    const ticking = new Set<() => void>()
    this.clock = {
      subscribe: (listener) => {
        const unlisten = listen(ticking, listener)
        if (timer === undefined) {
          tick = this.now()
          timer = setInterval(() => {
            tick = this.now()
            for (const told of [...ticking]) told()
          }, 1_000)
        }
        return () => {
          unlisten()
          if (ticking.size > 0) return
          clearInterval(timer)
          timer = undefined
        }
      },
      get: () => tick,
    }
    this.#undo = api.onState((state, error) => this.#connected(state, error))
  }

  /** The server's time in milliseconds. */
  now(): number {
    return this.#options.now() + this.api.clockOffset
  }

  /** The rows of a query. It is subscribed while somebody listens. */
  rows<N extends CollectionName = 'tasks'>(request: QueryRequest & { collection?: N }): Observable<RowsView<N>> {
    const view = this.#rows.view(queryKey(request), (show, lost) =>
      this.api.subscribe(
        request,
        (rows, delta) => {
          if ((request.collection ?? 'tasks') === 'tasks') {
            const changed = delta === null ? rows : [...delta.added, ...delta.changed].map(({ row }) => row)
            // Only this branch's collection holds tasks, which the union of row types can't tell.
            for (const row of changed) this.#note(row as TaskRow)
          }
          show({ rows })
        },
        lost,
      ),
    )
    // What this key was made from is this request, whose collection says the type of its rows.
    return view as unknown as Observable<RowsView<N>>
  }

  /** Counts, rates and latencies of the tasks that fit a filter, kept current while somebody listens. */
  stats(filter: Record<string, unknown> = {}): Observable<StatsView> {
    return this.#stats.view(JSON.stringify(sorted(filter)), (show, lost) =>
      this.api.subscribeStats({ filter }, (stats) => show({ stats }), lost),
    )
  }

  /** What is known of a task. Listening alone opens no socket: see `watch`. */
  task(id: string): Observable<TaskDetail> {
    return {
      subscribe: (listener) => listen(this.#entry(id).listeners, listener),
      get: () => this.#tasks.get(id)?.detail ?? NOTHING,
    }
  }

  /** The estimated rate of a task in its progress's unit a second. */
  rate(id: string): number | undefined {
    return this.#tasks.get(id)?.track.rate(this.now())
  }

  secondsLeft(id: string): number | undefined {
    return this.#tasks.get(id)?.track.secondsLeft(this.now())
  }

  /** Wants a task's own socket until the returned undo is called. */
  watch(id: string): () => void {
    const entry = this.#entry(id)
    entry.wanted += 1
    clearTimeout(entry.closing)
    entry.closing = undefined
    this.#openWatch(id, entry)
    let undone = false
    return () => {
      if (undone) return
      undone = true
      entry.wanted -= 1
      if (entry.wanted > 0) return
      this.#waiting.delete(id)
      entry.closing = setTimeout(() => this.#closeWatch(id, entry), this.#options.lingerMs)
    }
  }

  close(): void {
    this.#closed = true
    this.#undo()
    clearTimeout(this.#frame)
    this.#rows.close()
    this.#stats.close()
    this.#waiting.clear()
    for (const [id, entry] of this.#tasks) {
      entry.wanted = 0
      this.#closeWatch(id, entry)
    }
    this.api.close()
  }

  // ——— connection

  #connected(state: ConnectionState, error: Error | undefined): void {
    const before = this.#connection
    this.#connection = {
      state,
      error: error === undefined ? undefined : wireError(error),
      since: before.state === state ? before.since : this.#options.now(),
    }
    for (const listener of [...this.#connectionListeners]) listener()
    this.#rows.connected(state === 'live')
    this.#stats.connected(state === 'live')
  }

  // ——— tasks

  #entry(id: string): TaskEntry {
    let entry = this.#tasks.get(id)
    if (entry === undefined) {
      entry = {
        track: new ProgressTrack(),
        detail: NOTHING,
        attempt: 0,
        rev: -1,
        listeners: new Set(),
        wanted: 0,
        watch: undefined,
        closing: undefined,
        retry: undefined,
      }
      this.#tasks.set(id, entry)
      this.#forgetSome()
    }
    return entry
  }

  #forgetSome(): void {
    if (this.#tasks.size <= REMEMBERED) return
    for (const [id, entry] of this.#tasks) {
      if (entry.wanted > 0 || entry.watch !== undefined || entry.listeners.size > 0) continue
      this.#tasks.delete(id)
      if (this.#tasks.size <= REMEMBERED) return
    }
  }

  /** A row passed by: its checkpointed progress is a report like any other, only rarer. */
  #note(row: TaskRow): void {
    if (row.status !== 'running' && !this.#tasks.has(row._id)) return
    const entry = this.#entry(row._id)
    // A row that was asked for without its `rev` can't be ordered; it is believed.
    const { rev = entry.rev } = row
    if (rev < entry.rev) return
    entry.rev = rev
    if (row.attempt !== entry.attempt) {
      if (entry.attempt !== 0) entry.track.rebase()
      entry.attempt = row.attempt
    }
    if (row.progress !== undefined && entry.track.push(row.progress, this.now())) this.#changed(entry)
  }

  #changed(entry: TaskEntry, change: Partial<TaskDetail> = {}): void {
    const { latest, receivedAt, points } = entry.track
    entry.detail = { ...entry.detail, progress: latest, receivedAt: latest && receivedAt, points, ...change }
    this.#tell(entry.listeners)
  }

  #openWatch(id: string, entry: TaskEntry): void {
    if (entry.watch !== undefined || entry.retry !== undefined || this.#closed) return
    if (this.#openWatches >= this.#options.watchLimit) {
      this.#waiting.add(id)
      return
    }
    this.#waiting.delete(id)
    this.#openWatches += 1
    let log = entry.detail.log
    const opened: OpenedWatch = { promise: undefined }
    const mine = () => entry.watch === opened
    entry.watch = opened
    const gone = () => {
      if (!mine()) return
      entry.watch = undefined
      this.#changed(entry, { source: undefined })
      this.#freePlace()
      if (entry.wanted === 0) return
      entry.retry = setTimeout(() => {
        entry.retry = undefined
        if (entry.wanted > 0) this.#openWatch(id, entry)
      }, this.#options.retryMs)
    }
    opened.promise = this.api.watchTask(id, {
      onTask: (task) => {
        if (!mine()) return
        this.#note(task)
        this.#changed(entry, { task })
      },
      onProgress: (progress) => {
        if (mine() && entry.track.push(progress, this.now())) this.#changed(entry)
      },
      onLog: (line) => {
        // A socket that opens again begins with the last lines, which may be known.
        if (!mine() || log.some(({ seq, at }) => seq === line.seq && at === line.at)) return
        log = [...log.slice(-LOG_LINES + 1), line]
        this.#changed(entry, { log })
      },
      onSource: (source) => {
        if (mine()) this.#changed(entry, { source })
      },
      onEnd: (end) => {
        if (mine()) this.#changed(entry, { end })
      },
      onRefused: gone,
    })
    opened.promise.then(({ source }) => {
      if (mine()) this.#changed(entry, { source })
    }, gone)
  }

  #closeWatch(id: string, entry: TaskEntry): void {
    clearTimeout(entry.closing)
    clearTimeout(entry.retry)
    entry.closing = undefined
    entry.retry = undefined
    this.#waiting.delete(id)
    const watch = entry.watch
    if (watch === undefined) return
    entry.watch = undefined
    this.#changed(entry, { source: undefined })
    this.#freePlace()
    watch.promise?.then((open) => open.close()).catch(ignoreGone)
  }

  #freePlace(): void {
    this.#openWatches -= 1
    for (const id of this.#waiting) {
      const entry = this.#tasks.get(id)
      this.#waiting.delete(id)
      if (entry === undefined || entry.wanted === 0) continue
      this.#openWatch(id, entry)
      return
    }
  }

  // ——— telling

  #tell(listeners: Set<() => void>): void {
    if (listeners.size === 0) return
    this.#dirty.add(listeners)
    this.#frame ??= setTimeout(() => {
      this.#frame = undefined
      const dirty = this.#dirty
      this.#dirty = new Set()
      for (const set of dirty) for (const listener of [...set]) listener()
    }, this.#options.frameMs)
  }
}
