import type {
  ConnectionState,
  FleetApi,
  LiveQuery,
  RowsListener,
  TaskWatch,
  WatchListeners,
  WatchSource,
} from '@taskfleet/core/client'
import {
  type AttemptOutcome,
  type CollectionName,
  type CollectionRows,
  type CommandAnswer,
  type CommandRequest,
  type Delta,
  type EnqueueRequest,
  hasEnded,
  type LogLine,
  PRIORITY_NAMES,
  type Progress,
  type QueryRequest,
  type TaskEnd,
  type TaskRow,
  type Welcome,
  type WireError,
  type WorkerRow,
} from '@taskfleet/core/protocol'
import { aTask, iso, nextId } from './rows.ts'

type AnyRow = CollectionRows[CollectionName]

interface Subscription {
  request: QueryRequest
  rows: AnyRow[]
  send: (rows: AnyRow[], delta: Delta<AnyRow> | null) => void
}

interface Watch {
  id: string
  listeners: WatchListeners
  source: WatchSource
}

/** An error as the gateway answers it. */
class Refusal extends Error {
  readonly code: string
  readonly field: string | undefined
  constructor({ code, message, field }: WireError) {
    super(message)
    this.code = code
    this.field = field
  }
}

/**
 * A whole fleet in memory, to be moved by hand or by a script: what is put in reaches subscriptions and watches at once.
 */
export class FakeFleet implements FleetApi {
  state: ConnectionState = 'live'
  clockOffset = 0
  welcome: Welcome = {
    version: '0.1.0',
    serverTime: iso(Date.now()),
    worker: 'w1',
    scopes: ['read', 'write', 'control'],
  }
  readonly tasks = new Map<string, TaskRow>()
  readonly workers = new Map<string, WorkerRow>()
  /** Everything that was enqueued and cancelled through the client. */
  readonly enqueued: EnqueueRequest[] = []
  readonly cancelled: CommandRequest[] = []
  /** What the next command answers instead of doing it. */
  refuseNext: WireError | undefined
  /** Tasks whose socket can't be reached. */
  readonly unreachable = new Set<string>()
  readonly subscriptions = new Set<Subscription>()
  readonly watches = new Set<Watch>()
  /** How many watches were ever opened. */
  watchesOpened = 0
  /** Called for a new task, so that a script can take it up. */
  onEnqueue: ((task: TaskRow) => void) | undefined
  onCancel: ((task: TaskRow) => void) | undefined
  #logs = new Map<string, LogLine[]>()
  #listeners = new Set<(state: ConnectionState, error?: Error) => void>()
  readonly now: () => number

  constructor(now: () => number = Date.now) {
    this.now = now
  }

  onState(listener: (state: ConnectionState, error?: Error) => void): () => void {
    this.#listeners.add(listener)
    listener(this.state)
    return () => this.#listeners.delete(listener)
  }

  setState(state: ConnectionState, error?: WireError): void {
    this.state = state
    for (const listener of this.#listeners) listener(state, error && new Refusal(error))
    if (state === 'live') for (const subscription of this.subscriptions) this.#resend(subscription)
  }

  async subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
  ): Promise<LiveQuery<N>> {
    await Promise.resolve()
    this.#refuse()
    const subscription: Subscription = {
      request: query,
      rows: this.#find(query),
      // The query's collection says which rows these are.
      send: (rows, delta) =>
        listener(
          rows as CollectionRows[N][],
          delta as Delta<CollectionRows[N]> | null,
          delta === null ? 'snapshot' : 'delta',
        ),
    }
    this.subscriptions.add(subscription)
    subscription.send(subscription.rows, null)
    const live = () => this.state === 'live'
    return {
      get rows() {
        return subscription.rows as CollectionRows[N][]
      },
      get live() {
        return live()
      },
      close: async () => {
        this.subscriptions.delete(subscription)
      },
    }
  }

