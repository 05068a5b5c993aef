import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TaskError } from '@taskfleet/core/internal'
import type {
  BackoffOptions,
  Duration,
  LabelsOf,
  LogLevel,
  Progress,
  RetryOptions,
  TaskStatus,
  TitleOf,
} from '@taskfleet/protocol'
import type { IsolateOption } from './isolate/isolation.ts'
import type { DiskNeed } from './load/load-gate.ts'
import type { Task } from './task.ts'

/** The progress that a handler reports. Every field is optional, and the latest call wins. */
export type ProgressUpdate = Omit<Partial<Progress>, 'at'>

/** The state from which a handler resumes, kept across attempts and hosts. */
export interface Checkpoint<State = unknown> {
  /** The latest saved state; `undefined` before the first save. */
  readonly state: State | undefined
  /**
   * Stores the state under this attempt's lease and resolves when the database has it.
   * @throws {FleetError} `LEASE_LOST` when this worker no longer holds the task; `BAD_CHECKPOINT` with the path of what can't be stored;
   *   `CHECKPOINT_TOO_LARGE` above 256 KiB
   */
  save(state: State): Promise<void>
}

export type TaskLog = Record<LogLevel, (message: string) => void>

/** The handler's end of the task's own socket. */
export interface TaskChannel {
  /**
   * Sends `event { name, data }` to all watchers of this task. Data that can't be sent is dropped, with a line in the task's log.
   * @throws {UnrecoverableError} `BAD_EVENT` for an invalid name
   */
  emit(name: string, data?: unknown): void
  /** Answers `message { name, data }` from a watcher; what it returns is the answer. Returns its undo. */
  on(name: string, answer: (data: unknown) => unknown): () => void
}

/** The result of a task for which this one has waited. */
export interface PredecessorResult {
  /** `removed`: the task and its output are no longer stored. */
  status: TaskStatus | 'removed'
  /** Its return value; only if it has completed. */
  output?: unknown
  /** Its last error; only if it has failed or was cancelled. */
  error?: TaskError
}

/** The argument of a handler. */
export interface HandlerContext<Input> {
  input: Input
  task: Task
  /**
   * Cheap: at most 10 updates a second reach a watcher and one a second the database, the last one with the attempt's end.
   * @throws {UnrecoverableError} `BAD_PROGRESS` with the path, for example of a number that is `NaN`; `PROGRESS_TOO_LARGE` above
   *   16 KiB
   */
  progress(update: ProgressUpdate): void
  checkpoint: Checkpoint
  log: TaskLog
  socket: TaskChannel
  /** How the tasks of `after` have ended, by id, in the order of `after`. The database is read at each call. */
  results(): Promise<ReadonlyMap<string, PredecessorResult>>
  /**
   * Aborted on cancel, pause, time limit, shutdown, a lost lease, and an uncaught error of the handler. `reason` is an
   * `AttemptAborted`.
   */
  signal: AbortSignal
}

/** The type of a method, so that a factory of any input is assignable to `TaskFactory`. */
export type Handler<Input, Output> = { run(context: HandlerContext<Input>): Promise<Output> | Output }['run']

export interface Backoff extends BackoffOptions {
  /** The delay before the next attempt, instead of `kind`, `base` and `factor`. Cap and jitter apply to it too. */
  delay?: (failures: number, error: unknown) => Duration
}

interface Definition<Schema extends StandardSchemaV1> {
  name: string
  /** The version of the input that this handler takes; 1 by default. */
  version?: number
  input: Schema
  /**
   * The title of a task with this input, up to 200 characters; by default it has none. It gets the input as it was requested, with
   * `{ secret: 'name' }` in place of secrets. A worker that runs a task without a title stores it.
   */
  title?: TitleOf<StandardSchemaV1.InferInput<Schema>>
  /** Labels of a task with this input: up to 16 short texts by which people search. Those in its request win. */
  labels?: LabelsOf<StandardSchemaV1.InferInput<Schema>>
  /** Steps that bring an older message up by one version each: `{ 1: v1 => v2 }`. */
  upgrade?: Record<number, (old: never) => unknown>
  /** Each field of a task's own `retry` overrides this one. */
  retry?: Omit<RetryOptions, 'backoff'> & { backoff?: Backoff }
  /** How long one attempt may take. */
  timeout?: Duration
  /** How long the task may take in all, from its first claim on, including the waits between attempts. */
  totalTimeout?: Duration
  /**
   * How long an attempt may go on without new progress or a new checkpoint. Log lines don't count. Then it fails with `STALLED`,
   * which is a failure like any other.
   */
  stall?: Duration
  /**
   * What happens while the database doesn't answer and the worker can't prove its lease. By default an attempt goes on for two minutes,
   * then it is released. `'abort'` is for work that must never overlap: it is aborted before another worker can claim the task.
   */
  inDoubt?: 'abort' | { for: Duration }
  /** Runs only while the machine is not overloaded. */
  lazy?: boolean
  /**
   * False for a task that must not run again once it has completed, such as a payment: replays are refused. Failed attempts are tried
   * again as usual.
   */
  replay?: boolean
  /** The disk space that it needs. The task waits while there is less. */
  disk?: DiskNeed
  /**
   * For a handler whose checkpoint is of use only where it was saved, for instance because it is about a file on that disk. When a task
   * waits again, workers at that place may claim it for two minutes (or for `checkpoint`, up to an hour) before others may. Then any worker
   * takes it. `explain` tells. The place is the computer by default; `place` names another one, and is called once at the start of
   * a worker. Workers for which it returns the same are at the same place.
   */
  prefer?: 'checkpoint' | { checkpoint?: Duration; place?: () => string | Promise<string> }
  /** Runs the handler in a thread or process of its own, so that blocking or crashing harms no other task. */
  isolate?: IsolateOption
  /**
   * The module that exports this task, for `isolate` to load: `import.meta.url`. `--tasks FILE` sets it. The module must do no more
   * than define tasks.
   */
  module?: string
}

export type TaskDefinition<Schema extends StandardSchemaV1, Output> = Definition<Schema> &
  (
    | { run: Handler<StandardSchemaV1.InferOutput<Schema>, Output>; notify?: false }
    /** The program around the runner does the work, and calls `runner.complete` or `runner.fail`. */
    | { notify: true; run?: never }
  )
