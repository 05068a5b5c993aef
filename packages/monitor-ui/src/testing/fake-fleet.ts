import type {
  ConnectionState,
  FleetApi,
  LiveQuery,
  LiveStatsHandle,
  RefusedListener,
  RowsListener,
  TaskWatch,
  WatchListeners,
  WatchSource,
} from '@taskfleet/client'
import {
  type AttemptOutcome,
  type AuditEntry,
  type CollectionName,
  type CollectionRows,
  type CommandAnswer,
  type CommandName,
  type CommandRequest,
  type CoverageRow,
  type Delta,
  type EditRequest,
  type EnqueueRequest,
  type ErrorRow,
  type ErrorState,
  type EventRow,
  type Explanation,
  FleetError,
  type FleetStats,
  hasEnded,
  type LogLine,
  PRIORITY_NAMES,
  type Priority,
  type Progress,
  type QueryRequest,
  type QueueRow,
  type ReplayRequest,
  type ReprioritiseRequest,
  type ScheduleRow,
  type StoredLogLine,
  type TaskEnd,
  type TaskRow,
  type Welcome,
  type WireError,
  type WorkerRow,
} from '@taskfleet/protocol'
import { coverageOf, explainTask } from './fake-answers.ts'
import { statsOf } from './fake-stats.ts'
import { aTask, iso, nextId } from './rows.ts'

type AnyRow = CollectionRows[CollectionName]

interface Subscription {
  request: QueryRequest
  rows: AnyRow[]
  send: (rows: AnyRow[], delta: Delta<AnyRow> | null) => void
  refused?: RefusedListener
}

interface Figures {
  filter: Record<string, unknown>
  stats: FleetStats
  send: (stats: FleetStats) => void
}

interface Watch {
  id: string
  listeners: WatchListeners
  source: WatchSource
}

