import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { driver } from '../database/driver.ts'
import { confirmed } from '../database/unknown-outcome.ts'
import type { NewTask } from './new-task.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'

/** The most documents that one transaction writes, so that it ends well before the connection times out. */
export const TRANSACTION_LIMIT = 500
/** If a list is not stored within this time, its process is taken for dead. */
const ABANDONED_MS = 60_000
const SWEEP_PAGE = 10

interface BatchDocument {
  _id: ObjectId
  /** By the server's clock. */
  at: Date
  tasks: NewTask[]
}

export interface LargeBatchesDeps {
  db: mongo.Db
  /** Admits or rejects a whole list. Returns a function to call when the list is stored. */
  admit(tasks: readonly NewTask[]): Promise<() => void>
  /** Stores admitted tasks. Repeating it does no harm. */
  enqueue(tasks: readonly NewTask[]): Promise<TaskDocument[]>
  /** The server's time. */
  now(): Date
  log?: Logger | undefined
}

/**
 * Stores lists that are too long for one transaction, all or none. First the whole list is written as one document, which
 * commits it. Then its tasks are stored in portions. If this process dies, the next sweep of another one stores the rest.
 */
export class LargeBatches {
  readonly #batches: mongo.Collection<BatchDocument>
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #deps: LargeBatchesDeps

  constructor(deps: LargeBatchesDeps) {
    this.#deps = deps
    this.#batches = deps.db.collection('batches')
    this.#tasks = deps.db.collection('tasks')
  }

  /**
   * @returns the stored tasks, in the order of the list
   * @throws {FleetError} `NOT_FOUND`, `QUEUE_FULL`, `TOO_MANY_TASKS`, `UNKNOWN_OUTCOME`
   */
  async store(tasks: readonly NewTask[]): Promise<TaskDocument[]> {
    const batch = { _id: new driver.ObjectId(), at: this.#deps.now(), tasks: [...tasks] }
    const ids = tasks.map(({ _id }) => _id.toHexString())
    await this.#requirePredecessors(tasks)
    const stored = await this.#deps.admit(tasks)
    try {
      return await confirmed(async () => {
        await this.#decide(batch)
        return this.#carryOut(batch)
      }, ids)
    } finally {
      stored()
    }
  }

  /** Stores the lists that dead processes have left. @returns how many */
  async sweep(): Promise<number> {
    const before = new Date(this.#deps.now().getTime() - ABANDONED_MS)
    const left = await this.#batches
      .find({ at: { $lt: before } })
      .sort({ _id: 1 })
      .limit(SWEEP_PAGE)
      .toArray()
    for (const batch of left) await this.#carryOut(batch)
    return left.length
  }

  /** @throws {FleetError} `TOO_MANY_TASKS` when the list doesn't fit into one document */
  async #decide(batch: BatchDocument): Promise<void> {
    try {
      await this.#batches.insertOne(batch, { ignoreUndefined: true })
    } catch (error) {
      const { code, name } = error as { code?: unknown; name?: string }
      if (code !== 10_334 && name !== 'BSONError' && name !== 'RangeError' && name !== 'MongoInvalidArgumentError')
        throw error
      throw new FleetError('TOO_MANY_TASKS', 'This list is too large to be stored as one. Send it in parts', {
        cause: error,
      })
    }
  }

  async #carryOut({ _id, tasks }: BatchDocument): Promise<TaskDocument[]> {
    const stored: TaskDocument[] = []
    for (let at = 0; at < tasks.length; at += TRANSACTION_LIMIT) {
      stored.push(...(await this.#portion(tasks.slice(at, at + TRANSACTION_LIMIT))))
    }
    await this.#batches.deleteOne({ _id })
    return stored
  }

  /** A task that can't be stored, for example because its id has been used since, doesn't keep the others from being stored. */
  async #portion(tasks: readonly NewTask[]): Promise<TaskDocument[]> {
    try {
      return await this.#deps.enqueue(tasks)
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
    }
    const stored: TaskDocument[] = []
    for (const task of tasks) {
      try {
        stored.push(...(await this.#deps.enqueue([task])))
      } catch (error) {
        if (!(error instanceof FleetError)) throw error
        this.#deps.log?.error({ err: error, task: task._id.toHexString() }, 'a task of a list could not be stored')
      }
    }
    return stored
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async #requirePredecessors(tasks: readonly NewTask[]): Promise<void> {
    const together = new Set(tasks.map(({ _id }) => _id.toHexString()))
    const outside = tasks.flatMap(predecessorsOf).filter((id) => !together.has(id.toHexString()))
    if (outside.length === 0) return
    const found = await this.#tasks.find({ _id: { $in: outside } }, { projection: { _id: 1 } }).toArray()
    const known = new Set(found.map(({ _id }) => _id.toHexString()))
    const lost = outside.find((id) => !known.has(id.toHexString()))
    if (lost === undefined) return
    throw new FleetError('NOT_FOUND', `There is no task ${lost.toHexString()} to wait for`, { field: 'after' })
  }
}

/** The field that keeps a task out of such a list; undefined if there is none. */
export function unfitForLargeBatch(
  task: NewTask,
  earlier: ReadonlySet<string>,
  all: ReadonlySet<string>,
): string | undefined {
  if (task.key !== undefined) return 'key'
  const late = predecessorsOf(task).some((id) => all.has(id.toHexString()) && !earlier.has(id.toHexString()))
  return late ? 'after' : undefined
}

const predecessorsOf = ({ after }: NewTask): ObjectId[] => (after === undefined ? [] : [after].flat())
