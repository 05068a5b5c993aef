import type { StandardSchemaV1 } from '@standard-schema/spec'
import { FleetError } from './fleet-error.ts'

/** What a task is called, and what goes in and comes out: all that a producer or a page needs to know of it. */
export interface TaskContract<
  Input extends StandardSchemaV1 = StandardSchemaV1,
  Output extends StandardSchemaV1 = StandardSchemaV1,
> {
  readonly name: string
  /** The version that an input is written for. */
  readonly version: number
  readonly input: Input
  /** What its handler returns is checked by it, where there is one. */
  readonly output?: Output
}

/** What a contract is made from. */
export interface TaskDeclaration<Input extends StandardSchemaV1, Output extends StandardSchemaV1> {
  name: string
  /** 1 by default. */
  version?: number
  /** Any Standard Schema, such as zod's; anything that can be stored by default. */
  input?: Input
  output?: Output
}

export const TASK_NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/

/** Takes anything: what can't be stored is refused elsewhere. */
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
  if (typeof name !== 'string' || !TASK_NAME.test(name)) throw new FleetError('BAD_NAME', `'${name}' can't name a task`)
  if (!Number.isInteger(version) || version < 1) {
    throw new FleetError('BAD_DEFINITION', `${name}: 'version' is a whole number from 1`, { field: 'version' })
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
    `${name}: '${field}' is not a Standard Schema (zod, valibot, arktype … make them)`,
    {
      field,
    },
  )
}
