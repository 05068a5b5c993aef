import type { StandardSchemaV1 } from '@standard-schema/spec'
import { FleetError } from './fleet-error.ts'

/** The name, input and output of a task: all that a producer or a page needs to know about it. */
export interface TaskContract<
  Input extends StandardSchemaV1 = StandardSchemaV1,
  Output extends StandardSchemaV1 = StandardSchemaV1,
> {
  readonly name: string
  /** The version of the task that an input is for. */
  readonly version: number
  readonly input: Input
  /** If given, it checks what the handler returns. */
  readonly output?: Output
}

/** The options of a contract. */
export interface TaskDeclaration<Input extends StandardSchemaV1, Output extends StandardSchemaV1> {
  name: string
  /** 1 by default. */
  version?: number
  /** Any Standard Schema, such as zod's. By default, every value that can be stored is allowed. */
  input?: Input
  output?: Output
}

export const TASK_NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/

/** Accepts any value. A value that can't be stored is rejected elsewhere. */
const ANYTHING: StandardSchemaV1 = {
  '~standard': { version: 1, vendor: 'taskfleet', validate: (value) => ({ value }) },
}

/**
 * Declares a task without its handler: safe to import in a browser or a producer. A worker adds the handler with
 * `defineTask(contract, { run })`.
 *
 * @throws {FleetError} `BAD_NAME`, `BAD_DEFINITION`
 */
export function declareTask<
  Input extends StandardSchemaV1 = StandardSchemaV1<unknown>,
  Output extends StandardSchemaV1 = StandardSchemaV1<unknown>,
>(declaration: TaskDeclaration<Input, Output>): TaskContract<Input, Output> {
  const { name, version = 1, input = ANYTHING as Input, output } = declaration
  if (typeof name !== 'string' || !TASK_NAME.test(name))
    throw new FleetError('BAD_NAME', `'${name}' is not a valid task name`)
  if (!Number.isInteger(version) || version < 1) {
    throw new FleetError('BAD_DEFINITION', `${name}: 'version' must be a whole number from 1`, { field: 'version' })
  }
  requireSchema(name, 'input', input)
  if (output === undefined) return { name, version, input }
  requireSchema(name, 'output', output)
  return { name, version, input, output }
}

/** @throws {FleetError} `BAD_DEFINITION` */
function requireSchema(name: string, field: 'input' | 'output', schema: StandardSchemaV1): void {
  if (typeof schema?.['~standard']?.validate === 'function') return
  throw new FleetError(
    'BAD_DEFINITION',
    `${name}: '${field}' must be a Standard Schema, for example from zod, valibot or arktype`,
    {
      field,
    },
  )
}
