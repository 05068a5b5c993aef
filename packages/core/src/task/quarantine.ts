import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { driver } from '../database/driver.ts'
import { problemOf, type SetAside } from '../documents/set-aside.ts'
import { type Doc, fits, misfits } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { asError } from '../thrown.ts'
import { quarantine } from './attempt-updates.ts'
import type { Dependants } from './dependants.ts'
import { guard } from './lifecycle.ts'
import type { RetentionPolicy } from './retention.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'

/** Ends malformed tasks, each by one guarded write, and records them. */
export class Quarantine {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #retention: RetentionPolicy
  readonly #dependants: Dependants
  readonly #setAside: SetAside
  readonly #log: Logger | undefined

  constructor(
    tasks: mongo.Collection<TaskDocument>,
    parts: { retention: RetentionPolicy; dependants: Dependants; setAside: SetAside; log?: Logger | undefined },
  ) {
    this.#tasks = tasks
    this.#retention = parts.retention
    this.#dependants = parts.dependants
    this.#setAside = parts.setAside
    this.#log = parts.log
  }

  /**
   * Reads the tasks again and ends those that are malformed. Never fails: a task that can't be written is logged and skipped.
   *
   * @param ids of any type, since an id itself may be malformed
   * @param because the server's error, for a well-formed task that can't be written
   * @returns how many were ended
   */
  async end(ids: readonly unknown[], because?: string): Promise<number> {
    if (ids.length === 0) return 0
    let count = 0
    try {
      const found = await this.#tasks.find({ _id: { $in: [...ids] } } as mongo.Filter<TaskDocument>).toArray()
      const ended = await Promise.all(found.map((task) => this.#endOne(task as unknown as Doc, because)))
      count = ended.filter((one) => one).length
    } catch (error) {
      this.#log?.warn({ err: asError(error) }, 'malformed tasks could not be ended')
    }
    if (count > 0) await this.#dependants.follow(ids.filter(isId))
    return count
  }

  /** Returns the well-formed tasks, and sets the others aside. */
  async onlyFit(tasks: readonly TaskDocument[]): Promise<TaskDocument[]> {
    await this.end(tasks.filter((task) => !isFit(task)).map(({ _id }) => _id))
    return tasks.filter(isFit)
  }

  /** Writes one task of many. Returns null if the server can't write this task, which is then set aside. */
  async whileWriting<T>(id: ObjectId, write: () => Promise<T>): Promise<T | null> {
    try {
      return await write()
    } catch (error) {
      if (!isAboutDocument(error)) throw error
      await this.end([id], `the server can't write it: ${asError(error).message}`)
      return null
    }
  }

  async #endOne(task: Doc, because: string | undefined): Promise<boolean> {
    const wrong = misfits(SHAPES.tasks, task)
    if (wrong.length === 0 && because === undefined) return false
    const problem = wrong.length > 0 ? problemOf(wrong) : because!
    const update = quarantine(await this.#retention.get(), problem)
    const { modifiedCount } = await this.#tasks
      .updateOne(asRead(task) as mongo.Filter<TaskDocument>, update)
      .catch((error: unknown) => {
        if (!(error instanceof driver.MongoServerError)) throw error
        this.#log?.warn({ err: asError(error) }, 'a malformed task could not be ended')
        return { modifiedCount: 0 }
      })
    const ended = modifiedCount === 1
    // A task that has already ended needs no record. A task without a valid status can't be ended by any verb.
    if (ended) this.#setAside.note('tasks', task, 'failed', problem)
    else if (wrong.some(({ field }) => field === 'status')) this.#setAside.note('tasks', task, 'skipped', problem)
    return ended
  }
}

/** Whether a task is well-formed. */
export const isFit = (task: TaskDocument): boolean => fits(SHAPES.tasks, task as unknown as Doc)
const isId = (value: unknown): value is ObjectId => value instanceof driver.ObjectId

/** The guard of a document that may lack a revision or a lease: its values as they were read are in the filter. */
function asRead(task: Doc): Record<string, unknown> {
  const { rev, updatedAt, lease } = task
  const leaseId = (lease as { id?: unknown } | null | undefined)?.id
  const same = (value: unknown): unknown => (value === undefined ? { $exists: false } : { $eq: value })
  const { status } = guard('quarantine', null)
  return {
    _id: { $eq: task._id },
    status,
    rev: same(rev),
    updatedAt: same(updatedAt),
    ...(typeof leaseId === 'string' ? { 'lease.id': leaseId } : {}),
  }
}

/** Whether the server rejected a write because of the document's content, so that a retry can't help. */
export function isAboutDocument(error: unknown): boolean {
  if (!(error instanceof driver.MongoServerError)) return false
  const { code } = error
  // Errors of expressions have their own codes, all of them above 16,000.
  return typeof code === 'number' && (ABOUT_VALUES.has(code) || code >= 16_000)
}

/** BadValue, TypeMismatch, Overflow, ConversionFailure, BSONObjectTooLarge and similar. */
const ABOUT_VALUES = new Set([2, 14, 15, 22, 241, 10_334])
