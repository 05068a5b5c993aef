import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { LogLevel, Progress } from '@taskfleet/core/protocol'
import type { Task } from './task.ts'

/** What a handler says about how far it is; every field is optional and the latest call wins. */
export type ProgressUpdate = Omit<Partial<Progress>, 'at'>

/** The handler's own state to go on from, kept across attempts and hosts. */
export interface Checkpoint<State = unknown> {
  /** What the last attempt that saved one left; `undefined` on the first. */
  readonly state: State | undefined
  /**
   * Stores the state under this attempt's lease and resolves when the database has it.
   * @throws {FleetError} `LEASE_LOST` when the task is no longer ours; `CHECKPOINT_TOO_LARGE` above 256 KiB
   */
  save(state: State): Promise<void>
}

export type TaskLog = Record<LogLevel, (message: string) => void>

/** The handler's end of the task's own socket. */
export interface TaskChannel {
  /** Sends `event { name, data }` to everybody who watches this task. */
  emit(name: string, data?: unknown): void
  /** Answers `message { name, data }` from a watcher; what it returns is the answer. Returns its undo. */
  on(name: string, answer: (data: unknown) => unknown): () => void
}

/** What a handler is given. */
export interface HandlerContext<Input> {
  input: Input
  task: Task
  /** Costs next to nothing: at most 10 a second reach a watcher and one a second the database. */
  progress(update: ProgressUpdate): void
  checkpoint: Checkpoint
  log: TaskLog
  socket: TaskChannel
  /** Aborted on cancel, pause, time limit, shutdown and a lost lease; `reason` is an `AttemptAborted`. */
  signal: AbortSignal
}

/** A method's type, so that a factory with any input fits where some factory is wanted. */
export type Handler<Input, Output> = { run(context: HandlerContext<Input>): Promise<Output> | Output }['run']

/** Milliseconds, or a number with `ms`, `s`, `m`, `h` or `d`. */
export type Duration = number | `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

export interface Backoff {
  base: Duration
  factor?: number
  cap?: Duration
  /** Spreads retries over 50-100 % of the delay. */
  jitter?: boolean
}

export interface TaskDefinition<Schema extends StandardSchemaV1, Output> {
  name: string
  /** The version of the input that this handler takes; 1 by default. */
  version?: number
  input: Schema
  /** Steps that bring an older message up by one version each: `{ 1: v1 => v2 }`. */
  upgrade?: Record<number, (old: never) => unknown>
  retry?: { maxAttempts?: number; backoff?: Backoff }
  /** How long one attempt may take. */
  timeout?: Duration
  lazy?: boolean
  run: Handler<StandardSchemaV1.InferOutput<Schema>, Output>
}
