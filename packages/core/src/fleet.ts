import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  BatchRefused,
  type Duration,
  type EnqueueOptions,
  type EntryProblem,
  type FleetControl,
  FleetError,
  type FleetOperations,
  milliseconds,
  type TaskEnd,
} from '@taskfleet/protocol'
import { controlOf } from '@taskfleet/protocol/internal'
import type { Connection, mongo } from 'mongoose'
import type { Logger } from 'pino'
import { LOCAL, type Principal } from './auth/key-store.ts'
import { Signing, type SigningOptions } from './auth/signing.ts'
import { BulkStore } from './bulk/bulk-store.ts'
import { operationsFor } from './commands/dispatcher.ts'
import {
  type EventCalls,
  eventCalls,
  type KeyCalls,
  keyCalls,
  type ScheduleCalls,
  scheduleCalls,
  type UpkeepCalls,
  upkeepCalls,
} from './commands/older-names.ts'
import { QueueRegister } from './commands/queue-register.ts'
import { checkTasks, entryProblem, storeDocuments } from './commands/store-tasks.ts'
import { FleetDatabase } from './database/fleet-database.ts'
import { IndexWatch } from './database/index-watch.ts'
import { DocumentGate } from './documents/gate.ts'
import { type Repaired, repairDocuments } from './documents/repair.ts'
import { SetAside } from './documents/set-aside.ts'
import { type SurveyDeps, survey, surveyIfDue } from './documents/survey.ts'
import { Callbacks } from './events/callbacks.ts'
import { Events } from './events/events.ts'
import { PublishedHandlers } from './handlers/published-handlers.ts'
import { AuditLog } from './history/audit-log.ts'
import { ErrorReport } from './history/error-report.ts'
import { KeptCounts } from './history/kept-counts.ts'
import { Refusals } from './history/refusals.ts'
import { RollUps } from './history/roll-ups.ts'
import { TaskLogs } from './history/task-logs.ts'
import { WaitingSamples } from './history/waiting-samples.ts'
import { feedOf } from './live/feed-of.ts'
import { TaskResults } from './live/task-results.ts'
import { Schedules } from './schedules/schedules.ts'
import { checkRequest, naming, type TaskType } from './task/check-input.ts'
import { Durations } from './task/durations.ts'
import type { LargeBatches } from './task/large-batches.ts'
import { MongoTaskStore } from './task/mongo-task-store.ts'
import { parseNewTask } from './task/new-task.ts'
import { parseId } from './task/parse-value.ts'
import { RetentionPolicy } from './task/retention.ts'
import { StartRates } from './task/start-rates.ts'
import type { TaskDocument } from './task/task-document.ts'
import type { TaskStore } from './task/task-store.ts'
import { WorkerRegister } from './worker/worker-register.ts'

/** A producer: stores tasks without running any. */
export class Fleet {
  readonly database: FleetDatabase
  readonly store: TaskStore
  /** Lists that are stored all or none, and are too long for one transaction. */
  readonly batches: LargeBatches
  /** The collection itself, for queries; every write goes through the store. */
  readonly tasks: mongo.Collection<TaskDocument>
  readonly workers: WorkerRegister
  readonly queues: QueueRegister
  readonly rates: StartRates
  readonly logs: TaskLogs
  readonly errors: ErrorReport
  readonly audit: AuditLog
  /** The audit of refused requests. */
  readonly refusals: Refusals
  readonly retention: RetentionPolicy
  readonly durations: Durations
  /** What happened, by minute and hour. */
  readonly rollUps: RollUps
  /** How many tasks waited, minute by minute. */
  readonly waiting: WaitingSamples
  /** How many tasks there are, without reading the history. */
  readonly counts: KeptCounts
  /** Commands on many tasks that gateways carry out. */
  readonly bulk: BulkStore
  readonly callbacks: Callbacks
  readonly events: Events
  readonly schedules: Schedules
  readonly gate: DocumentGate
  readonly indexes: IndexWatch
  /** The tasks that live workers serve, and the input schemas of their handlers. */
  readonly handlers: PublishedHandlers
  /** Signs the documents that this process stores, and checks the ones that it runs. */
  readonly signing: Signing
  readonly #results: TaskResults

