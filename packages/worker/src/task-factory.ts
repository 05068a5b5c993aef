import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  asError,
  type BackoffPolicy,
  type Claim,
  checkInput,
  DEFAULT_BACKOFF,
  FleetError,
  type TaskType,
} from '@taskfleet/core'
import { milliseconds } from './duration.ts'
import type { Handler, TaskDefinition } from './handler.ts'
import { type LeaseView, Task } from './task.ts'

const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/

/** Makes a `Task` for each claimed document, and knows how to run it. */
export class TaskFactory<Schema extends StandardSchemaV1 = StandardSchemaV1, Output = unknown>
  implements TaskType<Schema>
{
  readonly name: string
  readonly version: number
  readonly input: Schema
  readonly run: Handler<StandardSchemaV1.InferOutput<Schema>, Output>
  readonly defaults: { lazy: boolean; maxAttempts: number }
  readonly backoff: BackoffPolicy
  /** How long one attempt may take, in milliseconds; undefined for as long as it takes. */
  readonly timeoutMs: number | undefined
  readonly #upgrade: Record<number, (old: never) => unknown>

  /** @throws {FleetError} `BAD_NAME`, `BAD_DEFINITION`, `BAD_DURATION` */
  constructor(definition: TaskDefinition<Schema, Output>) {
    const { name, version = 1, input, run, upgrade = {}, retry = {}, timeout, lazy = false } = definition
    if (typeof name !== 'string' || !NAME.test(name)) throw new FleetError('BAD_NAME', `'${name}' can't name a task`)
    if (!Number.isInteger(version) || version < 1)
      throw new FleetError('BAD_DEFINITION', `${name}: a version is 1 or more`)
    if (typeof run !== 'function') throw new FleetError('BAD_DEFINITION', `${name}: 'run' is missing`)
    if (typeof input?.['~standard']?.validate !== 'function') {
      throw new FleetError(
        'BAD_DEFINITION',
        `${name}: 'input' is not a Standard Schema (zod, valibot, arktype … make them)`,
      )
    }
    this.name = name
    this.version = version
    this.input = input
    this.run = run
    this.#upgrade = upgrade
    this.timeoutMs = timeout === undefined ? undefined : milliseconds(timeout)
    this.defaults = { lazy, maxAttempts: retry.maxAttempts ?? 5 }
    const { base, factor, cap, jitter } = retry.backoff ?? {}
    this.backoff = {
      base: base === undefined ? DEFAULT_BACKOFF.base : milliseconds(base),
      factor: factor ?? DEFAULT_BACKOFF.factor,
      cap: cap === undefined ? DEFAULT_BACKOFF.cap : milliseconds(cap),
      jitter: jitter ?? DEFAULT_BACKOFF.jitter,
    }
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
        throw new FleetError(
          'UPGRADE_FAILED',
          `${this.name}: the step from version ${from} failed: ${asError(error).message}`,
          {
            cause: error,
          },
        )
      }
    }
    return checkInput(this.input, upgraded)
  }
}
