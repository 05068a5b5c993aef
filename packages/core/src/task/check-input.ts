import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  type EnqueueOptions,
  FleetError,
  type LabelsOf,
  namingOf,
  type TaskNaming,
  type TitleOf,
} from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { withStandIns } from './secret-references.ts'

/** Connects a task's name to the type of its input. Every `TaskFactory` is one. */
export interface TaskType<Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly name: string
  readonly version: number
  readonly input: Schema
  readonly title?: TitleOf<StandardSchemaV1.InferInput<Schema>> | undefined
  readonly labels?: LabelsOf<StandardSchemaV1.InferInput<Schema>> | undefined
  /** The definition's defaults for all tasks of this name. */
  readonly defaults?: Pick<EnqueueOptions, 'lazy' | 'maxAttempts'>
}

/**
 * Checks an input against a schema and returns the schema's output.
 *
 * @throws {FleetError} `INPUT_INVALID`; `field` is the path of the first issue
 */
export const checkInput = <Schema extends StandardSchemaV1>(
  schema: Schema,
  input: unknown,
): Promise<StandardSchemaV1.InferOutput<Schema>> => checkValue(schema, input, 'input')

/**
 * Checks an input as far as a producer can: only a worker knows the values of the secrets that the input refers to.
 *
 * @throws {FleetError} `INPUT_INVALID`
 */
export async function checkRequest<Schema extends StandardSchemaV1>(schema: Schema, input: unknown): Promise<void> {
  try {
    await checkInput(schema, input)
  } catch (refused) {
    const { input: filled, at } = withStandIns(input)
    if (filled === input) throw refused
    await checkValue(schema, filled, 'input', at)
  }
}

/** The title and labels of a task that is enqueued. */
export const naming = ({ title, labels }: TaskType, input: unknown, asked: TaskNaming): TaskNaming =>
  namingOf(given({ title, labels }), input, given({ title: asked.title, labels: asked.labels }))

/** Checks what a handler returns. @throws {FleetError} `OUTPUT_INVALID` */
export const checkOutput = <Schema extends StandardSchemaV1>(
  schema: Schema,
  output: unknown,
): Promise<StandardSchemaV1.InferOutput<Schema>> => checkValue(schema, output, 'output')

async function checkValue<Schema extends StandardSchemaV1>(
  schema: Schema,
  value: unknown,
  what: 'input' | 'output',
  passes: (path: string) => boolean = () => false,
): Promise<StandardSchemaV1.InferOutput<Schema>> {
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  const faults = result.issues.map(({ message, path = [] }) => ({
    message,
    path: path.map((part) => String(typeof part === 'object' ? part.key : part)),
  }))
  const first = faults.find(({ path }) => !passes(path.join('/')))
  // All issues are about secrets. Only a worker can compute the schema's output.
  if (first === undefined && faults.length > 0) return value as StandardSchemaV1.InferOutput<Schema>
  const path = first?.path.join('.') ?? ''
  const field = path === '' ? what : `${what}.${path}`
  throw new FleetError(
    what === 'input' ? 'INPUT_INVALID' : 'OUTPUT_INVALID',
    `'${field}': ${first?.message ?? 'does not fit'}`,
    { field },
  )
}
