import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { hostname } from 'node:os'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  asError,
  type Change,
  ChangeFeed,
  type Claim,
  type EnqueueOptions,
  Fleet,
  FleetDatabase,
  FleetError,
  type Hint,
  type Served,
  type TaskDocument,
  type TaskError,
  type TaskRow,
  type TaskStore,
  type TaskType,
  toFullRow,
  WorkerRegister,
} from '@taskfleet/core'
import { type Logger, pino } from 'pino'
import { milliseconds } from './duration.ts'
import { executeTask } from './execute-task.ts'
import { Gateway, type ListenAddress } from './gateway/gateway.ts'
import type { Duration } from './handler.ts'
import { LeaseKeeper } from './lease-keeper.ts'
import { LoadMeter } from './load-meter.ts'
import { ReadyList } from './ready-list.ts'
import { Reaper } from './reaper.ts'
import { RunningTask } from './running-task.ts'
import type { TaskFactory } from './task-factory.ts'
import { VERSION } from './version.ts'

export interface TaskRunnerOptions {
  /** The database's address, or one that is connected already and stays so. */
  mongo: string | FleetDatabase
  tasks: readonly TaskFactory[]
  queues?: readonly string[]
  /** How many tasks run at once at most. */
  concurrency?: number
  /** Where its gateway and task sockets listen; without it the worker serves no one. */
  listen?: ListenAddress
  /** How others reach it, when that differs from where it listens. */
  publicUrl?: string
  /** What people call it; the host's name by default. */
  name?: string
  leaseMs?: number
  heartbeatMs?: number
  /** The longest time without a look into the database, in milliseconds. */
  pollMs?: number
  /** After how many tasks the database is asked again. */
  refillEvery?: number
  abortGrace?: Duration
  log?: Logger
}

export interface RunnerEvents {
  /** Nothing runs and nothing is due. */
  idle: [event: object]
  /** A task has become executable here. */
  due: [event: { id: string; name: string }]
  claimed: [event: { task: TaskRow }]
  success: [event: { task: TaskRow; output: unknown }]
  /** An attempt failed and none is left. */
  fail: [event: { task: TaskRow; error: TaskError }]
  /** An attempt failed; the task will run again. */
  retry: [event: { task: TaskRow; error: TaskError; delayMs: number }]
  /** A lease was lost, or another worker's task was taken back. */
  lost: [event: { id: string; worker: string | undefined }]
  deadline: [event: { task: TaskRow }]
}

const HINTS = 500
/** Watchers hear of progress at most so often. */
const TELL_MS = 100
/** The database gets progress at most so often. */
const STORE_MS = 1_000
/** A claim of what has been due for less than this and misses is tried again. */
const JUST_DUE_MS = 250
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A worker: claims tasks, runs them, and tells how it goes. */
export class TaskRunner extends EventEmitter<RunnerEvents> {
  /** New at every start. */
  readonly id = randomUUID()
  readonly name: string
  readonly #options: TaskRunnerOptions
  readonly #log: Logger
  readonly #factories = new Map<string, TaskFactory>()
  readonly #served: Served
  readonly #slots: number
  readonly #leaseMs: number
  readonly #ready = new ReadyList(HINTS)
  readonly #running = new Map<string, RunningTask>()
  readonly #ends = new Set<Promise<void>>()
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #load = new LoadMeter()
  #parts: Parts | undefined
  #state: 'new' | 'running' | 'draining' | 'stopped' = 'new'
  #claiming = 0
  #filling = false
  #fillAgain = false
  #refilling: Promise<void> | undefined
  /** Newcomers that came while the database was being asked; null while it isn't. */
  #newcomers: Hint[] | null = null
  #sinceRefill = 0
  #wakeTimer: NodeJS.Timeout | undefined
  #idleTold = false
  #stopping: Promise<void> | undefined

