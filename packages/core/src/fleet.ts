import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Logger } from 'pino'
import { FleetDatabase } from './database/fleet-database.ts'
import { FleetError } from './errors.ts'
import type { EnqueueOptions } from './protocol.ts'
import { MongoTaskStore } from './task/mongo-task-store.ts'
import { parseNewTask } from './task/new-task.ts'
import type { TaskDocument } from './task/task-document.ts'
import type { TaskStore } from './task/task-store.ts'

/** What ties a task's name to the type of its input; every `TaskFactory` is one. */
export interface TaskType<Schema extends StandardSchemaV1 = StandardSchemaV1> {
  readonly name: string
  readonly version: number
  readonly input: Schema
  /** Defaults that the definition gives to every task of its kind. */
  readonly defaults?: Pick<EnqueueOptions, 'lazy' | 'maxAttempts'>
}

/** A producer: stores tasks without running any. */
export class Fleet {
  readonly database: FleetDatabase
  readonly store: TaskStore

  constructor(database: FleetDatabase) {
    this.database = database
    this.store = new MongoTaskStore(database.connection, database.clock)
  }

  /** @throws {FleetError} `NO_DATABASE`, `NEEDS_REPLICA_SET`, `NEEDS_MAJORITY`, `CLOCK_PROBE_FAILED`, `INDEX_CONFLICT` */
  static async connect(mongo: string, options: { name?: string; log?: Logger } = {}): Promise<Fleet> {
    const database = await FleetDatabase.connect({ uri: mongo, ...options })
    await database.ensureIndexes()
    return new Fleet(database)
  }

  /**
   * Stores a task. The input is checked here and once more by the worker that runs it.
   *
   * @throws {FleetError} `INPUT_INVALID` with the path, and what `parseNewTask` throws
   */
  async enqueue<Schema extends StandardSchemaV1>(
    type: TaskType<Schema>,
    input: StandardSchemaV1.InferInput<Schema>,
    options: EnqueueOptions = {},
  ): Promise<TaskDocument> {
    await checkInput(type.input, input)
    const task = parseNewTask({ ...type.defaults, ...options, name: type.name, version: type.version, input })
    const [stored] = await this.store.enqueue([task])
    return stored!
  }

  close(): Promise<void> {
    return this.database.close()
  }
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
