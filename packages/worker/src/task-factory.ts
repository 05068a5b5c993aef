import { hostname } from 'node:os'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { asError, type TaskType } from '@taskfleet/core'
import {
  type BackoffPolicy,
  backoffPolicy,
  type Claim,
  checkInput,
  LIMIT_RANGE,
  LONGEST_AFFINITY_MS,
  type Naming,
  parseRetry,
} from '@taskfleet/core/internal'
import {
  type Duration,
  type FailureCounts,
  FleetError,
  type LabelsOf,
  milliseconds,
  namingOf,
  type TitleOf,
} from '@taskfleet/protocol'
import { durationWithin, given, requireNaming, TASK_NAME, wholeNumber } from '@taskfleet/protocol/internal'
import type { Handler, TaskDefinition } from './handler.ts'
import { type Isolation, isolationOf, moduleUrl } from './isolate/isolation.ts'
import type { DiskNeed } from './load/load-gate.ts'
import { type LeaseView, Task } from './task.ts'

/** Makes a `Task` for each claimed document, and holds the rules to run it. */
export class TaskFactory<Schema extends StandardSchemaV1 = StandardSchemaV1, Output = unknown>
  implements TaskType<Schema>
{
  readonly name: string
  readonly version: number
  readonly input: Schema
  readonly run: Handler<StandardSchemaV1.InferOutput<Schema>, Output>
  readonly defaults: { lazy: boolean; maxAttempts: number }
  readonly backoff: BackoffPolicy
  /** Whether a failed attempt lowers the task's priority. */
  readonly decay: boolean
  /** Which failed attempts count. */
  readonly counts: FailureCounts
  /** How long one attempt may take, in milliseconds; undefined for no limit. */
  readonly timeoutMs: number | undefined
  /** How long the task may take from its first claim on, in milliseconds. */
  readonly totalTimeoutMs: number | undefined
  /** How long an attempt goes on while its lease can't be proved, in milliseconds. */
  readonly inDoubtMs: number
  /** How long an attempt may report nothing new, in milliseconds. */
  readonly stallMs: number | undefined
  readonly disk: DiskNeed | undefined
  /** Where its checkpoints are of use, and for how long a task waits for a worker there. Without it, they are of use anywhere. */
  readonly prefer: { place: () => string | Promise<string>; ms: number } | undefined
  /** Where the handler runs, when not in the worker's own thread. */
  readonly isolate: Isolation | undefined
  /** Whether a completed task may run again. */
  readonly replay: boolean
  /** The address of the module that exports this task. The loader of the module may set it later. */
  module: string | undefined
  /** Whether the program around the runner does the work. */
  readonly notify: boolean
  readonly title: TitleOf<StandardSchemaV1.InferInput<Schema>> | undefined
  readonly labels: LabelsOf<StandardSchemaV1.InferInput<Schema>> | undefined
  readonly #upgrade: Record<number, (old: never) => unknown>

  /** @throws {FleetError} `BAD_NAME`, `BAD_DEFINITION` */
  constructor(definition: TaskDefinition<Schema, Output>) {
    const { name, version = 1, input, upgrade = {}, retry = {}, lazy = false } = definition
    const run = definition.notify === true ? doneOutside : definition.run
    if (typeof name !== 'string' || !TASK_NAME.test(name))
      throw new FleetError('BAD_NAME', `'${name}' is not a valid task name`)
    wholeNumber(version, `${name}: version`, { least: 1, most: 1_000_000, code: 'BAD_DEFINITION' })
    if (typeof run !== 'function') throw new FleetError('BAD_DEFINITION', `${name}: 'run' is missing`)
    if (typeof input?.['~standard']?.validate !== 'function') {
      throw new FleetError('BAD_DEFINITION', `${name}: 'input' is not a Standard Schema, such as one of zod or valibot`)
    }
    this.name = name
    this.version = version
    this.input = input
    this.run = run
    requireNaming(name, { title: definition.title, labels: definition.labels })
    this.title = definition.title
    this.labels = definition.labels
    this.#upgrade = upgrade
    this.timeoutMs = limit(name, definition.timeout, 'timeout')
    this.totalTimeoutMs = limit(name, definition.totalTimeout, 'totalTimeout')
    this.stallMs = limit(name, definition.stall, 'stall')
    this.inDoubtMs = inDoubtMs(name, definition.inDoubt)
    this.disk = definition.disk
    this.prefer = preference(name, definition.prefer)
    this.isolate = isolationOf(name, definition.isolate)
    this.module = moduleUrl(name, definition.module)
    this.notify = definition.notify === true
    this.replay = definition.replay !== false
    const { delay, ...backoff } = retry.backoff ?? {}
    const parsed = inDefinition(name, () =>
      parseRetry({ ...retry, ...(retry.backoff === undefined ? {} : { backoff }) }),
    )
    this.decay = parsed.decay ?? true
    this.counts = parsed.counts ?? 'every'
    this.defaults = { lazy, maxAttempts: parsed.maxAttempts ?? 5 }
    this.backoff = {
      ...backoffPolicy(parsed.backoff),
      ...(delay === undefined ? {} : { delay: (failures, error) => milliseconds(delay(failures, error)) }),
    }
  }

  /** The oldest version of an input that it can take: one upgrade step leads from each version to the next. */
  get oldestVersion(): number {
    let oldest = this.version
    while (this.#upgrade[oldest - 1] !== undefined) oldest -= 1
    return oldest
  }

  /** The title and labels that a claimed task lacks; undefined if there are none. */
  naming({ task }: Claim): Naming | undefined {
    if (task.version !== this.version || (this.title ?? this.labels) === undefined) return undefined
    if (task.title !== undefined && task.labels !== undefined) return undefined
    const { title, labels } = namingOf({ ...given({ title: this.title, labels: this.labels }) }, task.input)
    const naming = {
      ...(task.title === undefined ? given({ title }) : {}),
      ...(task.labels === undefined ? given({ labels }) : {}),
    }
    return Object.keys(naming).length === 0 ? undefined : naming
  }

  make(claim: Claim, lease: LeaseView): Task {
    return new Task(claim, lease)
  }

  /**
   * The input of a task as the handler takes it: brought up to this version, then checked.
   *
   * @throws {FleetError} `UPGRADE_MISSING`, `UPGRADE_FAILED`, `INPUT_INVALID`
   */
  async accept(version: number, input: unknown): Promise<StandardSchemaV1.InferOutput<Schema>> {
    let upgraded = input
    for (let from = version; from < this.version; from += 1) {
      const step = this.#upgrade[from]
      if (step === undefined) {
        throw new FleetError('UPGRADE_MISSING', `${this.name}@${this.version} has no step from version ${from}`)
      }
      try {
        upgraded = step(upgraded as never)
      } catch (error) {
        const message = `${this.name}: the step from version ${from} failed: ${asError(error).message}`
        throw new FleetError('UPGRADE_FAILED', message, { cause: error })
      }
    }
    return checkInput(this.input, upgraded)
  }
}

const IN_DOUBT_MS = 120_000

/** @throws {FleetError} `BAD_DEFINITION`, `BAD_DURATION` */
function inDoubtMs(name: string, inDoubt: TaskDefinition<StandardSchemaV1, unknown>['inDoubt']): number {
  if (inDoubt === undefined) return IN_DOUBT_MS
  if (inDoubt === 'abort') return 0
  if (inDoubt?.for === undefined) {
    throw new FleetError('BAD_DEFINITION', `${name}: 'inDoubt' is 'abort' or { for: '2m' }`, { field: 'inDoubt' })
  }
  return milliseconds(inDoubt.for)
}

function preference(name: string, prefer: TaskDefinition<StandardSchemaV1, unknown>['prefer']): TaskFactory['prefer'] {
  if (prefer === undefined) return undefined
  const options: unknown = prefer === 'checkpoint' ? {} : prefer
  const { checkpoint = '2m', place = hostname } = Object(options) as { checkpoint?: Duration; place?: () => string }
  if (typeof options !== 'object' || options === null || typeof place !== 'function') {
    const takes = "'checkpoint' or { checkpoint: '5m', place: () => 'disk-7' }"
    throw new FleetError('BAD_DEFINITION', `${name}: 'prefer' is ${takes}`, { field: 'prefer' })
  }
  const range = { least: 1, most: LONGEST_AFFINITY_MS, code: 'BAD_DEFINITION' }
  return { place, ms: inDefinition(name, () => durationWithin(checkpoint, 'prefer.checkpoint', range)) }
}

/** The handler of a task that the program around the runner carries out. */
function doneOutside(): never {
  throw new FleetError('BAD_DEFINITION', 'This task is carried out by the program around its runner')
}

/** @throws {FleetError} `BAD_DEFINITION` */
function limit(name: string, value: Duration | undefined, field: string): number | undefined {
  return value === undefined ? undefined : inDefinition(name, () => durationWithin(value, field, LIMIT_RANGE))
}

/** Adds the task's name to an error in its definition. @throws {FleetError} `BAD_DEFINITION` */
function inDefinition<T>(name: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof FleetError)) throw error
    throw new FleetError('BAD_DEFINITION', `${name}: ${error.message}`, { field: error.field, cause: error })
  }
}
