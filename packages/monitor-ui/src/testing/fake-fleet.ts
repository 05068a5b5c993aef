import type {
  AttentionListener,
  ConnectionState,
  FleetApi,
  FollowedTask,
  LiveAttentionHandle,
  LiveQuery,
  LiveStatsHandle,
  RefusedListener,
  RowsListener,
  TasksListeners,
  TasksQuery,
  TasksWatch,
  TaskWatch,
  WatchListeners,
  WatchSource,
} from '@taskfleet/client'
import { type Fleet, LOCAL, parseId } from '@taskfleet/core'
import {
  BulkRuns,
  compileFilter,
  compileQuery,
  Outcome,
  toFullRow,
  type Waiting,
  WaitingSamples,
  type Watch,
} from '@taskfleet/core/internal'
import { MemoryDatabase } from '@taskfleet/core/memory'
import {
  type AttentionRow,
  applyDelta,
  type CallbackRow,
  COLLECTIONS,
  type CollectionName,
  type CollectionRows,
  type Delta,
  type ErrorRow,
  type EventRow,
  FleetError,
  type FleetOperations,
  type FleetStats,
  hasEnded,
  type KeyRow,
  type LogLine,
  OPERATIONS,
  type Operation,
  type Progress,
  type QueryRequest,
  type QueueRow,
  type Row,
  type ScheduleRow,
  type StoredLogLine,
  type TaskEnd,
  type TaskRow,
  type Welcome,
  type WireError,
  type WorkerRow,
} from '@taskfleet/protocol'
import { documentOf, keyDocument, leaseOf, taskDocument } from './documents.ts'
import { iso } from './rows.ts'

interface Subscription {
  collection: CollectionName
  /** Tells all rows anew. */
  resend: () => void
  close: () => void
  refused: RefusedListener | undefined
}

interface TaskSocket {
  id: string
  listeners: WatchListeners
  source: WatchSource
}

type Rows = { [N in CollectionName]: Map<string, CollectionRows[N]> }
type Method = (request: object) => Promise<unknown>

const refusal = ({ code, message, field }: WireError): FleetError => new FleetError(code, message, { field })

/** Every operation, as the constructor makes them from the table. */
export interface FakeFleet extends FleetOperations {}

