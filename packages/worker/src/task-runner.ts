import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { asError, Fleet, type TaskDocument, type TaskType, type WorkerDocument } from '@taskfleet/core'
import {
  type Change,
  ChangeFeed,
  type Claim,
  type Claimant,
  FleetDatabase,
  type Hint,
  Outcome,
  type QueueDocument,
  type Served,
  SessionWatch,
  type TaskError,
  type TaskStore,
  toFullRow,
  type WorkerRegister,
  type WorkerReport,
  withoutOutages,
} from '@taskfleet/core/internal'
import type { Gateway, ListenAddress } from '@taskfleet/gateway'
import { type Duration, type EnqueueOptions, FleetError, hasEnded, type TaskRow, VERSION } from '@taskfleet/protocol'
import { durationWithin, wholeNumber } from '@taskfleet/protocol/internal'
import { type Logger, pino } from 'pino'
import { AttemptReporter } from './attempt-reporter.ts'
import { processGuard } from './boundary/process-guard.js'
import { tellListeners } from './boundary/tell-listeners.ts'
import { ClaimLoop } from './claim-loop.ts'
import { DeadlineWatch } from './deadline-watch.ts'
import { DocumentWatch } from './document-watch.ts'
import { Doubt } from './doubt.ts'
import { ErrorNotice, type RecurringErrors } from './errors/error-notice.ts'
import { executeTask, type Handling } from './execute-task.ts'
import type { HandlerContext } from './handler.ts'
import { HandlerSlots } from './handler-slots.ts'
import type { Isolates } from './isolate/isolates.ts'
import { requireIsolation } from './isolate/isolation.ts'
import { LimitedClaims } from './limited-claims.ts'
import type { SlotRange } from './load/auto-slots.ts'
import { LoadMonitor } from './load/load-monitor.ts'
import type { LoadThresholds } from './load/thresholds.ts'
import { OutsideWork } from './outside-work.ts'
import { QueueLimits } from './queue-limits.ts'
import { QueueRates } from './queue-rates.ts'
import { Reaper } from './reaper.ts'
import { RunningTask } from './running-task.ts'
import { ScheduleWatch } from './schedule-watch.ts'
import { SessionKeeper, timeoutFor } from './session-keeper.ts'
import { StopBudget, type StopOptions } from './stop-budget.ts'
import { Suspects } from './suspects.ts'
import type { TaskFactory } from './task-factory.ts'

export interface TaskRunnerOptions {
  /** The database's address, or one that is connected already and stays so. */
  mongo: string | FleetDatabase
  /** The database's name, where the address does not say it. */
  db?: string | undefined
  tasks: readonly TaskFactory[]
  queues?: readonly string[]
  /** How many tasks run at once at most; `auto` or a range follows memory and the event loop's delay. 4 by default. */
  concurrency?: number | 'auto' | SlotRange
  /**
   * How many tasks are claimed ahead of the slots, for handlers that take milliseconds: they are claimed and ended in groups, in
   * a few writes for all. What is claimed ahead is held by this worker until its turn comes, and given back when it stops.
   * 0 to 1,000; 0 by default, and right for whatever takes a second or more.
   */
  prefetch?: number
  /** How many tasks of a queue run at once on this worker at most. */
  queueConcurrency?: Record<string, number>
  /** From where on the load gate keeps tasks back. */
  thresholds?: LoadThresholds
  /** When and how the developer is told of errors that keep coming. */
  recurringErrors?: RecurringErrors
  /** Where its gateway and task sockets listen; without it the worker serves no one. */
  listen?: ListenAddress
  /** How others reach it, when that differs from where it listens. */
  publicUrl?: string
  /** What people call it; the host's name by default. */
  name?: string
  /** How long its tasks stay its own after its last sign of life, in milliseconds; 8,000 by default. */
  leaseMs?: number
  /** How often it gives a sign of life, in milliseconds; a third of `leaseMs` by default, and at most. */
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
  /** A task is executable here, now or since before we came. Where very many wait, it may be told of more than once. */
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

const POLL_MS = 30_000
/** When tasks are asked for again whose starts were used too late: not at once, should a clock be the reason. */
const LATE_MS = 100
const LONGEST_GRACE_MS = 86_400_000

/** A worker: claims tasks, runs them, and tells how it goes. */
export class TaskRunner extends EventEmitter<RunnerEvents> {
  /** The process: new at every start, and the same as its first session. */
  readonly #boot = randomUUID()
  #session: string = this.#boot
  readonly name: string
  readonly #options: TaskRunnerOptions
  readonly #log: Logger
  readonly #factories = new Map<string, TaskFactory>()
  readonly #queues: readonly string[]
  readonly #pausedQueues = new Set<string>()
  /** The latest revision that was heard of. */
  readonly #queueRevs = new Map<string, number>()
  readonly #limits: QueueLimits
  readonly #prefetch: number
  /** Only where more is claimed than runs. */
  readonly #handlerSlots: HandlerSlots | undefined
  readonly #leaseMs: number
  readonly #heartbeatMs: number
  readonly #pollMs: number
  readonly #refillEvery: number
  readonly #abortGraceMs: number
  readonly #doubt = new Doubt()
  /** Leases of attempts of which the database takes no end. */
  readonly #refused = new Set<string>()
  readonly #suspects = new Suspects(() => void this.#parts?.loop.refill('a suspect has come through'))
  readonly #outside = new OutsideWork()
  readonly #running = new Map<string, RunningTask>()
  readonly #ends = new Set<Promise<void>>()
  #parts: Parts | undefined
  #state: 'new' | 'running' | 'draining' | 'stopped' = 'new'
  #idleTold = false
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined
  readonly #budget = new StopBudget(() => this.#giveBack())
  /** Ends the watch over errors that nobody catches. */
  #unguard: (() => void) | undefined

