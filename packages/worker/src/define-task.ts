import type { StandardSchemaV1 } from '@standard-schema/spec'
import { checkOutput } from '@taskfleet/core/internal'
import { declareTask as declareContract, type TaskContract, type TaskDeclaration } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { HandlerContext, TaskDefinition } from './handler.ts'
import { TaskFactory } from './task-factory.ts'

/** The handler's part of a task: how it runs, its retries and its limits. */
export type HandlerDefinition<Input extends StandardSchemaV1, Output> = Omit<
  TaskDefinition<Input, Output>,
  'name' | 'version' | 'input' | 'title' | 'labels' | 'run' | 'notify'
> & {
  run(context: HandlerContext<StandardSchemaV1.InferOutput<Input>>): Promise<Output> | Output
}

/** A contract to which a worker adds its handler. */
export interface DeclaredTask<Input extends StandardSchemaV1, Output extends StandardSchemaV1>
  extends TaskContract<Input, Output> {
  /** @throws {FleetError} `BAD_DEFINITION` */
  handle(
    definition: HandlerDefinition<Input, StandardSchemaV1.InferInput<Output>>,
  ): TaskFactory<Input, StandardSchemaV1.InferOutput<Output>>
}

/**
 * A task and its handler in one, or the handler of a task that is declared elsewhere.
 *
 * @example `export default defineTask(download, { retry: { maxAttempts: 8 }, async run({ input }) { … } })`
 * @throws {FleetError} `BAD_NAME`, `BAD_DEFINITION`
 */
export function defineTask<Schema extends StandardSchemaV1, Output>(
  definition: TaskDefinition<Schema, Output>,
): TaskFactory<Schema, Output>
export function defineTask<Input extends StandardSchemaV1, Output extends StandardSchemaV1>(
  contract: TaskContract<Input, Output>,
  handler: HandlerDefinition<Input, StandardSchemaV1.InferInput<Output>>,
): TaskFactory<Input, StandardSchemaV1.InferOutput<Output>>
export function defineTask(
  task: TaskDefinition<StandardSchemaV1, unknown> | TaskContract,
  handler?: HandlerDefinition<StandardSchemaV1, unknown>,
): TaskFactory {
  if (handler === undefined) return new TaskFactory(task as TaskDefinition<StandardSchemaV1, unknown>)
  const { name, version, input, output, title, labels } = task as TaskContract
  const run: typeof handler.run =
    output === undefined ? handler.run : async (context) => checkOutput(output, await handler.run(context))
  return new TaskFactory({ ...handler, run, name, version, input, ...given({ title, labels }) })
}

/** As `declareTask` of `@taskfleet/protocol`, with `handle` in place of `defineTask`. */
export function declareTask<
  Input extends StandardSchemaV1 = StandardSchemaV1<unknown>,
  Output extends StandardSchemaV1 = StandardSchemaV1<unknown>,
>(declaration: TaskDeclaration<Input, Output>): DeclaredTask<Input, Output> {
  const contract = declareContract(declaration)
  return { ...contract, handle: (definition) => defineTask(contract, definition) }
}
