import { hostname } from 'node:os'
import { asError, Fleet, KeyStore, type TaskDocument, type WorkerDocument } from '@taskfleet/core'
import {
  type Feed,
  FeedTokens,
  type FleetDatabase,
  feedOf,
  PUBLISH_EVERY_MS,
  parseSecrets,
  Service,
  SessionWatch,
  SigningKeys,
  toFullRow,
  UnderWay,
  WatchLoop,
  type WorkerReport,
} from '@taskfleet/core/internal'
import type { Attempts, Gateway } from '@taskfleet/gateway'
import { VERSION } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { AttemptReporter } from './attempt-reporter.ts'
import { processGuard } from './boundary/process-guard.js'
import { ClaimAhead } from './claim-ahead.ts'
import type { ClaimLoop } from './claim-loop.ts'
import { claimLoopOf } from './claim-rules.ts'
import { DeadlineWatch } from './deadline-watch.ts'
import { DocumentWatch } from './document-watch.ts'
import { Doubt } from './doubt.ts'
import { ErrorNotice } from './errors/error-notice.ts'
import { HandlerSlots } from './handler-slots.ts'
import type { Isolates } from './isolate/isolates.ts'
import { LoadMonitor } from './load/load-monitor.ts'
import type { OutsideWork } from './outside-work.ts'
import { Places } from './places.ts'
import { Reaper } from './reaper.ts'
import type { Emit, RunnerSettings } from './runner-options.ts'
import type { RunningTask } from './running-task.ts'
import { RunningTasks } from './running-tasks.ts'
import { ScheduleWatch } from './schedule-watch.ts'
import { ServedQueues } from './served-queues.ts'
import { SessionKeeper } from './session-keeper.ts'
import { SharedFeed } from './shared-feed.ts'
import type { StopBudget } from './stop-budget.ts'
import { Suspects } from './suspects.ts'
import type { TaskFactory } from './task-factory.ts'
import { changesOf } from './worker-changes.ts'
import { WorkerSession } from './worker-session.ts'

export interface WorkerOptions {
  settings: RunnerSettings
  database: FleetDatabase
  /** New at every start of the process; also the id of its first session. */
  boot: string
  /** The attempts of this process, for the gateway. */
  attempts: Attempts
  outside: OutsideWork
  budget: StopBudget
  emit: Emit
}

const PUBLISH_RETRY_MS = 30_000

/** The parts of a worker, and the order in which they start and stop. */
export class Worker extends Service {
  readonly settings: RunnerSettings
  readonly boot: string
  readonly fleet: Fleet
  readonly feed: Feed
  readonly queues: ServedQueues
  readonly load: LoadMonitor
  readonly places: Places
  readonly sessions: SessionKeeper
  readonly session: WorkerSession
  readonly running: RunningTasks
  readonly loop: ClaimLoop
  readonly reaper: Reaper
  readonly deadlines: DeadlineWatch
  readonly reporter: AttemptReporter
  readonly notice: ErrorNotice
  readonly suspects: Suspects
  readonly doubt = new Doubt()
  readonly outside: OutsideWork
  /** Only if tasks are claimed ahead. */
  readonly handlerSlots: HandlerSlots | undefined
  /** Measures handlers, unless the number of tasks that are claimed ahead is given. */
  readonly ahead: ClaimAhead | undefined
  readonly budget: StopBudget
  /** Attempts and the writes after them, for which `stop` waits. */
  readonly underWay: UnderWay
  readonly emit: Emit
  readonly #attempts: Attempts
  readonly #watch: SessionWatch
  /** Only if the worker listens. */
  gateway: Gateway | undefined
  /** Only if a handler needs an isolate. */
  isolates: Isolates | undefined
  /** `stopped` when all its tasks have ended or were released. */
  state: 'running' | 'draining' | 'stopped' = 'running'