  /** @param options.signing by default, from the environment @throws {FleetError} as `Signing` */
  constructor(
    database: FleetDatabase,
    { log, signing: asked }: { log?: Logger | undefined; signing?: SigningOptions | undefined } = {},
  ) {
    const signing = asked === undefined ? Signing.fromEnv(process.env, log) : new Signing({ log, ...asked })
    this.signing = signing
    const { clock, db } = database
    this.database = database
    this.gate = new DocumentGate(db, new SetAside(db, { log }))
    const { gate } = this
    this.tasks = db.collection('tasks')
    this.#results = new TaskResults(this.tasks, () => feedOf(database, { scope: 'whole', ...(log && { log }) }))
    this.indexes = new IndexWatch({
      db,
      expected: () => database.expectedIndexes(),
      make: () => database.ensureIndexes(),
      log,
    })
    this.retention = new RetentionPolicy(db)
    this.durations = new Durations(db)
    this.rollUps = new RollUps(db, { clock, log })
    this.waiting = new WaitingSamples(db, { clock })
    this.counts = new KeptCounts({ db, tasks: this.tasks, clock, rollUps: this.rollUps, log })
    const store = new MongoTaskStore(database, clock, {
      retention: this.retention,
      durations: this.durations,
      signing,
      log,
      setAside: gate.setAside,
      requireUniqueKeys: () => this.indexes.requireUniqueKeys(),
      onEventTask: (event) => this.events.changed(event),
      onEnd: (end) => this.rollUps.note(end),
    })
    this.store = store
    this.batches = store.batches
    this.bulk = new BulkStore(db, gate)
    this.callbacks = new Callbacks(db, gate, signing)
    this.events = new Events({
      client: database.getClient(),
      db,
      store: this.store,
      callbacks: this.callbacks,
      gate,
      log,
      now: () => clock.now(),
    })
    this.workers = new WorkerRegister(database, clock, gate)
    this.handlers = new PublishedHandlers(db, this.workers)
    this.queues = new QueueRegister(db, gate)
    this.rates = new StartRates(db)
    this.logs = new TaskLogs(db, gate)
    this.errors = new ErrorReport(db, gate)
    this.audit = new AuditLog(db)
    this.refusals = new Refusals(this.audit)
    this.schedules = new Schedules({ db, store: this.store, audit: this.audit, gate, signing, now: () => clock.now() })
  }

  /**
   * Every operation of the table, for a key; by default, for the process itself. Permissions are checked before anything is
   * written. Each change and each refusal is in the audit log.
   *
   * @example `await fleet.as(principal).schedules.pause('nightly')`
   */
  as(principal: Principal = LOCAL): FleetOperations {
    return operationsFor(this, principal)
  }

  /** The operations on tasks and a few others by their older names; by default, for the process itself. */
  control(principal: Principal = LOCAL): FleetControl {
    return controlOf(this.as(principal))
  }

  /** @deprecated `as(principal).events` and `.callbacks` */
  eventsFor(principal: Principal = LOCAL): EventCalls {
    return eventCalls(this.as(principal))
  }

  /** @deprecated `as(principal).keys` */
  keysFor(principal: Principal = LOCAL): KeyCalls {
    return keyCalls(this.as(principal))
  }

  /** @deprecated `as(principal).retention` */
  upkeepFor(principal: Principal = LOCAL): UpkeepCalls {
    return upkeepCalls(this.as(principal))
  }

  /** Schedules with tasks given by definition, whose schema checks the input; `as(principal).schedules` takes names. */
  schedulesFor(principal: Principal = LOCAL): ScheduleCalls {
    return scheduleCalls(this.as(principal))
  }