/** An error as the gateway answers it. */
export class Refusal extends Error {
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
  readonly errors = new Map<string, ErrorRow>()
  readonly queues = new Map<string, QueueRow>()
  readonly events = new Map<string, EventRow>()
  readonly schedules = new Map<string, ScheduleRow>()
  /** Everything that was enqueued and cancelled through the client. */
  readonly enqueued: EnqueueRequest[] = []
  readonly cancelled: CommandRequest[] = []
  /** Every command that was sent, dry runs included. */
  readonly commands: [CommandName | 'edit', CommandRequest | EditRequest][] = []
  readonly audited: AuditEntry[] = []
  /** How often each question was asked. */
  readonly asked = { explain: 0, coverage: 0, taskLog: 0, audit: 0 }
  /** What the next command answers instead of doing it. */
  refuseNext: WireError | undefined
  /** What everybody who asks for the audit log is told; pages ask for it by themselves, between other commands. */
  refuseAudit: WireError | undefined
  /** Tasks whose socket can't be reached. */
  readonly unreachable = new Set<string>()
  readonly subscriptions = new Set<Subscription>()
  readonly figures = new Set<Figures>()
  readonly watches = new Set<Watch>()
  /** How many watches were ever opened. */
  watchesOpened = 0
  /** Called for a new task, so that a script can take it up. */
  onEnqueue: ((task: TaskRow) => void) | undefined
  onCancel: ((task: TaskRow) => void) | undefined
  onPause: ((task: TaskRow) => void) | undefined
  #logs = new Map<string, LogLine[]>()
  #stored = new Map<string, StoredLogLine[]>()
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
    if (state !== 'live') return
    for (const subscription of this.subscriptions) this.#resend(subscription)
    this.#recount()
  }

  async subscribe<N extends CollectionName = 'tasks'>(
    query: QueryRequest & { collection?: N },
    listener: RowsListener<N>,
    onRefused?: RefusedListener,
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
    if (onRefused !== undefined) subscription.refused = onRefused
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

  /** The key loses the right to a collection that is watched. */
  loseRight(collection: CollectionName, message: string): void {
    for (const subscription of [...this.subscriptions]) {
      if ((subscription.request.collection ?? 'tasks') !== collection) continue
      this.subscriptions.delete(subscription)
      subscription.refused?.(new FleetError('FORBIDDEN', message))
    }
  }

  async subscribeStats(
    { filter = {} }: { filter?: Record<string, unknown> },
    listener: (stats: FleetStats) => void,
  ): Promise<LiveStatsHandle> {
    await Promise.resolve()
    this.#refuse()
    const figures: Figures = { filter, stats: this.#statsOf(filter), send: listener }
    this.figures.add(figures)
    listener(figures.stats)
    return {
      get stats() {
        return figures.stats
      },
      close: async () => {
        this.figures.delete(figures)
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
    const level = numberOf(priority)
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
    this.cancelled.push(request)
    return this.#command('cancel', request, (task) => {
      if (task.status === 'cancelled') return 'done'
      if (hasEnded(task.status)) return { code: 'ALREADY_ENDED', message: `It has ${task.status}` }
      const control = this.#control('cancel', request.reason)
      if (task.status === 'running' && this.onCancel !== undefined) this.onCancel(this.patch(task._id, { control }))
      else this.end(task._id, { status: 'cancelled' })
      return 'changed'
    })
  }

  async pause(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('pause', request, (task) => {
      if (task.status === 'paused') return 'done'
      if (hasEnded(task.status)) return { code: 'ALREADY_ENDED', message: `It has ${task.status}` }
      if (task.status === 'blocked') return { code: 'NOT_WAITING', message: 'It is blocked' }
      const control = this.#control('pause', request.reason)
      if (task.status === 'running' && this.onPause !== undefined) this.onPause(this.patch(task._id, { control }))
      else this.suspend(task._id)
      return 'changed'
    })
  }

  async resume(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('resume', request, (task) => {
      if (task.status === 'pending') return 'done'
      if (task.status !== 'paused' && task.control?.action !== 'pause') {
        return { code: 'NOT_PAUSED', message: `It is ${task.status}` }
      }
      const { control: _, ...rest } = task
      this.put({
        ...rest,
        status: task.status === 'paused' ? 'pending' : task.status,
        rev: task.rev + 1,
        updatedAt: iso(this.now()),
      })
      return 'changed'
    })
  }

  async retry(request: CommandRequest): Promise<CommandAnswer> {
    return this.#command('retry', request, (task) => {
      if (task.status !== 'failed' && task.status !== 'cancelled') {
        return {
          code: task.status === 'completed' ? 'ALREADY_COMPLETED' : 'NOT_ENDED',
          message: `It ${hasEnded(task.status) ? 'has' : 'is'} ${task.status}`,
        }
      }
      const { finishedAt: _, control: _control, ...rest } = task
      const at = iso(this.now())
      this.put({
        ...rest,
        status: 'pending',
        failures: 0,
        lost: 0,
        priority: task.basePriority,
        runAt: at,
        order: at,
        rev: task.rev + 1,
        updatedAt: at,
      })
      return 'changed'
    })
  }

  async replay(request: ReplayRequest): Promise<CommandAnswer> {
    const made: string[] = []
    const answer = await this.#command('replay', request, (task) => {
      if (!hasEnded(task.status)) return { code: 'NOT_ENDED', message: `It is ${task.status}` }
      const at = iso(this.now())
      const { name, version, queue, basePriority, lazy, maxAttempts } = task
      const again = aTask.pending({
        _id: nextId(),
        name,
        version,
        queue,
        lazy,
        maxAttempts,
        basePriority,
        priority: basePriority,
        input: request.input === undefined ? task.input : request.input,
        replayOf: task._id,
        runAt: at,
        order: at,
        createdAt: at,
        updatedAt: at,
      })
      made.push(again._id)
      this.put(again)
      this.onEnqueue?.(again)
      return 'changed'
    })
    return request.dryRun === true ? answer : { ...answer, tasks: made }
  }

  async reprioritise(request: ReprioritiseRequest): Promise<CommandAnswer> {
    return this.#command('reprioritise', request, (task) => {
      if (!WAITING.has(task.status)) return { code: 'NOT_WAITING', message: `It is ${task.status}` }
      const level = request.priority === undefined ? task.basePriority : numberOf(request.priority)
      this.patch(task._id, {
        priority: level,
        basePriority: level,
        ...(request.position === 'front' && { order: iso(0) }),
      })
      return 'changed'
    })
  }

  async edit(request: EditRequest): Promise<TaskRow> {
    await Promise.resolve()
    this.commands.push(['edit', request])
    this.#refuse()
    const task = this.#task(request.id)
    if (!WAITING.has(task.status)) {
      throw new Refusal({ code: 'NOT_WAITING', message: 'Only a task that waits can be changed' })
    }
    if (request.rev !== undefined && request.rev !== task.rev) {
      const message = `It was changed meanwhile and is at revision ${task.rev}`
      throw new Refusal({ code: 'REV_CONFLICT', message, field: 'rev' })
    }
    const { priority, position, runAt, deadline, queue, input, lazy, maxAttempts } = request.changes
    const due = runAt === undefined ? undefined : iso(new Date(runAt).getTime())
    if (deadline === null) this.put(without(task, 'deadline', 'raiseAt'))
    const edited = this.patch(task._id, {
      ...(priority !== undefined && { priority: numberOf(priority), basePriority: numberOf(priority) }),
      ...(due !== undefined && { runAt: due, order: due }),
      ...(position === 'front' && { order: iso(0) }),
      ...(deadline !== undefined && deadline !== null && { deadline: iso(new Date(deadline).getTime()) }),
      ...(queue !== undefined && { queue }),
      ...('input' in request.changes && { input }),
      ...(lazy !== undefined && { lazy }),
      ...(maxAttempts !== undefined && { maxAttempts }),
    })
    this.#record('edit', { tasks: [task._id], matched: 1, changed: 1 })
    return edited
  }

  async explain(id: string): Promise<Explanation> {
    await Promise.resolve()
    this.asked.explain += 1
    return explainTask(this.#task(id), this)
  }

  async coverage(): Promise<CoverageRow[]> {
    await Promise.resolve()
    this.asked.coverage += 1
    this.#refuse()
    return coverageOf(this)
  }

  async taskLog(request: Parameters<FleetApi['taskLog']>[0]): Promise<StoredLogLine[]> {
    await Promise.resolve()
    this.asked.taskLog += 1
    const { id, attempt, before, limit = 500 } = request
    const lines = this.#stored.get(id) ?? []
    return lines
      .filter((line) => attempt === undefined || line.attempt === attempt)
      .filter(
        (line) =>
          before === undefined ||
          line.attempt < before.attempt ||
          (line.attempt === before.attempt && line.seq < before.seq),
      )
      .slice(-limit)
  }

  async audit({ id, limit = 100 }: { id?: string; limit?: number } = {}): Promise<AuditEntry[]> {
    await Promise.resolve()
    this.asked.audit += 1
    if (this.refuseAudit !== undefined) throw new Refusal(this.refuseAudit)
    return this.audited
      .filter(({ tasks }) => id === undefined || tasks.includes(id))
      .toReversed()
      .slice(0, limit)
  }

  async markError(request: { fingerprint: string; state: ErrorState; until?: string }): Promise<ErrorRow> {
    await Promise.resolve()
    this.#refuse()
    const { fingerprint, state, until } = request
    const error = this.errors.get(fingerprint)
    if (error === undefined) {
      throw new Refusal({ code: 'NOT_FOUND', message: `There is no error '${fingerprint}'`, field: 'fingerprint' })
    }
    const { ignoredUntil: _, ...rest } = error
    this.#record(`error ${state}`, { target: fingerprint, changed: 1 })
    return this.putError({
      ...rest,
      state,
      marked: { by: 'local', at: iso(this.now()) },
      ...(state === 'ignored' && until !== undefined && { ignoredUntil: until }),
      rev: error.rev + 1,
    })
  }

  async controlWorker({ worker: id, action }: { worker: string; action: 'drain' | 'resume' }): Promise<void> {
    await Promise.resolve()
    this.#refuse()
    const worker = this.workers.get(id)
    if (worker === undefined || worker.state === 'stopped') {
      throw new Refusal({ code: 'NOT_FOUND', message: 'There is no such worker, or it has stopped', field: 'worker' })
    }
    this.putWorker({
      ...worker,
      state: action === 'drain' ? 'draining' : 'running',
      control: { action, by: 'local', at: iso(this.now()) },
      rev: worker.rev + 1,
    })
    this.#record(`worker ${action}`, { target: id, changed: 1 })
  }

  async controlQueue(request: { queue: string; action: 'pause' | 'resume'; reason?: string }): Promise<QueueRow> {
    await Promise.resolve()
    this.#refuse()
    const { queue, action, reason } = request
    this.#record(`queue ${action}`, { target: queue, changed: 1, ...(reason !== undefined && { reason }) })
    return this.putQueue({
      ...this.queues.get(queue),
      _id: queue,
      paused: action === 'pause',
      by: 'local',
      ...(reason !== undefined && { reason }),
      updatedAt: iso(this.now()),
      rev: (this.queues.get(queue)?.rev ?? 0) + 1,
    })
  }

  async #command(
    command: CommandName,
    request: CommandRequest,
    change: (task: TaskRow) => 'changed' | 'done' | WireError,
  ): Promise<CommandAnswer> {
    await Promise.resolve()
    this.commands.push([command, request])
    this.#refuse()
    const tasks = this.#selected(command, request)
    const answer: CommandAnswer = { matched: tasks.length, changed: 0, refused: [] }
    if (request.dryRun === true) return answer
    const changed: string[] = []
    for (const task of tasks) {
      const outcome = change(task)
      if (outcome === 'changed') changed.push(task._id)
      else if (outcome !== 'done') answer.refused.push({ id: task._id, error: outcome })
    }
    answer.changed = changed.length
    this.#record(command, {
      tasks: changed,
      matched: tasks.length,
      changed: changed.length,
      ...('filter' in request && { filter: JSON.stringify(request.filter) }),
      ...(request.reason !== undefined && { reason: request.reason }),
    })
    return answer
  }

  /** As the gateway selects: a filter is narrowed to what the command can do something about, ids are not. */
  #selected(command: CommandName, request: CommandRequest): TaskRow[] {
    if ('filter' in request) {
      const found = [...this.tasks.values()].filter((task) => isMatch(task, request.filter))
      return found.filter((task) => CAN[command](task))
    }
    if ('id' in request) return [this.#task(request.id)]
    return request.ids.map((id) => this.tasks.get(id)).filter((task) => task !== undefined)
  }

  #task(id: string): TaskRow {
    const task = this.tasks.get(id)
    if (task === undefined) throw new Refusal({ code: 'NOT_FOUND', message: 'There is no such task', field: 'id' })
    return task
  }

  #control(action: 'cancel' | 'pause', reason: string | undefined) {
    return { action, by: 'local', at: iso(this.now()), ...(reason !== undefined && { reason }) }
  }

  #record(action: string, deed: Partial<AuditEntry>): void {
    this.audited.push({
      _id: nextId(),
      at: iso(this.now()),
      by: 'local',
      action,
      tasks: [],
      matched: 0,
      changed: 0,
      ...deed,
    })
  }

  close(): void {
    this.setState('closed')
    this.#listeners.clear()
    this.subscriptions.clear()
    this.figures.clear()
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

  putError(error: ErrorRow): ErrorRow {
    this.errors.set(error._id, error)
    this.#changed('errors')
    return error
  }

  putQueue(queue: QueueRow): QueueRow {
    this.queues.set(queue._id, queue)
    this.#changed('queues')
    return queue
  }

  putEvent(event: EventRow): EventRow {
    this.events.set(event._id, event)
    this.#changed('events')
    return event
  }

  removeEvent(id: string): void {
    this.events.delete(id)
    this.#changed('events')
  }

  putSchedule(schedule: ScheduleRow): ScheduleRow {
    this.schedules.set(schedule._id, schedule)
    this.#changed('schedules')
    return schedule
  }

  removeSchedule(name: string): void {
    this.schedules.delete(name)
    this.#changed('schedules')
  }

  /** A task gives its slot up and waits for somebody to resume it. */
  suspend(id: string): void {
    const { worker: _worker, publicUrl: _publicUrl, control: _control, ...rest } = this.#task(id)
    const at = iso(this.now())
    const attempts = rest.attempts?.map((attempt) =>
      attempt.endedAt === undefined ? { ...attempt, endedAt: at, outcome: 'paused' as const } : attempt,
    )
    this.put({ ...rest, status: 'paused', ...(attempts && { attempts }), rev: rest.rev + 1, updatedAt: at })
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
    this.store(id, { ...line, attempt: this.tasks.get(id)?.attempt ?? 1 })
    for (const watch of this.watches) if (watch.id === id) watch.listeners.onLog?.(line)
  }

  /** Lines as the database holds them. */
  store(id: string, ...lines: StoredLogLine[]): void {
    this.#stored.set(id, [...(this.#stored.get(id) ?? []), ...lines])
  }

  /** Ends a task, as its worker would. */
  end(id: string, end: TaskEnd): void {
    const task = this.tasks.get(id)
    if (task === undefined) return
    const { worker: _worker, publicUrl: _publicUrl, control: _control, ...rest } = task
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

  #statsOf(filter: Record<string, unknown>): FleetStats {
    return statsOf(
      [...this.tasks.values()].filter((task) => isMatch(task, filter)),
      this.now(),
    )
  }

  #recount(): void {
    for (const figures of this.figures) {
      const stats = this.#statsOf(figures.filter)
      if (JSON.stringify(stats) === JSON.stringify(figures.stats)) continue
      figures.stats = stats
      figures.send(stats)
    }
  }

  #changed(collection: CollectionName): void {
    if (this.state !== 'live') return
    if (collection === 'tasks') this.#recount()
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
    const all: Record<CollectionName, Iterable<AnyRow>> = {
      tasks: this.tasks.values(),
      workers: this.workers.values(),
      errors: this.errors.values(),
      queues: this.queues.values(),
      schedules: this.schedules.values(),
      events: this.events.values(),
    }
    const found = [...all[collection]].filter((row) => isMatch(row, filter))
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

