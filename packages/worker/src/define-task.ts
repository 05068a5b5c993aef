import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { TaskDefinition } from './handler.ts'
import { TaskFactory } from './task-factory.ts'

/** The short way to a `TaskFactory`. */
export function defineTask<Schema extends StandardSchemaV1, Output>(
  definition: TaskDefinition<Schema, Output>,
): TaskFactory<Schema, Output> {
  return new TaskFactory(definition)
}