  /** @throws {FleetError} `CONFIG_RANGE`, `BAD_DURATION`, `BAD_SIZE` */
  constructor({ settings, database, boot, attempts, outside, budget, emit }: WorkerOptions) {
    super()
    const { log, factories, leaseMs, heartbeatMs, thresholds } = settings
    const refill = (reason: string): void => void this.loop.refill(reason)
    this.settings = settings
    this.boot = boot
    this.outside = outside
    this.budget = budget
    this.emit = emit
    this.#attempts = attempts
    this.fleet = new Fleet(database, { log, signing: settings.signing })
    const { store, workers: register, events, batches, errors } = this.fleet
    this.underWay = new UnderWay((error) => log.warn({ err: asError(error) }, 'the work after an attempt failed'))
    this.feed = this.#feed()
    this.suspects = new Suspects(() => refill('a suspect has come through'))
    this.notice = new ErrorNotice(errors, settings.recurringErrors, log)
    this.queues = new ServedQueues(this.fleet, settings, refill)
    this.places = new Places(factories.values(), log)
    this.load = new LoadMonitor({
      concurrency: settings.concurrency,
      folders: [...factories.values()].flatMap(({ disk }) => disk ?? []),
      running: () => this.running.size,
      // The query for waiting tasks depends on the gate.
      onChange: () => refill('the load changed'),
      log,
      ...given({ thresholds }),
    })
    this.ahead = settings.prefetch === 'auto' ? new ClaimAhead() : undefined
    this.handlerSlots = settings.prefetch === 0 ? undefined : new HandlerSlots(() => this.load.slots)
    this.sessions = new SessionKeeper({
      database,
      register,
      leaseMs,
      everyMs: heartbeatMs,
      log,
      report: () => this.#report(),
      onRenewed: ({ control }) => this.obey(control),
      onDoubt: () => this.session.onDoubt(),
      onProven: () => this.session.onProven(),
      onDead: (session) => this.session.onDead(session),
    })
    this.reaper = new Reaper({
      store,
      log,
      intervalMs: Math.min(3_000, leaseMs / 2),
      processes: () => this.#watch.live,
      awake: () => this.sessions.trusted(this.session.id),
      onReaped: (task) => this.#onReaped(task),
      houseKeeping: async () => (await events.sweep()) + (await batches.sweep()),
    })
    this.#watch = new SessionWatch({
      register,
      feed: this.feed,
      log,
      unbrokenFor: (gapMs) => this.sessions.unbrokenFor(gapMs),
      prove: () => this.sessions.beat(),
      onEnded: () => this.reaper.wake(),
    })
    const onMissed = (task: TaskDocument): void => emit('deadline', { task: toFullRow('tasks', task) })
    this.deadlines = new DeadlineWatch({ store, clock: database.clock, log, onMissed })
    const running = (): Iterable<RunningTask> => this.running.all
    this.reporter = new AttemptReporter({ fleet: this.fleet, log, running, mayWrite: () => !this.doubt.active })
    this.session = new WorkerSession(this)
    this.running = new RunningTasks(this)
    this.loop = claimLoopOf(this)
  }

  #feed(): Feed {
    const { fleet, settings, boot } = this
    const { database } = fleet
    const { log, secret, listen, queues } = settings
    const direct = (): Feed => feedOf(database, { log, scope: 'work' })
    if (settings.ownStream || database.memory !== undefined) return direct()
    const now = (): Date => database.clock.now()
    const keys = new SigningKeys(new KeyStore(database.db, now), parseSecrets(secret))
    return new SharedFeed({
      register: fleet.workers,
      tokens: new FeedTokens(keys, now),
      interest: () => ({ queues, session: this.session.id }),
      direct,
      boot,
      listens: listen !== undefined,
      log,
    })
  }

  /** False while it drains or is about to stop, and while it can't prove its session. */
  get mayClaim(): boolean {
    return this.state === 'running' && !this.budget.begun && !this.doubt.active && this.sessions.session !== undefined
  }

  /** A task that waits begins as early as it can: nothing starts before the first claim that it does not need. */
  protected override async onStart(): Promise<void> {
    const { fleet, feed, sessions, reaper, deadlines, queues, settings } = this
    const { log } = settings
    this.defer(processGuard.hold())
    await fleet.database.requireSchema()
    this.defer(() => sessions.stop())
    this.defer(() => feed.stop())
    await this.#openGateway()
    await this.#openIsolates()
    await this.places.find()
    this.defer(() => fleet.events.settled())
    this.defer(() => queues.rates.stop())
    // Stopped meanwhile: nothing is claimed.
    if (this.budget.begun) return
    const changes = changesOf(this)
    this.defer(feed.subscribe(changes))
    const documents = new DocumentWatch({ fleet, feed, log })
    const schedules = new ScheduleWatch({ schedules: fleet.schedules, clock: fleet.database.clock, feed, log })
    const watches = [documents, reaper, deadlines, schedules, this.#watch]
    // They start after the first claim, but stop only when all tasks have been given back.
    for (const watch of watches) this.defer(() => watch.stop())
    await this.use(this.load)
    await this.use(this.reporter)
    this.defer(() => this.#giveAllBack())
    try {
      await Promise.all([sessions.start(), sessions.open(this.session.id).then(() => this.loop.start())])
      await feed.start()
      // The loop has read the database before the feed reported changes.
      changes.lost('HISTORY_LOST')
      for (const watch of watches) await watch.start()
      await (await this.use(this.#publishing())).look()
    } catch (error) {
      // Its tasks are given back at once.
      this.budget.limit({ grace: 0 })
      throw error
    }
  }

  /** The server is loaded only if the worker listens. Its address belongs to the session and to each claim. */
  async #openGateway(): Promise<void> {
    const { fleet, feed, settings } = this
    const { listen, reached, secret, log } = settings
    if (listen === undefined) return
    await feed.start()
    const { Gateway } = await import('@taskfleet/gateway')
    const own = { database: fleet.database, feed, runner: this.#attempts, listen, secret, log }
    this.gateway = await this.use(new Gateway({ ...own, ...reached }))
  }

  /** Producers check inputs against the schemas of handlers. Tasks run even if publishing fails. */
  #publishing(): WatchLoop {
    const { factories, log } = this.settings
    return new WatchLoop({
      look: () => this.fleet.handlers.publish([...factories.values()]),
      everyMs: PUBLISH_EVERY_MS,
      retryMs: PUBLISH_RETRY_MS,
      spread: true,
      log,
      failed: 'the input schemas of handlers could not be published',
    })
  }

  /** Isolates are loaded only if a handler asks for one: they take a few megabytes. */
  async #openIsolates(): Promise<void> {
    if (![...this.settings.factories.values()].some(({ isolate }) => isolate !== undefined)) return
    const { Isolates } = await import('./isolate/isolates.ts')
    const isolates = new Isolates({ log: this.settings.log, address: this.settings.address })
    this.defer(() => isolates.stop())
    this.isolates = isolates
  }

  /** Claims no more tasks, waits until all its tasks have ended or were released, and reports its end. */
  async #giveAllBack(): Promise<void> {
    const { loop, running, reaper, sessions, underWay, settings } = this
    this.state = 'draining'
    const claimed = loop.stop()
    running.giveBackWaiting()
    await reaper.stop()
    await sessions.beat().catch(() => undefined)
    await claimed
    await underWay.settled()
    this.state = 'stopped'
    await sessions
      .beat()
      .catch((error: unknown) =>
        settings.log.warn({ err: asError(error) }, 'the end of this worker could not be reported'),
      )
  }

  /** Claims no more tasks; running tasks go on. */
  async drain(): Promise<void> {
    if (this.state === 'running') this.state = 'draining'
    await this.sessions.beat()
  }

  /** Carries out a request to drain or resume this worker. */
  obey(control: WorkerDocument['control']): void {
    const { log } = this.settings
    const draining = control?.action === 'drain'
    if (control === undefined || draining === (this.state === 'draining') || this.budget.begun) return
    log.info({ by: control.by }, draining ? 'drained: claims no more tasks' : 'resumed: claims tasks again')
    this.state = draining ? 'draining' : 'running'
    this.sessions.beat().catch((error: unknown) => log.warn({ err: asError(error) }, 'a heartbeat failed'))
    this.loop.wake()
  }

  #onReaped(task: TaskDocument): void {
    const { error, _id, name, version, status } = task
    const id = _id.toHexString()
    const { worker, host } = task.attempts.at(-1) ?? {}
    this.settings.log.info({ task: id, from: worker, status }, 'took back a task of a dead worker')
    this.emit('lost', { id, worker })
    if (error === undefined) return
    this.underWay.add(this.notice.record({ error, task: _id, name, version, host: host ?? 'unknown' }))
  }

  #report(): WorkerReport {
    const { name, leaseMs, heartbeatMs, queues, factories } = this.settings
    return {
      boot: this.boot,
      leaseMs,
      name,
      host: hostname(),
      pid: process.pid,
      role: 'worker',
      state: this.state,
      queues: [...queues],
      tasks: [...factories.values()].flatMap(versionsOf),
      running: this.running.size,
      heartbeatMs,
      version: VERSION,
      ...this.load.report(),
      ...given({ url: this.gateway?.publicUrl, secretIds: this.gateway && [...this.gateway.secretIds] }),
    }
  }
}

/** `name@version` of everything that a handler can run. */
function versionsOf({ name, version, oldestVersion }: TaskFactory): string[] {
  return Array.from({ length: version - oldestVersion + 1 }, (_, index) => `${name}@${oldestVersion + index}`)
}