const WAITING: ReadonlySet<string> = new Set(['pending', 'paused', 'blocked'])

/** What each command can do something about. */
const CAN: Record<CommandName, (task: TaskRow) => boolean> = {
  cancel: ({ status }) => !hasEnded(status),
  pause: ({ status }) => status === 'pending' || status === 'running',
  resume: ({ status, control }) => status === 'paused' || (status === 'running' && control?.action === 'pause'),
  retry: ({ status }) => status === 'failed' || status === 'cancelled',
  replay: ({ status }) => hasEnded(status),
  reprioritise: ({ status }) => WAITING.has(status),
}

function numberOf(priority: Priority): number {
  return typeof priority === 'number' ? priority : PRIORITY_NAMES[priority]
}

function without(task: TaskRow, ...fields: (keyof TaskRow)[]): TaskRow {
  return Object.fromEntries(
    Object.entries(task).filter(([field]) => !fields.includes(field as keyof TaskRow)),
  ) as unknown as TaskRow
}

function isMatch(row: object, filter: Record<string, unknown>): boolean {
  return Object.entries(filter).every(([path, want]) => {
    if (path === '$or') return (want as Record<string, unknown>[]).some((one) => isMatch(row, one))
    return matches(at(row, path), want)
  })
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
      case '$exists':
        return (value !== undefined) === operand
      case '$lt':
        return isOrdered(value, operand, (order) => order < 0)
      case '$lte':
        return isOrdered(value, operand, (order) => order <= 0)
      case '$gte':
        return isOrdered(value, operand, (order) => order >= 0)
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

/** Values of different types have no order. Dates are texts here, whose order is theirs. */
function isOrdered(value: unknown, operand: unknown, fits: (order: number) => boolean): boolean {
  if (typeof value === 'number' && typeof operand === 'number') return fits(value - operand)
  if (typeof value !== 'string' || typeof operand !== 'string') return false
  return fits(value < operand ? -1 : Number(value > operand))
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