  /** Checks for malformed documents, unless a process has done so recently. @returns whether it did */
  surveyIfDue(): Promise<boolean> {
    return surveyIfDue(this.#surveyed)
  }

  /** Finds malformed documents and sets them aside. */
  survey(): Promise<void> {
    return survey(this.#surveyed)
  }

  /** Repairs malformed documents where that is safe, and returns what it did. */
  repair(): Promise<Repaired[]> {
    return repairDocuments(this.#surveyed)
  }

  get #surveyed(): SurveyDeps {
    return { db: this.database.db, store: this.store, setAside: this.gate.setAside }
  }

  /**
   * If the database's user may only read, only reading operations work.
   *
   * @throws {FleetError} what `FleetDatabase.connect` throws; `NEEDS_MIGRATION`, `NEWER_SCHEMA`
   */
  static async connect(
    mongo: string,
    { signing, ...options }: { name?: string | undefined; log?: Logger; signing?: SigningOptions } = {},
  ): Promise<Fleet> {
    const database = await FleetDatabase.connect({ uri: mongo, ...options })
    try {
      await database.requireSchema({ writes: false })
    } catch (error) {
      await database.close()
      throw error
    }
    return new Fleet(database, { log: options.log, signing })
  }

  /**
   * A fleet on an existing connection of the program, so that a task can be stored in the same transaction as the program's own
   * data. The program closes the connection.
   *
   * @param source a connected `MongoClient`, or `mongoose.connection`
   * @throws {FleetError} as `connect`; `FOREIGN_DRIVER`
   * @example
   * const fleet = await Fleet.from(mongoose.connection)
   * await mongoose.connection.transaction(async (session) => {
   *   await Order.create([order], { session })
   *   await fleet.enqueue(invoice, { order: order.id }, { session })
   * })
   */
  static async from(
    source: Connection | mongo.MongoClient,
    { database: name, log, signing }: { database?: string; log?: Logger; signing?: SigningOptions } = {},
  ): Promise<Fleet> {
    const database = await FleetDatabase.on(source, { name, log })
    await database.requireSchema({ writes: false })
    return new Fleet(database, { log, signing })
  }

  /**
   * Stores a task. The input is checked here and again by the worker that runs it. If the outcome is unknown, repeat the call with
   * the `_id` in the error: the task is stored only once.
   *
   * @param options `_id` is 24 hexadecimal digits; by default, the fleet makes one. `session` is a transaction of this fleet's own
   *   client, see `from`: the task is stored when it commits
   * @throws {FleetError} `INPUT_INVALID` with the path, `UNKNOWN_OUTCOME` with `ids`, and what `parseNewTask` throws
   */
  async enqueue<Schema extends StandardSchemaV1>(
    type: TaskType<Schema>,
    input: StandardSchemaV1.InferInput<Schema>,
    { session, ...options }: EnqueueOptions & { _id?: string; session?: mongo.ClientSession } = {},
  ): Promise<TaskDocument> {
    await checkRequest(type.input, input)
    const task = parseNewTask({
      ...{ ...type.defaults, ...options, ...naming(type, input, options) },
      ...{ name: type.name, version: type.version, input },
    })
    await this.handlers.check(task)
    const [stored] = await this.store.enqueue([task], session)
    return stored!
  }

  /**
   * Stores up to 10,000 tasks, all or none.
   *
   * @param entries the inputs, each with the options of its task
   * @param session a transaction of this fleet's own client, with up to 500 tasks: they are stored when it commits
   * @throws {FleetError} `BatchRefused` with a problem for each invalid entry; `TOO_MANY_TASKS`, `UNKNOWN_OUTCOME` with `ids`
   */
  async enqueueMany<Schema extends StandardSchemaV1>(
    type: TaskType<Schema>,
    entries: readonly (EnqueueOptions & { _id?: string; input: StandardSchemaV1.InferInput<Schema> })[],
    { session }: { session?: mongo.ClientSession } = {},
  ): Promise<TaskDocument[]> {
    const problems: EntryProblem[] = []
    for (const [index, { input }] of entries.entries()) {
      await checkRequest(type.input, input).catch((error: unknown) => {
        if (!(error instanceof FleetError)) throw error
        problems.push(entryProblem(index, error))
      })
    }
    if (problems.length > 0) throw new BatchRefused(problems)
    const { name, version, defaults } = type
    const checked = checkTasks(
      LOCAL,
      entries.map((entry) => ({ ...defaults, ...entry, ...naming(type, entry.input, entry), name, version })),
    )
    const batch = 'one' in checked ? [checked.one] : checked.batch
    if (session !== undefined) return this.store.enqueue(batch, session)
    return (await storeDocuments(this, LOCAL, checked)).tasks
  }

  /**
   * Waits until a task has ended. All waits share one change stream.
   *
   * @param timeout how long to wait; without a limit by default
   * @returns the result: `{ status, output?, error? }`, ids and dates as texts
   * @throws {FleetError} `NOT_FOUND`, `BAD_ID`; `RESULT_TIMEOUT`, after which the task continues; `CLOSED` when this fleet is closed
   */
  async result(id: string | TaskDocument['_id'], { timeout }: { timeout?: Duration } = {}): Promise<TaskEnd> {
    return this.#results.of(parseId(id), timeout === undefined ? undefined : milliseconds(timeout))
  }

  async close(): Promise<void> {
    await this.#results.close()
    await this.events.settled()
    await this.rollUps.close()
    await this.database.close()
  }
}