  async watchTask(id: string, listeners: WatchListeners): Promise<TaskWatch> {
    await Promise.resolve()
    this.#refuse()
    const task = this.tasks.get(id)
    if (task === undefined) throw new Refusal({ code: 'TASK_NOT_FOUND', message: `There is no task ${id}.` })
    const watch: Watch = { id, listeners, source: { state: 'connecting' } }
    this.watches.add(watch)
    this.watchesOpened += 1
    listeners.onTask?.(task)
    for (const line of this.#logs.get(id) ?? []) listeners.onLog?.(line)
    if (task.progress !== undefined) listeners.onProgress?.(task.progress)
    this.#tellSource(watch, task)
    return {
      get source() {
        return watch.source
      },
      cancel: async (reason) => {
        await this.cancel(reason === undefined ? { id } : { id, reason })
      },
      message: async () => undefined,
      close: () => {
        this.watches.delete(watch)
      },
    }
  }

  async enqueue(request: EnqueueRequest): Promise<TaskRow> {
    await Promise.resolve()
    this.enqueued.push(request)
    this.#refuse()
    const { priority = 5, runAt } = request
    const level = typeof priority === 'number' ? priority : PRIORITY_NAMES[priority]
    const at = iso(this.now())
    const due = runAt === undefined ? at : iso(new Date(runAt).getTime())
    const task = aTask.pending({
      _id: request._id ?? nextId(),
      name: request.name,
      version: request.version ?? 1,
      input: request.input,
      queue: request.queue ?? 'default',
      priority: level,
      basePriority: level,
      runAt: due,
      order: request.position === 'front' ? iso(0) : due,
      createdAt: at,
      updatedAt: at,
    })
    this.put(task)
    this.onEnqueue?.(task)
    return task
  }

  async cancel(request: CommandRequest): Promise<CommandAnswer> {
    await Promise.resolve()
    this.cancelled.push(request)
    this.#refuse()
    const ids = 'id' in request ? [request.id] : 'ids' in request ? request.ids : []
    const answer: CommandAnswer = { matched: 0, changed: 0, refused: [] }
    for (const id of ids) {
      const task = this.tasks.get(id)
      if (task === undefined) continue
      answer.matched += 1
      if (hasEnded(task.status)) {
        answer.refused.push({ id, error: { code: 'TASK_ENDED', message: `Task ${id} has ended already.` } })
        continue
      }
      answer.changed += 1
      const by = 'demo'
      const control = {
        action: 'cancel',
        by,
        at: iso(this.now()),
        ...(request.reason && { reason: request.reason }),
      } as const
      if (task.status === 'running' && this.onCancel !== undefined) {
        this.patch(id, { control })
        this.onCancel(task)
      } else this.end(id, { status: 'cancelled' })
    }
    return answer
  }

  close(): void {
    this.setState('closed')
    this.#listeners.clear()
    this.subscriptions.clear()
    this.watches.clear()
  }

  // ——— what scripts and tests move

  put(task: TaskRow): TaskRow {
    this.tasks.set(task._id, task)
    this.#changed('tasks')
    for (const watch of this.watches) {
      if (watch.id !== task._id) continue
      watch.listeners.onTask?.(task)
      this.#tellSource(watch, task)
    }
    return task
  }

  patch(id: string, change: Partial<TaskRow>): TaskRow {
    const task = this.tasks.get(id)
    if (task === undefined) throw new Error(`FakeFleet has no task ${id}`)
    return this.put({ ...task, ...change, rev: task.rev + 1, updatedAt: iso(this.now()) })
  }

  remove(id: string): void {
    this.tasks.delete(id)
    this.#changed('tasks')
  }

  putWorker(worker: WorkerRow): WorkerRow {
    this.workers.set(worker._id, worker)
    this.#changed('workers')
    return worker
  }

  /** A report of the handler: to watchers at once, and to the document where `checkpoint` says so. */
  report(id: string, update: Omit<Progress, 'at'>, { checkpoint = false } = {}): void {
    const progress: Progress = { ...update, at: iso(this.now()) }
    for (const watch of this.watches) {
      if (watch.id === id && watch.source.state === 'live') watch.listeners.onProgress?.(progress)
    }
    if (checkpoint) this.patch(id, { progress })
  }

  log(id: string, level: LogLine['level'], message: string): void {
    const lines = this.#logs.get(id) ?? []
    const line: LogLine = { seq: (lines.at(-1)?.seq ?? 0) + 1, at: iso(this.now()), level, message }
    this.#logs.set(id, [...lines, line].slice(-200))
    for (const watch of this.watches) if (watch.id === id) watch.listeners.onLog?.(line)
  }

  /** Ends a task, as its worker would. */
  end(id: string, end: TaskEnd): void {
    const task = this.tasks.get(id)
    if (task === undefined) return
    const { worker: _worker, publicUrl: _publicUrl, ...rest } = task
    const finishedAt = iso(this.now())
    const outcome: AttemptOutcome = end.status === 'completed' || end.status === 'cancelled' ? end.status : 'failed'
    const attempts = task.attempts?.map((attempt) =>
      attempt.endedAt === undefined
        ? { ...attempt, endedAt: finishedAt, outcome, ...(end.error && { error: end.error }) }
        : attempt,
    )
    const ended = this.put({
      ...rest,
      status: end.status,
      ...(end.output !== undefined && { output: end.output }),
      ...(end.error && { error: end.error }),
      ...(attempts && { attempts }),
      ...(hasEnded(end.status) && { finishedAt }),
      rev: task.rev + 1,
      updatedAt: finishedAt,
    })
    for (const watch of this.watches) if (watch.id === id && hasEnded(ended.status)) watch.listeners.onEnd?.(end)
  }

  /** Makes a task's socket unreachable, or reachable again. */
  reach(id: string, reachable: boolean): void {
    if (reachable) this.unreachable.delete(id)
    else this.unreachable.add(id)
    const task = this.tasks.get(id)
    for (const watch of this.watches) if (watch.id === id && task !== undefined) this.#tellSource(watch, task)
  }

  #tellSource(watch: Watch, task: TaskRow): void {
    const publicUrl = task.publicUrl ?? ''
    const source: WatchSource = hasEnded(task.status)
      ? { state: 'ended' }
      : task.status !== 'running'
        ? { state: 'waiting' }
        : this.unreachable.has(task._id)
          ? { state: 'unreachable', publicUrl, reason: 'connect ECONNREFUSED' }
          : { state: 'live', via: 'direct', publicUrl }
    if (JSON.stringify(source) === JSON.stringify(watch.source)) return
    watch.source = source
    watch.listeners.onSource?.(source)
  }