/**
 * A whole fleet without a network: a real one in memory, with connections and tasks' sockets to be moved by hand. What is put in reaches
 * subscriptions and watches at once.
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: the constructor gives it what the interface says
export class FakeFleet implements FleetApi {
  state: ConnectionState = 'live'
  clockOffset = 0
  welcome: Welcome = {
    version: '0.1.0',
    serverTime: iso(Date.now()),
    worker: 'w1',
    scopes: ['read', 'write', 'control'],
  }
  /** What is stored, as rows with all their fields. */
  readonly rows: Rows = {
    tasks: new Map(),
    workers: new Map(),
    errors: new Map(),
    queues: new Map(),
    events: new Map(),
    schedules: new Map(),
  }
  /** Every operation that changes something, with what was asked; dry runs as well. */
  readonly written: [name: string, request: object][] = []
  /** The names of those that only read, in the order in which they were asked. */
  readonly read: string[] = []
  /** What the next operation that changes something answers instead of doing it. Subscriptions don't take it: a page may open one late. */
  refuseNext: WireError | undefined
  /** What operations answer every time instead of doing it, by their names. */
  readonly refused = new Map<string, WireError>()
  /** Tasks whose socket can't be reached. */
  readonly unreachable = new Set<string>()
  /** Tasks whose worker does not listen. */
  readonly deaf = new Set<string>()
  /** Whether workers carry out requests to their running tasks. */
  obeyed = true
  readonly subscriptions = new Set<Subscription>()
  readonly figures = new Set<{ resend: () => void }>()
  readonly alarms = new Set<{ resend: () => void }>()
  readonly watches = new Set<TaskSocket>()
  /** How many watches were ever opened. */
  watchesOpened = 0
  readonly #memory = new MemoryDatabase()
  readonly #fleet: Fleet = this.#memory.fleet()
  readonly #live = this.#memory.liveQueries({ lingerMs: 0, coalesceMs: 10 })
  readonly #listeners = new Set<(state: ConnectionState, error?: Error) => void>()
  readonly #lastLines = new Map<string, number>()
  readonly #writes = new Set<Promise<unknown>>()

  constructor() {
    this.#memory.onChange(({ collection, id, doc }) => this.#changed(collection, String(id), doc))
    const operations = this.#fleet.as(LOCAL) as unknown as Record<string, Record<string, Method>>
    for (const [aggregate, verbs] of Object.entries(OPERATIONS)) {
      const methods = Object.entries(verbs as Record<string, Operation>).map(([verb, { writes }]) => {
        const method = (request: object = {}) =>
          this.#asked(`${aggregate}.${verb}`, request, writes) ?? operations[aggregate]?.[verb]?.(request)
        return [verb, async (request?: object) => method(request)]
      })
      Object.defineProperty(this, aggregate, { value: Object.fromEntries(methods) })
    }
  }

  /** @throws {FleetError} what the test wants it to be refused with */
  #asked(name: string, request: object, writes: boolean): undefined {
    if (writes) this.written.push([name, request])
    else this.read.push(name)
    const error = this.refused.get(name)
    if (error !== undefined) throw refusal(error)
    if (writes) this.#refuse()
  }

  /** Carries out the bulk operations that have not ended, as a gateway does. */
  async carryOut(): Promise<void> {
    const log = { warn: console.warn, error: console.error }
    const runs = new BulkRuns({ fleet: this.#fleet, log: log as never })
    await runs.start()
    while ((await this.#fleet.as().bulk.list()).some(({ endedAt }) => endedAt === undefined)) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    await runs.stop()
  }

  /** What was asked of one operation that changes something, one after the other. */
  sent(name: string): Record<string, unknown>[] {
    return this.written.filter(([one]) => one === name).map(([, request]) => request as Record<string, unknown>)
  }

  onState(listener: (state: ConnectionState, error?: Error) => void): () => void {
    this.#listeners.add(listener)
    listener(this.state)
    return () => this.#listeners.delete(listener)
  }

  setState(state: ConnectionState, error?: WireError): void {
    this.state = state
    for (const listener of [...this.#listeners]) listener(state, error && refusal(error))
    if (state === 'live') for (const one of [...this.subscriptions, ...this.figures, ...this.alarms]) one.resend()
  }

  close(): void {
    this.setState('closed')
    this.#listeners.clear()
    for (const subscription of this.subscriptions) subscription.close()
    this.figures.clear()
    this.alarms.clear()
    this.watches.clear()
  }

  /** The key loses the right to a collection that is watched. */
  loseRight(collection: CollectionName, message: string): void {
    for (const subscription of [...this.subscriptions].filter((one) => one.collection === collection)) {
      subscription.close()
      subscription.refused?.(new FleetError('FORBIDDEN', message))
    }
  }

  #refuse(): void {
    const error = this.refuseNext
    this.refuseNext = undefined
    if (error !== undefined) throw refusal(error)
  }

  async subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
    onRefused?: RefusedListener,
  ): Promise<LiveQuery<N>> {
    await Promise.resolve()
    type R = CollectionRows[N] & Row
    let rows: readonly R[] = []
    const watch: Watch<R> = await this.#live.watch<R>(compileQuery(query), {
      delta: (delta) => {
        rows = applyDelta<R>(rows, delta)
        if (this.state === 'live') listener(rows, delta as Delta<CollectionRows[N]>, 'delta')
      },
      reset: (reset) => {
        rows = reset.rows
        if (this.state === 'live') listener(rows, null, reset.reason)
      },
    })
    rows = watch.live.rows
    listener(rows, null, 'snapshot')
    const subscription: Subscription = {
      collection: query.collection ?? 'tasks',
      resend: () => listener(rows, null, 'resync'),
      close: () => {
        watch.close()
        this.subscriptions.delete(subscription)
      },
      refused: onRefused,
    }
    this.subscriptions.add(subscription)
    return { rows, live: true, close: async () => subscription.close() }
  }

  async subscribeStats(
    { filter = {} }: { filter?: Record<string, unknown> },
    listener: (stats: FleetStats) => void,
  ): Promise<LiveStatsHandle> {
    await Promise.resolve()
    let stats: FleetStats | undefined
    const watch = await this.#live.watchStats(compileFilter(filter), (changes) => {
      stats = { ...(stats as FleetStats), ...changes }
      if (this.state === 'live') listener(stats)
    })
    stats = watch.live.stats
    listener(stats)
    const figures = { resend: () => listener(stats as FleetStats) }
    this.figures.add(figures)
    const close = async () => {
      watch.close()
      this.figures.delete(figures)
    }
    return { stats, close }
  }

  async subscribeAttention(listener: AttentionListener): Promise<LiveAttentionHandle> {
    await Promise.resolve()
    const ask = () => this.attention.list()
    let rows: readonly AttentionRow[] = []
    const tell = ({ rows: now, error }: { rows: readonly AttentionRow[]; error?: WireError }) => {
      rows = now
      if (this.state === 'live') listener(rows, error && refusal(error))
    }
    const watch = await this.#live.watchAttention('all', { list: ask, read: ask }, tell)
    tell(watch.live.attention)
    const alarm = { resend: () => listener(rows, undefined) }
    this.alarms.add(alarm)
    const close = async () => {
      watch.close()
      this.alarms.delete(alarm)
    }
    return { rows, close }
  }

  async watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch> {
    await Promise.resolve()
    const watch: TaskSocket = { id, listeners, source: { state: 'connecting' } }
    this.watches.add(watch)
    this.watchesOpened += 1
    const task = this.rows.tasks.get(id)
    if (task !== undefined) {
      listeners.onTask?.(task)
      const lines = await this.#fleet.logs.read(parseId(id), { attempt: task.attempt, limit: 200 })
      for (const line of lines) listeners.onLog?.(line)
      if (task.progress !== undefined) listeners.onProgress?.(task.progress)
      this.#tellSource(watch, task)
    }
    return {
      get source() {
        return watch.source
      },
      cancel: async (reason) => void (await this.tasks.cancel({ id, ...(reason !== undefined && { reason }) })),
      message: async () => undefined,
      close: () => {
        this.watches.delete(watch)
      },
    }
  }

  followTask(id: string, listeners: WatchListeners): FollowedTask {
    const watch: TaskSocket = { id, listeners, source: { state: 'connecting' } }
    this.watches.add(watch)
    this.watchesOpened += 1
    return {
      get source() {
        return watch.source
      },
      update: (task) => {
        if (task === undefined) return
        listeners.onTask?.(task)
        this.#tellSource(watch, task)
      },
      cancel: async (reason) => void (await this.tasks.cancel({ id, ...(reason !== undefined && { reason }) })),
      message: async () => undefined,
      close: () => {
        this.watches.delete(watch)
      },
    }
  }

  /** No page uses it. */
  async watchTasks(_tasks: readonly string[] | TasksQuery, _listeners: TasksListeners): Promise<TasksWatch> {
    throw new FleetError('NOT_FOUND', 'This fleet watches single tasks only')
  }

  #tellSource(watch: TaskSocket, task: TaskRow): void {
    const publicUrl = task.publicUrl ?? ''
    const source: WatchSource = hasEnded(task.status)
      ? { state: 'ended' }
      : task.status !== 'running'
        ? { state: 'waiting' }
        : this.deaf.has(task._id)
          ? { state: 'stored' }
          : this.unreachable.has(task._id)
            ? { state: 'unreachable', publicUrl, reason: 'connect ECONNREFUSED' }
            : { state: 'live', via: 'direct', publicUrl }
    if (JSON.stringify(source) === JSON.stringify(watch.source)) return
    watch.source = source
    watch.listeners.onSource?.(source)
  }

  /** Resolves once all that was put in is stored. A page that is opened before draws again for each of thousands of rows. */
  async stored(): Promise<void> {
    await Promise.all(this.#writes)
  }

  put(task: TaskRow): TaskRow {
    const { rev = 0 } = this.rows.tasks.get(task._id) ?? {}
    // What is put in later is newer.
    this.#store('tasks', taskDocument({ ...task, rev: Math.max(task.rev, rev + 1) }))
    return task
  }

  patch(id: string, change: Partial<TaskRow>): TaskRow {
    const task = this.rows.tasks.get(id)
    if (task === undefined) throw new Error(`FakeFleet has no task ${id}`)
    return this.put({ ...task, ...change, updatedAt: iso(Date.now()) })
  }

  remove(id: string): void {
    void this.#memory.db.collection('tasks').deleteOne({ _id: parseId(id) })
  }

  putWorker = (worker: WorkerRow): WorkerRow => this.#put('workers', worker)
  putError = (error: ErrorRow): ErrorRow => this.#put('errors', error)
  putQueue = (queue: QueueRow): QueueRow => this.#put('queues', queue)
  putEvent = (event: EventRow): EventRow => this.#put('events', event)
  putSchedule = (schedule: ScheduleRow): ScheduleRow => this.#put('schedules', schedule)
  putCallback = (callback: CallbackRow): CallbackRow => this.#put('callbacks', callback)

  putKey(key: KeyRow): KeyRow {
    this.#store('keys', keyDocument(key))
    return key
  }

  /** What workers counted in this minute. Resolves once it is stored. */
  roll(
    ...ends: ({ queue: string; name: string; count: number } & Partial<Parameters<Fleet['rollUps']['note']>[0]>)[]
  ): Promise<void> {
    for (const { count, ...end } of ends) {
      const times = { waitMs: 20, runMs: 1_000 }
      const outcome = end.status === 'failed' || end.status === 'cancelled' ? end.status : 'completed'
      for (let one = 0; one < count; one += 1)
        this.#fleet.rollUps.note({ host: '127.0.0.2', outcome, status: 'completed', ...times, ...end })
    }
    return this.#fleet.rollUps.flush()
  }

  /** What waited at a time, and how many things needed somebody. */
  async sample(at: number, waiting: Waiting): Promise<void> {
    await new WaitingSamples(this.#memory.db, { clock: { now: () => new Date(at) } }).take(async () => waiting)
  }

  /** A report of the handler: to watchers at once, and to the document where `checkpoint` says so. */
  report(id: string, update: Omit<Progress, 'at'>, { checkpoint = false } = {}): void {
    const progress: Progress = { ...update, at: iso(Date.now()) }
    for (const { listeners, source } of this.#watching(id))
      if (source.state === 'live') listeners.onProgress?.(progress)
    if (checkpoint) this.patch(id, { progress })
  }

  log(id: string, level: LogLine['level'], message: string): void {
    const seq = (this.#lastLines.get(id) ?? 0) + 1
    const line: LogLine = { seq, at: iso(Date.now()), level, message }
    this.store(id, { ...line, attempt: this.rows.tasks.get(id)?.attempt ?? 1 })
    for (const { listeners } of this.#watching(id)) listeners.onLog?.(line)
  }

  /** Lines as the database holds them. */
  store(id: string, ...lines: StoredLogLine[]): void {
    for (const attempt of new Set(lines.map((line) => line.attempt))) {
      const own = lines.filter((line) => line.attempt === attempt).map(({ attempt: _, ...line }) => line)
      this.#lastLines.set(id, own.at(-1)?.seq ?? 0)
      void this.#fleet.logs.append([{ task: parseId(id), attempt, lease: leaseOf({ attempt }), lines: own }])
    }
  }

  /** Its worker gives it up in between. */
  suspend(id: string): void {
    void this.#settle(id, Outcome.suspended())
  }

  /** Ends a running task, as its worker would. */
  end(id: string, { status, output, error }: TaskEnd): void {
    const fault = { name: 'Error', fingerprint: 'f', code: 'FAILED', message: 'It failed', ...error }
    const outcome =
      status === 'completed'
        ? Outcome.completed(output)
        : status === 'failed'
          ? Outcome.failed(fault)
          : Outcome.stopped()
    void this.#settle(id, outcome).then(() => {
      for (const { listeners } of this.#watching(id)) listeners.onEnd?.({ status, output, ...(error && { error }) })
    })
  }

  /** A worker that was asked to drain does so, and the other way round. */
  #obey(worker: WorkerRow | undefined): void {
    if (worker?.control === undefined || !this.obeyed) return
    const { action } = worker.control
    const state = action === 'drain' ? 'draining' : 'running'
    if (['running', 'draining'].includes(worker.state) && worker.state !== state)
      this.putWorker({ ...worker, state, rev: worker.rev + 1 })
  }

  async #settle(id: string, outcome: Outcome): Promise<void> {
    const task = this.rows.tasks.get(id)
    if (task === undefined) return
    await this.#fleet.store.settle({ task: { _id: parseId(id) }, leaseId: leaseOf(task) }, outcome)
    await this.#fleet.store.unblock(parseId(id))
  }

  #put<R extends { _id: string }>(collection: string, row: R): R {
    this.#store(collection, documentOf(row))
    return row
  }

  #store(collection: string, doc: { _id?: unknown }): void {
    const filter = { _id: doc._id } as { _id: never }
    const write = this.#memory.db
      .collection(collection)
      .updateOne(filter, [{ $replaceWith: { $literal: doc } }], { upsert: true })
    this.#writes.add(write)
    void write.finally(() => this.#writes.delete(write))
  }

  #watching = (id: string): TaskSocket[] => [...this.watches].filter((watch) => watch.id === id)

  #changed(collection: string, id: string, doc: object | null): void {
    if (!(COLLECTIONS as readonly string[]).includes(collection)) return
    const name = collection as CollectionName
    const rows = this.rows[name] as Map<string, Row>
    if (doc === null) rows.delete(id)
    else rows.set(id, toFullRow(name, doc))
    if (name === 'workers') this.#obey(this.rows.workers.get(id))
    const task = name === 'tasks' ? this.rows.tasks.get(id) : undefined
    if (task === undefined) return
    for (const watch of this.#watching(id)) {
      watch.listeners.onTask?.(task)
      this.#tellSource(watch, task)
    }
    const { status, control } = task
    if (status !== 'running' || control === undefined || !this.obeyed) return
    void this.#settle(id, control.action === 'cancel' ? Outcome.stopped() : Outcome.suspended())
  }
}
