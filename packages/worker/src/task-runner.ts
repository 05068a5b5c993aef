import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { asError, type TaskDocument, type TaskType } from '@taskfleet/core'
import { FleetDatabase, toFullRow } from '@taskfleet/core/internal'
import type { TaskFile } from '@taskfleet/gateway'
import { type EnqueueOptions, FleetError, type TaskRow } from '@taskfleet/protocol'
import { tellListeners } from './boundary/tell-listeners.ts'
import { fileOf } from './file-of.ts'
import { OutsideWork } from './outside-work.ts'
import {
  type Emit,
  type RunnerEvents,
  type RunnerSettings,
  settingsOf,
  type TaskRunnerOptions,
} from './runner-options.ts'
import type { RunningTask } from './running-task.ts'
import { timeoutFor } from './session-keeper.ts'
import { StopBudget, type StopOptions } from './stop-budget.ts'
import { Worker } from './worker.ts'

export type { RunnerEvents, TaskRunnerOptions } from './runner-options.ts'

/** A worker: claims tasks, runs them, and emits an event for each step. */
export class TaskRunner extends EventEmitter<RunnerEvents> {
  readonly #boot = randomUUID()
  readonly #options: TaskRunnerOptions
  readonly #settings: RunnerSettings
  readonly #outside = new OutsideWork()
  readonly #budget = new StopBudget(() => this.#worker?.running.giveBackAll())
  #worker: Worker | undefined
  #starting: Promise<void> | undefined
  #stopping: Promise<void> | undefined

  /** @throws {FleetError} `CONFIG_RANGE`, `BAD_DEFINITION`, `BAD_SECRET` */
  constructor(options: TaskRunnerOptions) {
    super()
    this.#options = options
    this.#settings = settingsOf(options)
  }

  get name(): string {
    return this.#settings.name
  }

  /** The id of its session, which others see. It changes when the session was ended, such as after a long outage. */
  get id(): string {
    return this.#worker?.session.id ?? this.#boot
  }

  /** Where its gateway listens, once started. */
  get url(): string | undefined {
    return this.#worker?.gateway?.url
  }

  /** How many due tasks waited until the safety poll found them, while this worker was idle. More than 0 is a bug. */
  get foundByPoll(): number {
    return this.#worker?.loop.foundByPoll ?? 0
  }

  /** The tasks whose handlers run in this process itself. */
  get runningHere(): RunningTask[] {
    return (this.#worker?.running.all ?? []).filter(
      ({ began, claim }) => began && this.#settings.factories.get(claim.task.name)?.isolate === undefined,
    )
  }

  /** The attempt of a task that runs here. */
  attempt(id: string): RunningTask | undefined {
    return this.#worker?.running.get(id)
  }

  /** Where the file of a completed task is on this host; undefined if its handler here has none. */
  file({ name, output }: TaskDocument): TaskFile | undefined {
    return fileOf(this.#settings.factories.get(name)?.files, output)
  }

  /**
   * Resolves when the worker runs in full. Tasks that wait begin before, so add listeners for events before the start.
   *
   * @throws {FleetError} `NO_DATABASE`, `EADDRINUSE`, `INSECURE_BIND`, `BAD_PUBLIC_URL` and others of set-up
   */
  async start(): Promise<void> {
    if (this.#starting !== undefined) throw new FleetError('ALREADY_STARTED', 'A runner can be started only once')
    this.#starting = this.#start()
    await this.#starting
  }

  async #start(): Promise<void> {
    const { mongo, db: name } = this.#options
    const { leaseMs, log } = this.#settings
    const database =
      typeof mongo === 'string'
        ? await FleetDatabase.connect({ uri: mongo, name, timeoutMs: timeoutFor(leaseMs), log })
        : mongo
    try {
      this.#worker = new Worker({
        settings: this.#settings,
        database,
        boot: this.#boot,
        attempts: this,
        outside: this.#outside,
        budget: this.#budget,
        emit: this.emit.bind(this) as Emit,
      })
      await this.#worker.start()
    } catch (error) {
      this.#worker = undefined
      this.#budget.close()
      await this.#close(database).catch(() => undefined)
      throw error
    }
  }

  /** Closes a database that this runner has connected to. */
  async #close(database: FleetDatabase): Promise<void> {
    if (database !== this.#options.mongo) await database.close()
  }

  /**
   * Ends a task with `notify: true` that this runner has emitted by `claimed`: the work is done.
   * @throws {FleetError} `NOT_RUNNING` when no such task waits for it here
   */
  complete(id: string, output?: unknown): void {
    this.#outside.complete(id, output)
  }

  /**
   * Reports the failure of a task with `notify: true`. It is retried like after any failure.
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
    return toFullRow('tasks', await this.#started().fleet.enqueue(type, input, options))
  }

  /** Claims no more tasks; running tasks go on. */
  async drain(): Promise<void> {
    await this.#started().drain()
  }

  /**
   * Claims no more tasks, lets running tasks go on for `grace`, then releases them. Resolves after `timeout` at the latest. May be
   * called at any time, and again: shorter times count at once.
   *
   * A handler that ignores its signal goes on until the program ends, so end the program after this. Its task waits until then.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    if (this.#starting === undefined) return
    this.#budget.limit(options)
    this.#stopping ??= this.#stop(this.#starting).finally(() => this.#budget.close())
    const ended = await Promise.race([this.#stopping.then(() => true), this.#budget.over.then(() => false)])
    if (ended || this.#worker?.state === 'stopped') return
    const running = (this.#worker?.running.all ?? []).map(({ id }) => id)
    this.#settings.log.error(
      { running },
      'stopping took longer than its budget; the remaining parts are not waited for',
    )
  }

  async #stop(starting: Promise<void>): Promise<void> {
    // The caller of `start` gets its error.
    await starting.catch(() => undefined)
    const worker = this.#worker
    if (worker === undefined) return
    await worker.stop().catch((error: unknown) => this.#warn(error, 'a part did not stop'))
    await this.#close(worker.fleet.database).catch((error: unknown) => this.#warn(error, 'the database was not closed'))
  }

  #warn(error: unknown, message: string): void {
    this.#settings.log.warn({ err: asError(error) }, message)
  }

  #started(): Worker {
    if (this.#worker === undefined) throw new FleetError('NOT_STARTED', 'Call start() first')
    return this.#worker
  }

  /** Logs a listener that throws. Tasks and other listeners are not affected. */
  override emit<Name>(
    event: keyof RunnerEvents | Name,
    ...args: Name extends keyof RunnerEvents ? RunnerEvents[Name] : never
  ): boolean {
    return tellListeners(this as EventEmitter, event as string, args, (error) =>
      this.#settings.log.error({ err: asError(error), event: String(event) }, 'a listener of the runner failed'),
    )
  }
}