  /** @throws {FleetError} `CONFIG_RANGE`, `BAD_DEFINITION` */
  constructor(options: TaskRunnerOptions) {
    super()
    this.#options = options
    this.name = options.name ?? hostname()
    this.#log = withoutOutages((options.log ?? pino({ level: 'silent' })).child({ worker: this.name }))
    this.#leaseMs = setting(options.leaseMs ?? 8_000, 'leaseMs', 500, 3_600_000)
    const third = Math.round(this.#leaseMs / 3)
    this.#heartbeatMs = Math.min(third, setting(options.heartbeatMs ?? third, 'heartbeatMs', 50, 3_600_000))
    this.#prefetch = setting(options.prefetch ?? 0, 'prefetch', 0, 1_000)
    this.#pollMs = setting(options.pollMs ?? POLL_MS, 'pollMs', 10, 86_400_000)
    this.#refillEvery = setting(options.refillEvery ?? 1_000, 'refillEvery', 1, 1_000_000)
    this.#abortGraceMs = durationWithin(options.abortGrace ?? '10s', 'abortGrace', {
      least: 0,
      most: LONGEST_GRACE_MS,
      code: 'CONFIG_RANGE',
    })
    if (this.#prefetch > 0) this.#handlerSlots = new HandlerSlots(() => this.#started().load.slots)
    for (const factory of options.tasks) {
      if (this.#factories.has(factory.name)) {
        throw new FleetError('BAD_DEFINITION', `Two tasks are named '${factory.name}'`)
      }
      if (factory.isolate !== undefined) requireIsolation(factory)
      this.#factories.set(factory.name, factory)
    }
    this.#queues = options.queues ?? ['default']
    this.#limits = new QueueLimits({
      here: options.queueConcurrency ?? {},
      onRoom: (queue) => void this.#parts?.loop.refill(`there is room in ${queue}`),
    })
    for (const [queue, limit] of Object.entries(options.queueConcurrency ?? {}))
      setting(limit, `queueConcurrency.${queue}`, 1, 1_000)
  }

  /** Its session, by which others know it: another one once the last was ended, as after a long silence. */
  get id(): string {
    return this.#session
  }

  /** Where its gateway listens, once started. */
  get url(): string | undefined {
    return this.#parts?.gateway?.url
  }

  /** How many due tasks waited beside this worker, idle as it was, until the safety poll found them. Anything but 0 is a fault. */
  get foundByPoll(): number {
    return this.#parts?.loop.foundByPoll ?? 0
  }

  /** The tasks whose handlers run in this process itself. */
  get runningHere(): RunningTask[] {
    return [...this.#running.values()].filter(
      ({ began, claim }) => began && this.#factories.get(claim.task.name)?.isolate === undefined,
    )
  }

  /** The attempt of a task that runs here. */
  attempt(id: string): RunningTask | undefined {
    return this.#running.get(id)
  }

  /** @throws {FleetError} `NO_DATABASE`, `EADDRINUSE`, `INSECURE_BIND`, `BAD_PUBLIC_URL` and others of set-up */
  async start(): Promise<void> {
    if (this.#state !== 'new') throw new FleetError('ALREADY_STARTED', 'A runner is started once')
    this.#state = 'running'
    this.#starting = this.#start()
    await this.#starting
  }

  async #start(): Promise<void> {
    const parts = await this.#open()
    this.#parts = parts
    // Told to stop meanwhile: nothing is claimed.
    if (this.#budget.begun) return
    this.#unguard = processGuard.hold()
    const { feed, load, loop, reaper, deadlines, schedules, reporter, sessions } = parts
    feed.subscribe({ change: (change) => this.#onChange(change), lost: () => this.#onHistoryLost() })
    await reaper.start()
    await deadlines.start()
    await schedules.start()
    await load.start()
    await sessions.open(this.#session)
    await reporter.start()
    await loop.start()
  }

  async #open(): Promise<Parts> {
    const { mongo, db, listen, publicUrl } = this.#options
    const ownDatabase = typeof mongo === 'string'
    const database = ownDatabase
      ? await FleetDatabase.connect({ uri: mongo, name: db, timeoutMs: timeoutFor(this.#leaseMs), log: this.#log })
      : mongo
    const opened: { stop(): Promise<void> }[] = ownDatabase ? [{ stop: () => database.close() }] : []
    try {
      const fleet = new Fleet(database, { log: this.#log })
      await database.requireSchema()
      const feed = new ChangeFeed(database, { log: this.#log, scope: 'work' })
      opened.push(feed)
      await feed.start()
      const sessions = new SessionKeeper({
        database,
        register: fleet.workers,
        leaseMs: this.#leaseMs,
        everyMs: this.#heartbeatMs,
        log: this.#log,
        report: () => this.#report(),
        onRenewed: ({ control }) => this.#onAsked(control),
        onDoubt: () => this.#onDoubt(),
        onProven: () => this.#onProven(),
        onDead: (session) => this.#onDead(session),
      })
      opened.push(sessions)
      await sessions.start()
      let gateway: Gateway | undefined
      if (listen !== undefined) {
        // A worker that doesn't listen loads no server.
        const { Gateway } = await import('@taskfleet/gateway')
        gateway = new Gateway({
          database,
          feed,
          runner: this,
          listen,
          log: this.#log,
          ...(publicUrl === undefined ? {} : { publicUrl }),
        })
        opened.push(gateway)
        await gateway.start()
      }
      const reaper = new Reaper({
        store: fleet.store,
        log: this.#log,
        intervalMs: Math.min(3_000, this.#leaseMs / 2),
        awake: () => sessions.trusted(this.#session),
        onReaped: (task) => this.#onReaped(task),
        houseKeeping: async () => (await fleet.events.sweep()) + (await fleet.batches.sweep()),
      })
      opened.push(reaper)
      const deadlines = new DeadlineWatch({
        store: fleet.store,
        clock: database.clock,
        log: this.#log,
        onMissed: (task) => this.emit('deadline', { task: toFullRow('tasks', task) }),
      })
      opened.push(deadlines)
      const schedules = new ScheduleWatch({ schedules: fleet.schedules, clock: database.clock, feed, log: this.#log })
      opened.push(schedules)
      const documents = new DocumentWatch({ fleet, feed, log: this.#log })
      opened.push(documents)
      await documents.start()
      const watch = new SessionWatch({
        register: fleet.workers,
        feed,
        log: this.#log,
        unbrokenFor: (gapMs) => sessions.unbrokenFor(gapMs),
        prove: () => sessions.beat(),
        onEnded: () => reaper.wake(),
      })
      opened.push(watch)
      await watch.start()
      const load = this.#loadMonitor()
      opened.push(load)
      const notice = new ErrorNotice(fleet.errors, this.#options.recurringErrors ?? {}, this.#log)
      const reporter = new AttemptReporter({
        fleet,
        log: this.#log,
        running: () => this.#running.values(),
        mayWrite: () => !this.#doubt.active,
      })
      opened.push(reporter)
      const isolates = await this.#openIsolates()
      if (isolates !== undefined) opened.push(isolates)
      opened.push({ stop: () => fleet.events.settled() })
      const rates = new QueueRates({
        rates: fleet.rates,
        onRoom: (queue) => void this.#parts?.loop.refill(`starts are free in ${queue}`),
        longestWaitMs: this.#pollMs,
        log: this.#log,
      })
      opened.push(rates)
      const loop = this.#claimLoop(fleet, gateway, rates)
      const { store, workers: register } = fleet
      return {
        database,
        fleet,
        store,
        feed,
        sessions,
        gateway,
        reaper,
        deadlines,
        schedules,
        load,
        notice,
        reporter,
        rates,
        loop,
        isolates,
        register,
        opened,
      }
    } catch (error) {
      for (const part of opened.reverse()) await part.stop().catch(() => undefined)
      this.#state = 'stopped'
      throw error
    }
  }

  /** What threads and processes need takes a few megabytes: only where a handler asks for one. */
  async #openIsolates(): Promise<Isolates | undefined> {
    if (![...this.#factories.values()].some(({ isolate }) => isolate !== undefined)) return undefined
    const { Isolates } = await import('./isolate/isolates.ts')
    return new Isolates({ log: this.#log })
  }

  #loadMonitor(): LoadMonitor {
    const { concurrency = 4, thresholds } = this.#options
    return new LoadMonitor({
      concurrency,
      folders: [...this.#factories.values()].flatMap(({ disk }) => disk ?? []),
      running: () => this.#running.size,
      // What the gate lets through is part of what is asked for.
      onChange: () => void this.#parts?.loop.refill('the load changed'),
      log: this.#log,
      ...(thresholds === undefined ? {} : { thresholds }),
    })
  }

  #claimLoop(fleet: Fleet, gateway: Gateway | undefined, rates: QueueRates): ClaimLoop {
    const { store, database } = fleet
    const publicBase = gateway?.publicUrl
    const claimant = ({ lost }: Pick<Hint, 'lost'>): Claimant => ({
      worker: this.#session,
      queues: this.#queues,
      maxLost: lost,
      ...(publicBase === undefined ? {} : { publicBase }),
    })
    const limited = new LimitedClaims({
      store,
      claimant,
      clock: database.clock,
      limits: this.#limits,
      rates,
      onLate: (queue) => {
        setTimeout(() => void this.#parts?.loop.refill(`starts of ${queue} were used too late`), LATE_MS).unref()
      },
    })
    return new ClaimLoop({
      store,
      clock: database.clock,
      log: this.#log,
      claimant,
      served: () => this.#servedNow(),
      serves: (hint) => this.#serves(hint),
      free: () => this.#free(),
      hints: Math.max(500, 4 * this.#prefetch),
      begin: (claim) => this.#begin(claim),
      limited,
      onDue: ({ _id, name }) => this.emit('due', { id: _id.toHexString(), name }),
      onNothingDue: () => this.#tellIdle(),
      reportedUntil: () => this.#started().feed.reportedUntil,
      beforeAsking: async () => {
        await this.#loadQueues(fleet)
        if (this.#queues.some((queue) => this.#limits.isLimited(queue))) await this.#limits.load(() => store.slots())
        await this.#reconcile(store)
      },
      refillEvery: this.#refillEvery,
      pollMs: this.#pollMs,
    })
  }

  /**
   * Ends a task with `notify: true` that this runner has told of by `claimed`: the work is done.
   * @throws {FleetError} `NOT_RUNNING` when no such task waits for it here
   */
  complete(id: string, output?: unknown): void {
    this.#outside.complete(id, output)
  }

  /**
   * The work of a task with `notify: true` failed; it is tried again as after any failure.
   * @throws {FleetError} `NOT_RUNNING` when no such task waits for it here
   */
  fail(id: string, error: unknown): void {
    this.#outside.fail(id, error)
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
   * Takes nothing new, lets what runs go on for `grace`, then gives it back, and is done after `timeout`, whatever hangs.
   * May be called at any time, and again: shorter times count at once.
   *
   * A handler that does not heed its signal goes on until the program ends: end it after this. Its task waits until then.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    if (this.#state === 'new') return
    this.#budget.limit(options)
    this.#stopping ??= this.#stopWhenStarted().finally(() => this.#budget.close())
    await Promise.race([this.#stopping, this.#budget.over])
    if (this.#state === 'stopped') return
    const running = [...this.#running.keys()]
    this.#log.error({ running }, 'stopping took longer than its budget: what is left to do is given up')
  }

  async #stopWhenStarted(): Promise<void> {
    // What went wrong with the start is told to whoever started it.
    await this.#starting?.catch(() => undefined)
    if (this.#parts === undefined) return
    await this.#stop()
    this.#unguard?.()
  }

  /** Takes nothing new and goes on with what runs. */
  async drain(): Promise<void> {
    if (this.#state === 'running') this.#state = 'draining'
    await this.#started().sessions.beat()
  }

  async #stop(): Promise<void> {
    const { opened, reaper, loop, sessions } = this.#started()
    this.#state = 'draining'
    const claimed = loop.stop()
    for (const run of this.#running.values()) if (!run.began) run.abort('SHUTDOWN', 'This worker shuts down')
    await reaper.stop()
    await sessions.beat().catch(() => undefined)
    await claimed
    while (this.#ends.size > 0) await Promise.allSettled(this.#ends)
    this.#state = 'stopped'
    await sessions.beat().catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'could not say goodbye'))
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

  /** A listener that throws is logged: it harms no task and no other listener. */
  override emit<Name>(
    event: keyof RunnerEvents | Name,
    ...args: Name extends keyof RunnerEvents ? RunnerEvents[Name] : never
  ): boolean {
    return tellListeners(this as EventEmitter, event as string, args, (error) =>
      this.#log.error({ err: asError(error), event: String(event) }, 'a listener of the runner failed'),
    )
  }

  // ── what the feed tells ──

  #onChange({ collection, id, doc }: Change): void {
    if (collection === 'tasks') this.#onTask(String(id), doc as TaskDocument | null)
    else if (collection === 'queues') this.#onQueue(String(id), this.#readableQueue(doc as QueueDocument | null))
    else if (collection === 'workers' && id === this.#session) this.#onAsked((doc as WorkerDocument | null)?.control)
  }

  #onTask(id: string, task: TaskDocument | null): void {
    const { fleet, loop, deadlines } = this.#started()
    // What does not fit is ended by the watch of documents, and nothing here relies on it.
    if (task !== null && !fleet.gate.isReadable('tasks', task)) {
      loop.remove(id)
      return
    }
    if (task?.raiseAt !== undefined) deadlines.expect(task.raiseAt)
    this.#limits.seen(id, task)
    if (task?.status === 'pending' && task.runAt instanceof Date) loop.offer(task)
    else loop.remove(id)
    this.#checkHeld(id, task)
    if (task?.status === 'running' && task.worker === this.#session && task.control !== undefined)
      this.#obey(id, task.control)
  }

  /** Somebody else has ended or removed what runs here. What was heard may be older than the claim. */
  #checkHeld(id: string, task: TaskDocument | null): void {
    const run = this.#running.get(id)
    if (run === undefined || run.settling || task?.lease?.id === run.leaseId) return
    if (task !== null && task.rev <= run.claim.task.rev) return
    this.#log.warn({ task: id, status: task?.status }, 'a running task was taken away; the attempt is abandoned')
    this.#lose(run)
  }

  #lose(run: RunningTask): void {
    run.abort('LEASE_LOST', 'This worker does not hold the task any more; it may run elsewhere by now')
    this.emit('lost', { id: run.id, worker: run.session })
  }

  async #loadQueues({ queues }: Fleet): Promise<void> {
    const said = new Map((await queues.list()).map((queue) => [queue._id, queue]))
    for (const queue of this.#queues) {
      // What was read may be older than what the feed has told meanwhile.
      const { rev = 0 } = said.get(queue) ?? {}
      if (rev >= (this.#queueRevs.get(queue) ?? 0)) this.#onQueue(queue, said.get(queue) ?? null)
    }
  }

  #readableQueue(said: QueueDocument | null): QueueDocument | null {
    return said === null ? null : this.#started().fleet.queues.readable(said)
  }

  #onHistoryLost(): void {
    this.#queueRevs.clear()
    void this.#started().loop.lost()
  }

  #onQueue(queue: string, said: QueueDocument | null): void {
    if (said === null) this.#queueRevs.delete(queue)
    else this.#queueRevs.set(queue, said.rev)
    this.#limits.setQueue(queue, said)
    this.#started().rates.setQueue(queue, said)
    const paused = said?.paused === true
    if (this.#pausedQueues.has(queue) === paused) return
    if (paused) this.#pausedQueues.add(queue)
    else this.#pausedQueues.delete(queue)
    void this.#started().loop.refill('a queue was paused or resumed')
  }

  /** Somebody wants this worker drained, or working again. */
  #onAsked(control: WorkerDocument['control']): void {
    const draining = control?.action === 'drain'
    if (control === undefined || draining === (this.#state === 'draining') || this.#stopping !== undefined) return
    this.#log.info({ by: control.by }, draining ? 'asked to take nothing new' : 'asked to take tasks again')
    this.#state = draining ? 'draining' : 'running'
    const { sessions, loop } = this.#started()
    void sessions.beat().catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'a heartbeat failed'))
    loop.wake()
  }

  #obey(id: string, control: { action: 'cancel' | 'pause'; by: string; reason?: string }): void {
    const run = this.#running.get(id)
    if (run === undefined) {
      // The claim's own answer is still on its way.
      if (this.#started().loop.claiming) setTimeout(() => this.#obey(id, control), 20)
      return
    }
    const because = control.reason === undefined ? '' : `: ${control.reason}`
    if (control.action === 'cancel') run.abort('CANCELLED', `Cancelled by ${control.by}${because}`)
    else run.abort('PAUSED', `Paused by ${control.by}${because}`)
  }

  // ── its session ──

  /** The database does not answer. What runs goes on as far as it may; nothing new is claimed. */
  #onDoubt(): void {
    this.#log.warn({ running: this.#running.size }, 'the session can not be renewed; what runs is in doubt')
    this.#doubt.begin()
    for (const run of this.#running.values()) this.#doubt.apply(run, this.#factories.get(run.claim.task.name)!)
  }

  #onProven(): void {
    const lastedMs = this.#doubt.end()
    this.#log.info({ lastedMs: Math.round(lastedMs), running: this.#running.size }, 'the session is renewed again')
    this.#parts?.loop.wake()
    this.#parts?.reaper.wake()
  }

  /**
   * What this session holds, compared with what runs here. A claim may have been applied though its answer and the look after it
   * were lost: such a task is given back, since nobody else takes it while this session lives.
   */
  async #reconcile(store: TaskStore): Promise<void> {
    const { loop } = this.#started()
    const quiet = !loop.claiming
    const held = await store.held(this.#session)
    for (const { _id, control } of held) if (control !== undefined) this.#obey(_id.toHexString(), control)
    if (!quiet || loop.claiming) return
    for (const { leaseId, ...task } of held) {
      if (this.#running.get(task._id.toHexString())?.leaseId === leaseId || this.#refused.has(leaseId)) continue
      this.#log.warn(
        { task: task._id.toHexString() },
        'a claim was applied whose answer was lost; the task is given back',
      )
      await store.settle({ task, leaseId }, Outcome.released())
    }
  }

  /** Others took this process for dead: what it held is theirs. It lives, and goes on under another session. */
  #onDead(session: string): void {
    this.#doubt.end()
    const lost = [...this.#running.values()].filter((run) => run.session === session)
    this.#log.warn({ session, tasks: lost.length }, 'the session was ended by others; its attempts are abandoned')
    for (const run of lost) this.#lose(run)
    if (this.#state === 'stopped' || this.#stopping !== undefined) return
    this.#untilStopped(this.#beginAnew(session, lost))
  }

  async #beginAnew(ended: string, lost: readonly RunningTask[]): Promise<void> {
    const { sessions, register, store, loop } = this.#started()
    this.#session = randomUUID()
    await this.#untilAnswered(() => sessions.open(this.#session))
    await this.#untilAnswered(() => register.replaced(ended))
    await loop.lost()
    for (const run of lost) await this.#untilAnswered(() => this.#survived(store, run))
  }

  /** A loss was counted of a task whose worker lives; or it is still to be counted, and the task can just be given back. */
  async #survived(store: TaskStore, { claim }: RunningTask): Promise<void> {
    const { owned } = await store.settle(claim, Outcome.released())
    if (!owned) await store.takeBackLoss(claim.task._id, claim.leaseId)
  }

  /** Until the database has answered, or this worker stops. */
  async #untilAnswered(act: () => Promise<unknown>): Promise<void> {
    for (let pause = 100; this.#stopping === undefined; pause = Math.min(2_000, pause * 2)) {
      try {
        await act()
        return
      } catch (error) {
        this.#log.warn({ err: asError(error) }, 'the database does not answer yet')
        await sleep(pause)
      }
    }
  }

  #onReaped(task: TaskDocument): void {
    const worker = task.attempts.at(-1)?.worker
    this.#log.info(
      { task: task._id.toHexString(), from: worker, status: task.status },
      'took back a task whose worker is gone',
    )
    this.emit('lost', { id: task._id.toHexString(), worker })
    if (task.error !== undefined) this.#untilStopped(this.#reportLost(task, task.error, worker))
  }

  async #reportLost(task: TaskDocument, error: TaskError, worker: string | undefined): Promise<void> {
    const { fleet, notice } = this.#started()
    const lostHost = worker === undefined ? null : await fleet.workers.find(worker).catch(() => null)
    const { _id, name, version } = task
    await notice.record({ error, task: _id, name, version, host: lostHost?.host ?? 'unknown' })
  }

  // ── what may be claimed ──

  /** What this worker serves now. Whenever that changes, the database is asked again. */
  #servedNow(): Served {
    const { load } = this.#started()
    const maxLost = this.#suspects.maxLost()
    const open = [...this.#factories.values()].filter(({ disk }) => load.allows({ lazy: false, folder: disk?.folder }))
    return {
      queues: this.#queues.filter((queue) => this.#isOpen(queue)),
      tasks: new Map(
        open.map(({ name, oldestVersion, version }) => [name, { oldest: oldestVersion, newest: version }]),
      ),
      lazy: load.gate.lazy,
      ...(maxLost === undefined ? {} : { maxLost }),
    }
  }

  /** How many tasks may be claimed. What is claimed ahead comes in groups of at least half of it. */
  #free(): number {
    if (this.#state !== 'running' || this.#doubt.active || this.#started().sessions.session === undefined) return 0
    const { slots } = this.#started().load
    const free = slots + this.#prefetch - this.#running.size
    return this.#running.size < slots || free >= this.#prefetch / 2 ? free : 0
  }

  #serves({ queue, name, version, lazy, lost }: Hint): boolean {
    const factory = this.#factories.get(name)
    if (factory === undefined || version > factory.version || version < factory.oldestVersion) return false
    if (!this.#queues.includes(queue) || !this.#isOpen(queue)) return false
    if (!this.#suspects.mayBegin(lost)) return false
    return this.#started().load.allows({ lazy, folder: factory.disk?.folder })
  }

  /** Whether anything of the queue may be started now: what waits in one that is full is not in the way of others. */
  #isOpen(queue: string): boolean {
    return !this.#pausedQueues.has(queue) && !this.#limits.isFull(queue) && !this.#started().rates.isUsedUp(queue)
  }

  // ── attempts ──

  #begin(claim: Claim): void {
    const { loop } = this.#started()
    const run = new RunningTask(claim, this.#log)
    this.#running.set(run.id, run)
    this.#limits.began(claim.task.queue)
    this.#limits.seen(run.id, claim.task)
    this.#idleTold = false
    this.#suspects.began(run)
    this.#doubt.apply(run, this.#factories.get(claim.task.name)!)
    const end = this.#execute(run)
      .catch((error: unknown) =>
        this.#log.error({ err: asError(error), task: run.id }, 'an attempt could not be carried out'),
      )
      .finally(() => {
        // Its next attempt may be here already.
        if (this.#running.get(run.id) === run) this.#running.delete(run.id)
        this.#ends.delete(end)
        this.#limits.ended(claim.task.queue)
        this.#doubt.ended(run)
        this.#suspects.cleared(run)
        loop.freed()
      })
    this.#ends.add(end)
  }

  async #execute(run: RunningTask): Promise<void> {
    const { store, sessions, database, reporter } = this.#started()
    const task = toFullRow<TaskRow>('tasks', run.claim.task)
    const factory = this.#factories.get(task.name)!
    // The program that does the work is told when its input has been accepted, and gets it as its handler would.
    if (!factory.notify) this.emit('claimed', { task })
    const { outcome, settled } = await executeTask(run, factory, {
      store,
      sessions,
      onMoved: (moved) => this.#suspects.cleared(moved),
      onRefused: (refused) => this.#refused.add(refused.leaseId),
      clock: database.clock,
      log: this.#log,
      abortGraceMs: this.#abortGraceMs,
      shutdown: this.#budget,
      handle: (factory, context, run) => this.#handle(factory, context, run),
      enter: async () => {
        const leave = await this.#handlerSlots?.enter(run.signal)
        run.begin()
        return leave
      },
    })
    const completed = settled.owned && settled.status === 'completed'
    this.#untilStopped(reporter.ended(run, completed))
    if (!settled.owned || outcome === null) {
      this.#log.warn({ task: run.id }, 'the result is discarded: the task is no longer ours')
      run.end({ status: 'pending' })
      return
    }
    const { status } = settled
    const error = 'error' in outcome ? outcome.error : undefined
    // The slot is free meanwhile. Should it fail, the reaper's look makes up for it.
    if (hasEnded(status)) this.#untilStopped(store.unblock(run.claim.task._id))
    if (error !== undefined) this.#reportFailure(run, error)
    run.end({
      status,
      ...(outcome.verb === 'complete' ? { output: outcome.output } : {}),
      ...(error === undefined ? {} : { error }),
    })
    const ended = { ...task, status }
    if (status === 'completed')
      this.emit('success', { task: ended, output: outcome.verb === 'complete' ? outcome.output : null })
    else if (status === 'failed' && error !== undefined) this.emit('fail', { task: ended, error })
    else if (status === 'pending' && (outcome.verb === 'retry' || outcome.verb === 'defer')) {
      this.emit('retry', { task: ended, error: outcome.error, delayMs: outcome.delayMs })
    }
  }

  /** In this process, in one of its own, or by the program around this runner. */
  #handle(factory: TaskFactory, context: HandlerContext<unknown>, run: RunningTask): Handling {
    if (factory.notify) {
      const result = this.#outside.wait(run)
      this.emit('claimed', { task: { ...toFullRow<TaskRow>('tasks', run.claim.task), input: context.input } })
      return { result }
    }
    const { isolates, sessions } = this.#started()
    if (isolates !== undefined && factory.isolate !== undefined) {
      return isolates.run(factory, context, {
        trustedUntil: () => sessions.trustedUntil(run.session),
        onLeak: (error) => run.boundary.leaked(error),
      })
    }
    return { result: run.boundary.run(() => factory.run(context as never)) }
  }

  #reportFailure(run: RunningTask, error: TaskError): void {
    const { _id, name, version } = run.claim.task
    this.#untilStopped(this.#started().notice.record({ error, task: _id, name, version, host: hostname() }))
  }

  /** Something that goes on while the slot is free already; `stop` waits for it. */
  #untilStopped(work: Promise<unknown>): void {
    const end = work
      .then(() => undefined)
      .catch((error: unknown) => this.#log.warn({ err: asError(error) }, 'what follows an attempt failed'))
      .finally(() => this.#ends.delete(end))
    this.#ends.add(end)
  }

  #tellIdle(): void {
    if (this.#running.size > 0 || this.#started().loop.due > 0 || this.#idleTold || this.#state !== 'running') return
    this.#idleTold = true
    this.emit('idle', {})
  }

  // ── what others hear ──

  #report(): WorkerReport {
    const { gateway, load } = this.#started()
    return {
      boot: this.#boot,
      leaseMs: this.#leaseMs,
      name: this.name,
      host: hostname(),
      pid: process.pid,
      role: 'worker',
      state: this.#state === 'new' ? 'running' : this.#state,
      queues: [...this.#queues],
      tasks: [...this.#factories.values()].flatMap(versionsOf),
      running: this.#running.size,
      heartbeatMs: this.#heartbeatMs,
      version: VERSION,
      ...load.report(),
      ...(gateway === undefined ? {} : { url: gateway.publicUrl }),
    }
  }
}

/** `name@version` of everything that a handler can run. */
function versionsOf({ name, version, oldestVersion }: TaskFactory): string[] {
  return Array.from({ length: version - oldestVersion + 1 }, (_, index) => `${name}@${oldestVersion + index}`)
}

interface Parts {
  database: FleetDatabase
  fleet: Fleet
  store: TaskStore
  feed: ChangeFeed
  sessions: SessionKeeper
  gateway: Gateway | undefined
  reaper: Reaper
  deadlines: DeadlineWatch
  schedules: ScheduleWatch
  load: LoadMonitor
  notice: ErrorNotice
  reporter: AttemptReporter
  rates: QueueRates
  loop: ClaimLoop
  /** Only where a handler asks for one. */
  isolates: Isolates | undefined
  register: WorkerRegister
  /** What must be stopped, in the order in which it was opened. */
  opened: { stop(): Promise<void> }[]
}

const setting = (value: unknown, field: string, least: number, most: number): number =>
  wholeNumber(value, field, { least, most, code: 'CONFIG_RANGE' })
