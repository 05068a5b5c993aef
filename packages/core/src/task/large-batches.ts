import { FleetError } from '@taskfleet/protocol'
import { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { confirmed } from '../database/unknown-outcome.ts'
import type { NewTask } from './new-task.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'

/** How many documents one transaction writes at most, so that it ends well before a connection's time is up. */
export const TRANSACTION_LIMIT = 500
/** A list that is not stored within this time has lost its process. */
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
  /** Lets a whole list in, or refuses it. Returns what is to be called when it is stored. */
  admit(tasks: readonly NewTask[]): Promise<() => void>
  /** Stores tasks that were let in; repeating it is harmless. */
  enqueue(tasks: readonly NewTask[]): Promise<TaskDocument[]>
  /** The server's time. */
  now(): Date
  log?: Logger | undefined
}

/**
 * Lists that are too long for one transaction, stored all or none. The whole list is written as one document: with that it is
 * decided. Then its tasks are stored in portions, by this process, or by the next sweep of any other if this one dies.
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
   * @returns the tasks as they are stored, in their order
   * @throws {FleetError} `NOT_FOUND`, `QUEUE_FULL`, `TOO_MANY_TASKS`, `UNKNOWN_OUTCOME`
   */
  async store(tasks: readonly NewTask[]): Promise<TaskDocument[]> {
    const batch = { _id: new mongo.ObjectId(), at: this.#deps.now(), tasks: [...tasks] }
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

  /** Stores what processes that died have left. @returns how many lists that were */
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

  /** @throws {FleetError} `TOO_MANY_TASKS` when the list fits in no document */
  async #decide(batch: BatchDocument): Promise<void> {
    try {
      await this.#batches.insertOne(batch, { ignoreUndefined: true })
    } catch (error) {
      const { code, name } = error as { code?: unknown; name?: string }
      if (code !== 10_334 && name !== 'BSONError' && name !== 'RangeError' && name !== 'MongoInvalidArgumentError')
        throw error
      throw new FleetError('TOO_MANY_TASKS', 'This list is too large to be stored as a whole: send it in parts', {
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

  /** One that can't be stored any more, such as under an id that was taken meanwhile, keeps no other from being stored. */
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

/** What keeps a task from being part of such a list: `field` says what of it. Undefined where nothing does. */
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