  /** @throws {FleetError} `CONFIG_RANGE`, `BAD_DEFINITION` */
  constructor(options: TaskRunnerOptions) {
    super()
    this.#options = options
    this.name = options.name ?? hostname()
    this.#log = (options.log ?? pino({ level: 'silent' })).child({ worker: this.name })
    this.#slots = inRange('concurrency', options.concurrency ?? 4, 1, 1_000)
    this.#leaseMs = inRange('leaseMs', options.leaseMs ?? 8_000, 500, 3_600_000)
    for (const factory of options.tasks) {
      if (this.#factories.has(factory.name)) {
        throw new FleetError('BAD_DEFINITION', `Two tasks are named '${factory.name}'`)
      }
      this.#factories.set(factory.name, factory)
    }
    this.#served = {
      queues: options.queues ?? ['default'],
      tasks: new Map([...this.#factories.values()].map(({ name, version }) => [name, version])),
    }
  }

  /** Where its gateway listens, once started. */
  get url(): string | undefined {
    return this.#parts?.gateway?.url
  }

  /** The attempt of a task that runs here. */
  attempt(id: string): RunningTask | undefined {
    return this.#running.get(id)
  }

  /** @throws {FleetError} `NO_DATABASE`, `EADDRINUSE`, `INSECURE_BIND`, `BAD_PUBLIC_URL` and others of set-up */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new FleetError('ALREADY_STARTED', 'A runner is started once')
    this.#state = 'running'
    const parts = await this.#open()
    this.#parts = parts
    parts.feed.subscribe({ change: (change) => this.#onChange(change), lost: () => void this.#refill('history lost') })
    parts.reaper.start()
    await this.#beat()
    const { heartbeatMs = 2_500, pollMs = 30_000 } = this.#options
    this.#every(heartbeatMs, () => this.#beat())
    this.#every(pollMs, () => this.#refill('safety poll'))
    this.#every(TELL_MS, () => this.#tell())
    this.#every(STORE_MS, () => this.#storeProgress())
    await this.#refill('boot')
  }

  async #open(): Promise<Parts> {
    const { mongo, listen, publicUrl } = this.#options
    const ownDatabase = typeof mongo === 'string'
    const database = ownDatabase
      ? await FleetDatabase.connect({ uri: mongo, timeoutMs: Math.min(5_000, this.#leaseMs / 4), log: this.#log })
      : mongo
    const opened: { stop(): Promise<void> }[] = ownDatabase ? [{ stop: () => database.close() }] : []
    try {
      await database.ensureIndexes()
      const fleet = new Fleet(database)
      const feed = new ChangeFeed(database, { log: this.#log })
      opened.push(feed)
      await feed.start()
      const leases = new LeaseKeeper({
        database,
        leaseMs: this.#leaseMs,
        log: this.#log,
        onLost: (leaseId) => this.#onLeaseLost(leaseId),
      })
      opened.push(leases)
      await leases.start()
      const gateway =
        listen === undefined
          ? undefined
          : new Gateway({
              database,
              feed,
              runner: this,
              listen,
              log: this.#log,
              ...(publicUrl === undefined ? {} : { publicUrl }),
            })
      if (gateway !== undefined) {
        opened.push(gateway)
        await gateway.start()
      }
      const reaper = new Reaper({
        store: fleet.store,
        clock: database.clock,
        log: this.#log,
        intervalMs: Math.min(3_000, this.#leaseMs / 2),
        onReaped: (task) => this.#onReaped(task),
      })
      opened.push(reaper)
      const register = new WorkerRegister(database.connection, database.clock)
      return { database, fleet, store: fleet.store, feed, leases, gateway, reaper, register, opened }
    } catch (error) {
      for (const part of opened.reverse()) await part.stop().catch(() => undefined)
      this.#state = 'stopped'
      throw error
    }
  }

  /** Stores a task; any worker that serves it may run it. */
  async post<Schema extends StandardSchemaV1>(
    type: TaskType<Schema>,
    input: StandardSchemaV1.InferInput<Schema>,
    options: EnqueueOptions = {},
  ): Promise<TaskRow> {
    const { fleet } = this.#started()
    return toFullRow('tasks', await fleet.enqueue(type, input, options))
  }

  /**
   * Takes nothing new, lets what runs go on for `grace`, then gives it back. May be called again: a shorter grace
   * counts at once.
   */
  async stop({ grace = '30s' }: { grace?: Duration } = {}): Promise<void> {
    if (this.#state === 'new' || this.#parts === undefined) return
    const giveBack = setTimeout(() => this.#giveBack(), milliseconds(grace))
    this.#stopping ??= this.#stop()
    await this.#stopping.finally(() => clearTimeout(giveBack))
  }

  /** Takes nothing new and goes on with what runs. */
  async drain(): Promise<void> {
    if (this.#state === 'running') this.#state = 'draining'
    await this.#beat()
  }

  async #stop(): Promise<void> {
    const { opened, reaper } = this.#started()
    this.#state = 'draining'
    clearTimeout(this.#wakeTimer)
    await reaper.stop()
    await this.#beat().catch(() => undefined)
    while (this.#claiming > 0 || this.#ends.size > 0) {
      await Promise.allSettled([...this.#ends, new Promise((resolve) => setTimeout(resolve, 20))])
    }
    for (const timer of this.#timers) clearInterval(timer)
    this.#state = 'stopped'
    await this.#beat().catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'could not say goodbye'))
    for (const part of opened.reverse()) {
      await part.stop().catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'a part did not stop'))
    }
  }

  #giveBack(): void {
    for (const run of this.#running.values())
      run.abort('SHUTDOWN', 'This worker shuts down; the task goes on elsewhere')
  }

  #started(): Parts {
    if (this.#parts === undefined) throw new FleetError('NOT_STARTED', 'Call start() first')
    return this.#parts
  }

  #every(ms: number, act: () => unknown): void {
    const timer = setInterval(() => {
      Promise.resolve()
        .then(act)
        .catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'a regular duty failed'))
    }, ms)
    this.#timers.add(timer)
  }

  // ── what the feed tells ──

  #onChange({ collection, id, doc }: Change): void {
    if (collection !== 'tasks') return
    if (doc === null) {
      this.#ready.remove(String(id))
      return
    }
    const task = doc as TaskDocument
    if (task.status === 'pending' && this.#serves(task)) this.#offer(task)
    else this.#ready.remove(task._id.toHexString())
    if (task.status === 'running' && task.worker === this.id && task.control !== undefined)
      this.#obey(task._id.toHexString(), task.control)
  }

  #serves(task: Pick<TaskDocument, 'queue' | 'name' | 'version'>): boolean {
    const newest = this.#served.tasks.get(task.name)
    return newest !== undefined && task.version <= newest && this.#served.queues.includes(task.queue)
  }

  #offer(hint: Hint): void {
    const { database } = this.#started()
    this.#newcomers?.push(hint)
    const due = this.#ready.offer(hint, database.clock.now())
    if (due) this.emit('due', { id: hint._id.toHexString(), name: hint.name })
    this.#wake()
  }

  #obey(id: string, control: { action: 'cancel' | 'pause'; by: string; reason?: string }): void {
    const run = this.#running.get(id)
    if (run === undefined) {
      // The claim's own answer is still on its way.
      if (this.#claiming > 0) setTimeout(() => this.#obey(id, control), 20)
      return
    }
    const because = control.reason === undefined ? '' : `: ${control.reason}`
    if (control.action === 'cancel') run.abort('CANCELLED', `Cancelled by ${control.by}${because}`)
    else run.abort('PAUSED', `Paused by ${control.by}${because}`)
  }

  #onLeaseLost(leaseId: string): void {
    for (const run of this.#running.values()) {
      if (run.leaseId !== leaseId) continue
      this.#log.warn({ task: run.id }, 'lease lost; the attempt is abandoned')
      run.abort('LEASE_LOST', 'The lease can no longer be proved')
      this.emit('lost', { id: run.id, worker: this.id })
    }
  }

  #onReaped(task: TaskDocument): void {
    const worker = task.attempts.at(-1)?.worker
    this.#log.info(
      { task: task._id.toHexString(), from: worker, status: task.status },
      'took back a task whose worker is gone',
    )
    this.emit('lost', { id: task._id.toHexString(), worker })
  }

  // ── the claim loop ──

  #wake(): void {
    if (this.#filling) this.#fillAgain = true
    else void this.#fill()
  }

  /** One at a time; a wake-up in between makes it go round once more. */
  async #fill(): Promise<void> {
    this.#filling = true
    try {
      do {
        this.#fillAgain = false
        await this.#fillSlots()
      } while (this.#fillAgain)
    } catch (error) {
      this.#log.warn({ err: asError(error) }, 'claiming failed; trying again')
      setTimeout(() => this.#wake(), 500)
    } finally {
      this.#filling = false
    }
  }

  async #fillSlots(): Promise<void> {
    const { database, store } = this.#started()
    while (this.#state === 'running') {
      for (const hint of this.#ready.promote(database.clock.now())) {
        this.emit('due', { id: hint._id.toHexString(), name: hint.name })
      }
      const free = this.#slots - this.#running.size
      const hints = free > 0 ? this.#ready.take(free) : []
      if (this.#ready.low) void this.#refill('low')
      if (hints.length === 0) break
      const claims = await this.#claim(store, hints)
      for (const claim of claims) this.#begin(claim)
      this.#offerAgain(hints, claims)
    }
    this.#armTimer()
    this.#tellIdle()
  }

  /** Due by our idea of the server's time may be a moment too early for the server itself. */
  #offerAgain(hints: readonly Hint[], claims: readonly Claim[]): void {
    if (claims.length === hints.length) return
    const claimed = new Set(claims.map(({ task }) => task._id.toHexString()))
    const now = this.#started().database.clock.now().getTime()
    const justDue = hints.filter(
      (hint) => !claimed.has(hint._id.toHexString()) && now - hint.runAt.getTime() < JUST_DUE_MS,
    )
    if (justDue.length === 0) return
    setTimeout(() => {
      for (const hint of justDue) this.#ready.offer(hint, this.#started().database.clock.now())
      this.#wake()
    }, 50)
  }

  async #claim(store: TaskStore, hints: readonly Hint[]): Promise<Claim[]> {
    this.#claiming += 1
    try {
      const publicBase = this.#parts?.gateway?.publicUrl
      return await store.claim(
        hints.map(({ _id }) => _id),
        { worker: this.id, leaseMs: this.#leaseMs, ...(publicBase === undefined ? {} : { publicBase }) },
      )
    } catch (error) {
      // Nothing is known of these now: the database is asked again.
      setTimeout(() => void this.#refill('claim failed'), 500)
      throw error
    } finally {
      this.#claiming -= 1
    }
  }

  #begin(claim: Claim): void {
    const { leases } = this.#started()
    const run = new RunningTask(claim)
    this.#running.set(run.id, run)
    this.#idleTold = false
    leases.hold(claim.leaseId, claim.sentAt)
    const end = this.#execute(run)
      .catch((error: unknown) =>
        this.#log.error({ err: asError(error), task: run.id }, 'an attempt could not be carried out'),
      )
      .finally(() => {
        // Its next attempt may be here already.
        if (this.#running.get(run.id) === run) this.#running.delete(run.id)
        this.#ends.delete(end)
        if (![...this.#running.values()].some(({ leaseId }) => leaseId === run.leaseId)) leases.drop(run.leaseId)
        this.#sinceRefill += 1
        if (this.#sinceRefill >= (this.#options.refillEvery ?? 200)) void this.#refill('every so many')
        this.#wake()
      })
    this.#ends.add(end)
  }

  async #execute(run: RunningTask): Promise<void> {
    const { store, leases } = this.#started()
    const task = toFullRow<TaskRow>('tasks', run.claim.task)
    this.emit('claimed', { task })
    const factory = this.#factories.get(task.name)!
    const { outcome, settled } = await executeTask(run, factory, {
      store,
      leases,
      log: this.#log,
      abortGraceMs: milliseconds(this.#options.abortGrace ?? '10s'),
    })
    if (!settled.owned || outcome === null) {
      this.#log.warn({ task: run.id }, 'the result is discarded: the task is no longer ours')
      run.end({ status: 'pending' })
      return
    }
    const { status } = settled
    const error = 'error' in outcome ? outcome.error : undefined
    if (outcome.verb === 'complete') this.#unblock(store, run)
    run.end({
      status,
      ...(outcome.verb === 'complete' ? { output: outcome.output } : {}),
      ...(error === undefined ? {} : { error }),
    })
    const ended = { ...task, status }
    if (status === 'completed')
      this.emit('success', { task: ended, output: outcome.verb === 'complete' ? outcome.output : null })
    else if (status === 'failed' && error !== undefined) this.emit('fail', { task: ended, error })
    else if (status === 'pending' && outcome.verb === 'retry') {
      this.emit('retry', { task: ended, error: outcome.error, delayMs: outcome.delayMs })
    }
  }

  /** The slot is free meanwhile; `stop` waits for it. Should it fail, the reaper's look makes up for it. */
  #unblock(store: TaskStore, run: RunningTask): void {
    const unblocked = store
      .unblock(run.claim.task._id)
      .then(() => undefined)
      .catch((error: unknown) => this.#log.warn({ err: asError(error), task: run.id }, 'what waits for it goes later'))
      .finally(() => this.#ends.delete(unblocked))
    this.#ends.add(unblocked)
  }

  #tellIdle(): void {
    if (this.#running.size > 0 || this.#ready.size > 0 || this.#idleTold || this.#state !== 'running') return
    this.#idleTold = true
    this.emit('idle', {})
  }

  /** One timer, for the next task that isn't due yet. */
  #armTimer(): void {
    clearTimeout(this.#wakeTimer)
    const next = this.#ready.nextDate
    if (next === null || this.#state !== 'running') return
    const wait = next.getTime() - this.#started().database.clock.now().getTime()
    this.#wakeTimer = setTimeout(() => this.#wake(), Math.min(LONGEST_TIMER_MS, Math.max(1, wait)))
  }

  /** Asks the database what there is, and what was asked of us while nobody could tell. */
  async #refill(reason: string): Promise<void> {
    if (this.#refilling !== undefined) return this.#refilling
    this.#refilling = this.#refillNow(reason).finally(() => {
      this.#refilling = undefined
    })
    return this.#refilling
  }

  async #refillNow(reason: string): Promise<void> {
    if (this.#state !== 'running') return
    const { store, database } = this.#started()
    this.#sinceRefill = 0
    this.#newcomers = []
    try {
      const answer = await store.waiting(this.#served, HINTS)
      const mine = {
        due: answer.due.filter((hint) => this.#serves(hint)),
        next: answer.next.filter((hint) => this.#serves(hint)),
      }
      this.#ready.load(mine, HINTS)
      // The answer may be older than what the feed told in the meantime.
      for (const hint of this.#newcomers) this.#ready.offer(hint, database.clock.now())
      for (const { _id, control } of await store.controls(this.id)) this.#obey(_id.toHexString(), control)
      this.#log.debug(
        { reason, due: answer.due.length, next: answer.next.length, now: database.clock.now() },
        'asked the database',
      )
    } catch (error) {
      this.#log.warn({ err: asError(error), reason }, 'the database could not be asked; trying again')
      setTimeout(() => void this.#refill(reason), 1_000)
    } finally {
      this.#newcomers = null
    }
    this.#wake()
  }

  // ── what others hear ──

  #tell(): void {
    for (const run of this.#running.values()) run.tell()
  }

  async #storeProgress(): Promise<void> {
    const reports = [...this.#running.values()].flatMap((run) => {
      const progress = run.takeProgress()
      return progress === undefined ? [] : [{ id: run.claim.task._id, leaseId: run.leaseId, progress }]
    })
    await this.#started().store.report(reports)
  }

  async #beat(): Promise<void> {
    const { register, gateway } = this.#started()
    const state = this.#state === 'new' ? 'running' : this.#state
    await register.beat(this.id, {
      name: this.name,
      host: hostname(),
      pid: process.pid,
      role: 'worker',
      state,
      queues: [...this.#served.queues],
      tasks: [...this.#served.tasks].map(([name, version]) => `${name}@${version}`),
      slots: this.#slots,
      running: this.#running.size,
      load: this.#load.read(),
      heartbeatMs: this.#options.heartbeatMs ?? 2_500,
      version: VERSION,
      ...(gateway === undefined ? {} : { url: gateway.publicUrl }),
    })
  }
}

interface Parts {
  database: FleetDatabase
  fleet: Fleet
  store: TaskStore
  feed: ChangeFeed
  leases: LeaseKeeper
  gateway: Gateway | undefined
  reaper: Reaper
  register: WorkerRegister
  /** What must be stopped, in the order in which it was opened. */
  opened: { stop(): Promise<void> }[]
}

function inRange(field: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new FleetError('CONFIG_RANGE', `'${field}' is a whole number from ${least} to ${most}, not ${value}`, { field })
}
