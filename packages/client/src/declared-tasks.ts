import type { StandardSchemaV1 } from '@standard-schema/spec'
import {
  type EnqueueOptions,
  FleetError,
  hasEnded,
  namingOf,
  type StoredTask,
  type TaskContract,
} from '@taskfleet/protocol'
import type { FleetClient } from './fleet-client.ts'

/** The calls for one declared task, typed by its input and output. */
export interface DeclaredTaskCalls<Input extends StandardSchemaV1, Output extends StandardSchemaV1> {
  /**
   * Checks the input and stores a task.
   *
   * @throws {FleetError} `INPUT_INVALID` with the path, and the gateway's errors
   */
  enqueue(input: StandardSchemaV1.InferInput<Input>, options?: EnqueueOptions & { _id?: string }): Promise<StoredTask>
  /**
   * Waits until a task has ended, and resolves with its output.
   *
   * @throws {FleetError} the code that the task failed with; `CANCELLED`, `NOT_FOUND`; the gateway's errors
   */
  result(id: string): Promise<StandardSchemaV1.InferOutput<Output>>
}

type CallsOf<Tasks> = {
  readonly [Name in keyof Tasks]: Tasks[Name] extends TaskContract<infer Input, infer Output>
    ? DeclaredTaskCalls<Input, Output>
    : never
}

/**
 * Typed calls for declared tasks.
 *
 * @param tasks contracts of `declareTask`, or a module that exports them
 * @example
 * const { download } = declaredTasks(client, { download: declareTask({ name: 'download', input, output }) })
 * const { _id } = await download.enqueue({ url })
 * const { bytes } = await download.result(_id)
 */
export function declaredTasks<Tasks extends Readonly<Record<string, TaskContract>>>(
  client: Pick<FleetClient, 'tasks' | 'subscribe'>,
  tasks: Tasks,
): CallsOf<Tasks> {
  return Object.fromEntries(
    Object.entries(tasks).map(([key, task]) => [
      key,
      {
        enqueue: async (input: unknown, options: EnqueueOptions & { _id?: string } = {}) => {
          await check(task, input)
          return client.tasks.enqueue({
            ...{ ...options, ...namingOf(task, input, options) },
            ...{ name: task.name, version: task.version, input },
          })
        },
        result: (id: string) => resultOf(client, id),
      },
    ]),
  ) as unknown as CallsOf<Tasks>
}

async function check({ input: schema }: TaskContract, input: unknown): Promise<void> {
  const { issues } = await schema['~standard'].validate(input)
  if (issues === undefined) return
  const [first] = issues
  const path = (first?.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part))
  const field = ['input', ...path].join('.')
  throw new FleetError('INPUT_INVALID', `'${field}': ${first?.message ?? 'does not fit'}`, { field })
}

function resultOf(client: Pick<FleetClient, 'subscribe'>, id: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const query = { filter: { _id: id }, limit: 1, fields: ['status', 'output', 'error'] }
    const following = client.subscribe(
      query,
      ([task]) => {
        if (task !== undefined && !hasEnded(task.status)) return
        following.then((live) => live.close()).catch(() => undefined)
        if (task === undefined) reject(new FleetError('NOT_FOUND', `There is no task ${id}`, { field: 'id' }))
        else if (task.status === 'completed') resolve(task.output)
        else reject(new FleetError(task.error?.code ?? 'CANCELLED', task.error?.message ?? 'The task was cancelled'))
      },
      reject,
    )
    following.catch(reject)
  })
}
