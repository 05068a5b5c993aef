import type { StandardSchemaV1 } from '@standard-schema/spec'
import { type EnqueueOptions, FleetError } from '@taskfleet/protocol'

/** What ties a task's name to the type of its input; every `TaskFactory` is one. */
export interface TaskType<Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly name: string
  readonly version: number
  readonly input: Schema
  /** Defaults that the definition gives to every task of its kind. */
  readonly defaults?: Pick<EnqueueOptions, 'lazy' | 'maxAttempts'>
}

/**
 * Checks an input against a schema and returns what the schema makes of it.
 *
 * @throws {FleetError} `INPUT_INVALID`; `field` is the path of the first fault
 */
export async function checkInput<Schema extends StandardSchemaV1>(
  schema: Schema,
  input: unknown,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await schema['~standard'].validate(input)
  if (result.issues === undefined) return result.value
  const [first] = result.issues
  const path = (first?.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.')
  const field = path === '' ? 'input' : `input.${path}`
  throw new FleetError('INPUT_INVALID', `'${field}': ${first?.message ?? 'does not fit'}`, { field })
}