  #refuse(): void {
    const error = this.refuseNext
    this.refuseNext = undefined
    if (error !== undefined) throw new Refusal(error)
  }

  #changed(collection: CollectionName): void {
    if (this.state !== 'live') return
    for (const subscription of this.subscriptions) {
      if ((subscription.request.collection ?? 'tasks') !== collection) continue
      const before = new Map(subscription.rows.map((row, index) => [row._id, { row, index }]))
      const rows = this.#find(subscription.request).map((row) => {
        const old = before.get(row._id)?.row
        return old !== undefined && JSON.stringify(old) === JSON.stringify(row) ? old : row
      })
      const delta: Delta<AnyRow> = { added: [], changed: [], removed: [] }
      rows.forEach((row, index) => {
        const old = before.get(row._id)
        if (old === undefined) delta.added.push({ row, index })
        else if (old.row !== row) delta.changed.push({ row, index })
      })
      const ids = new Set(rows.map(({ _id }) => _id))
      delta.removed = subscription.rows.filter(({ _id }) => !ids.has(_id)).map(({ _id }) => _id)
      subscription.rows = rows
      if (delta.added.length + delta.changed.length + delta.removed.length > 0) subscription.send(rows, delta)
    }
  }

  #resend(subscription: Subscription): void {
    subscription.rows = this.#find(subscription.request)
    subscription.send(subscription.rows, null)
  }

  #find(request: QueryRequest): AnyRow[] {
    const { collection = 'tasks', filter = {}, sort = {}, limit = 200, fields } = request
    const all: AnyRow[] =
      collection === 'tasks' ? [...this.tasks.values()] : collection === 'workers' ? [...this.workers.values()] : []
    const found = all.filter((row) => Object.entries(filter).every(([path, want]) => matches(at(row, path), want)))
    const order: [string, 1 | -1][] = [...Object.entries(sort), ['_id', 1]]
    found.sort((a, b) => {
      for (const [path, direction] of order) {
        const [x, y] = [at(a, path), at(b, path)]
        if (x === y) continue
        if (x === undefined || x === null) return -direction
        if (y === undefined || y === null) return direction
        return x < y ? -direction : direction
      }
      return 0
    })
    const rows = found.slice(0, limit)
    return fields === undefined ? rows : rows.map((row) => pick(row, fields))
  }
}

function at(row: object, path: string): string | number | undefined | null {
  let value: unknown = row
  for (const part of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string, unknown>)[part]
  }
  return typeof value === 'string' || typeof value === 'number' ? value : undefined
}

function matches(value: unknown, want: unknown): boolean {
  if (typeof want !== 'object' || want === null) return value === want
  return Object.entries(want).every(([operator, operand]) => {
    switch (operator) {
      case '$in':
        return Array.isArray(operand) && operand.includes(value)
      case '$contains':
        return typeof value === 'string' && value.toLowerCase().includes(String(operand).toLowerCase())
      default:
        throw new Refusal({
          code: 'FILTER_NOT_ALLOWED',
          message: `The operator ${operator} is not allowed.`,
          field: 'filter',
        })
    }
  })
}

function pick(row: AnyRow, fields: string[]): AnyRow {
  const source = row as unknown as Record<string, unknown>
  const picked: Record<string, unknown> = { _id: row._id, rev: source.rev }
  for (const field of fields) {
    const [top = field, inner] = field.split('.')
    const value = source[top]
    if (inner === undefined) {
      if (value !== undefined) picked[top] = value
    } else if (typeof value === 'object' && value !== null && inner in value) {
      picked[top] = { ...(picked[top] as object | undefined), [inner]: (value as Record<string, unknown>)[inner] }
    }
  }
  return picked as unknown as AnyRow
}
