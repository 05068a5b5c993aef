import type {
  AttentionListener,
  ConnectionState,
  FleetApi,
  FollowedTask,
  RefusedListener,
  RowsListener,
  TaskWatch,
  WatchListeners,
} from '@taskfleet/client'
import {
  type CollectionName,
  type CommandRequest,
  FleetError,
  type FleetStats,
  type QueryRequest,
  type TaskRow,
  type WorkerRow,
} from '@taskfleet/protocol'

interface Subscription {
  query: QueryRequest
  listener: RowsListener<CollectionName>
  refused: RefusedListener | undefined
  open: boolean
}
interface Watch extends TaskWatch {
  id: string
  listeners: WatchListeners
  open: boolean
  /** The rows that a followed task was given. */
  rows: (TaskRow | undefined)[]
}
interface Figures {
  request: { filter?: Record<string, unknown> }
  listener: (stats: FleetStats) => void
  refused: RefusedListener | undefined
  open: boolean
}

interface Alarm {
  listener: AttentionListener
  refused: RefusedListener | undefined
  open: boolean
}

/** The part of a client that the hooks use, controlled by the test. It remembers everything that was ever opened. */
export class FakeClient {
  readonly subscriptions: Subscription[] = []
  readonly watches: Watch[] = []
  readonly figures: Figures[] = []
  readonly alarms: Alarm[] = []
  readonly messages: unknown[] = []
  readonly cancelled: CommandRequest[] = []
  /** The error of the next request. */
  refusal: FleetError | undefined
  clockOffset = 0
  readonly #listeners = new Set<(state: ConnectionState, error?: Error) => void>()
  #state: ConnectionState = 'live'

  /** The client for the hooks, which use only this part. */
  get api(): FleetApi {
    return this as unknown as FleetApi
  }

  /** How much is open now, including listeners for the connection's state. */
  get open(): number {
    const opened = [...this.subscriptions, ...this.watches, ...this.figures, ...this.alarms]
    return opened.filter(({ open }) => open).length + this.#listeners.size
  }

  get state(): ConnectionState {
    return this.#state
  }

  becomes(state: ConnectionState, error?: Error): void {
    this.#state = state
    for (const listener of [...this.#listeners]) listener(state, error)
  }

  onState(listener: (state: ConnectionState, error?: Error) => void): () => void {
    this.#listeners.add(listener)
    listener(this.#state)
    return () => this.#listeners.delete(listener)
  }

  async subscribe(query: QueryRequest, listener: RowsListener<CollectionName>, refused?: RefusedListener) {
    this.#refuse()
    const subscription: Subscription = { query, listener, refused, open: true }
    this.subscriptions.push(subscription)
    return { rows: [], live: true, close: async () => closing(subscription) }
  }

  async watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch> {
    this.#refuse()
    const watch: Watch = {
      id,
      listeners,
      open: true,
      rows: [],
      source: { state: 'waiting' },
      cancel: async () => undefined,
      message: async (name, data) => ({ name, data }),
      close: () => closing(watch),
    }
    this.watches.push(watch)
    return watch
  }

  followTask(id: string, listeners: WatchListeners): FollowedTask {
    const watch: Watch & FollowedTask = {
      id,
      listeners,
      open: true,
      rows: [],
      source: { state: 'connecting' },
      update: (task) => {
        watch.rows.push(task)
        if (task !== undefined) listeners.onTask?.(task)
      },
      cancel: async () => undefined,
      message: async (name, data) => ({ name, data }),
      close: () => closing(watch),
    }
    this.watches.push(watch)
    return watch
  }

  async subscribeStats(request: Figures['request'], listener: Figures['listener'], refused?: RefusedListener) {
    this.#refuse()
    const figures: Figures = { request, listener, refused, open: true }
    this.figures.push(figures)
    listener(someStats(0))
    return { stats: someStats(0), close: async () => closing(figures) }
  }

  async subscribeAttention(listener: Alarm['listener'], refused?: RefusedListener) {
    this.#refuse()
    const alarm: Alarm = { listener, refused, open: true }
    this.alarms.push(alarm)
    listener([], undefined)
    return { rows: [], close: async () => closing(alarm) }
  }

  readonly tasks = {
    cancel: async (request: CommandRequest) => {
      this.cancelled.push(request)
      const error = this.refusal
      return { matched: 1, changed: 0, refused: error === undefined ? [] : [{ id: '', error }] }
    },
  }

  #refuse(): void {
    const refusal = this.refusal
    this.refusal = undefined
    if (refusal !== undefined) throw refusal
  }
}

function closing(one: { open: boolean }): void {
  one.open = false
}

export const refusedWith = (code: string): FleetError => new FleetError(code, 'requested by the test')

/** The moment of the rows below. */
export const EPOCH = Date.parse('2027-01-01T00:00:00.000Z')
export const iso = (at: number): string => new Date(at).toISOString()

/** A worker's row with the values of a test. */
export function aWorker(over: Partial<WorkerRow> = {}): WorkerRow {
  return {
    _id: 'w1',
    name: 'host-a',
    host: '127.0.0.2',
    pid: 4_711,
    role: 'worker',
    url: 'http://127.0.0.2:4101',
    state: 'running',
    queues: ['default'],
    tasks: ['resize@1'],
    slots: 4,
    running: 0,
    load: { cpu: 0.3, rss: 182e6, memoryFree: 8e9, eventLoopDelayMs: 2 },
    heartbeatMs: 2_000,
    version: '0.1.0',
    startedAt: iso(EPOCH - 3_600_000),
    heartbeatAt: iso(EPOCH - 400),
    rev: 1,
    ...over,
  }
}

/** A task's row with the values of a test. */
export function aRow(over: Partial<TaskRow> & { _id: string }): TaskRow {
  const at = iso(EPOCH)
  return {
    name: 'resize',
    version: 1,
    status: 'running',
    queue: 'default',
    priority: 5,
    basePriority: 5,
    runAt: at,
    order: at,
    lazy: false,
    attempt: 1,
    failures: 0,
    lost: 0,
    maxAttempts: 5,
    rev: 1,
    createdAt: at,
    updatedAt: at,
    ...over,
  }
}

/** Statistics with this number of running tasks, and nothing else. */
export function someStats(running: number): FleetStats {
  const none = { count: 0 }
  return {
    byStatus: { pending: 0, running, paused: 0, blocked: 0, completed: 0, failed: 0, cancelled: 0 },
    byQueue: {},
    byName: {},
    rates: { enqueued: 0, completed: 0, failed: 0, cancelled: 0 },
    slots: [],
    waitMs: none,
    runMs: none,
  }
}
