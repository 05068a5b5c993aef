import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Signature } from '../auth/signing.ts'
import { distinctValues } from '../database/distinct.ts'
import { driver } from '../database/driver.ts'
import { confirmed, isDuplicatesOnly, isOutage, writeErrorsOf } from '../database/unknown-outcome.ts'
import { asyncBatch } from './async-batch.ts'
import { isMet, known, predecessorsOf, refuseCycles, standpoints } from './dependencies.ts'
import { notFound, refuseCycle } from './dependency-edit.ts'
import { LargeBatches } from './large-batches.ts'
import { OPEN_STATUSES, WAITING_STATUSES } from './lifecycle.ts'
import type { NewTask } from './new-task.ts'
import { QueueDepth } from './queue-depth.ts'
import type { StoreParts } from './store-parts.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import * as updates from './task-updates.ts'

/** At most this many single requests share one write, and each waits at most `JOIN_MS` for others. */
const MOST_JOINED = 200
const JOIN_MS = 5

/** How often a request is tried again when its key was freed or taken at the same moment. */
const KEY_TRIES = 3

/** Stores new tasks. It enforces queue limits and keys, and stores tasks with predecessors as blocked. */
export class Enqueuing {
  readonly #parts: StoreParts
  readonly #tasks: StoreParts['tasks']
  readonly #depth: QueueDepth
  readonly #throttles: mongo.Collection<ThrottleDocument>
  readonly #join = asyncBatch((tasks: readonly NewTask[]) => this.#together(tasks), {
    waitMs: JOIN_MS,
    most: MOST_JOINED,
  })
  /** Lists that are too long for one transaction. */
  readonly batches: LargeBatches

  constructor(parts: StoreParts) {
    const { db, log, clock } = parts
    this.#parts = parts
    this.#tasks = parts.tasks
    this.#depth = new QueueDepth(db, { log })
    this.#throttles = db.collection('throttles')
    this.batches = new LargeBatches({
      db,
      admit: (tasks) => this.#depth.admit(tasks, {}, (asked) => this.#adding(asked)),
      enqueue: (tasks) => this.#enqueue(tasks),
      now: () => clock.now(),
      log,
    })
  }

  async enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    if (tasks.length === 0) return []
    // Errors within a transaction go to its owner, which may have to run the whole transaction again.
    if (session !== undefined) return this.#admitted(tasks, session)
    return confirmed(
      async () =>
        tasks.length === 1 && updates.isPlain(tasks[0]!) ? [await this.#joined(tasks[0]!)] : this.#admitted(tasks),
      tasks.map(({ _id }) => _id.toHexString()),
    )
  }

  async #joined(task: NewTask): Promise<TaskDocument> {
    const stored = await this.#join(task)
    if ('error' in stored) throw stored.error
    return stored.task
  }

  /** Stores tasks of separate requests together. An error of one doesn't affect the others. */
  async #together(tasks: readonly NewTask[]): Promise<Stored[]> {
    try {
      return (await this.#admitted(tasks)).map((task) => ({ task }))
    } catch (error) {
      if (tasks.length === 1 || isOutage(error)) throw error
      return Promise.all(
        tasks.map((task) =>
          this.#admitted([task]).then(
            ([task]) => ({ task: task! }),
            (error: unknown) => ({ error }),
          ),
        ),
      )
    }
  }

  async #admitted(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    if (tasks.some(({ key, throttleMs }) => key !== undefined && throttleMs === undefined)) {
      await this.#parts.requireUniqueKeys()
    }
    const stored = await this.#depth.admit(tasks, session ?? {}, (asked) => this.#adding(asked))
    // Other readers see the tasks only when the transaction has ended.
    session?.once('ended', stored)
    try {
      return await this.#enqueue(tasks, session)
    } finally {
      if (session === undefined) stored()
    }
  }

  async #enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    const admitted = await Promise.all(tasks.map((task) => this.#throttled(task)))
    const fresh = admitted.filter((one): one is NewTask => 'keyPolicy' in one)
    const stored = new Map((await this.#store(fresh, KEY_TRIES, session)).map((task, index) => [fresh[index]!, task]))
    return admitted.map((one) => ('keyPolicy' in one ? stored.get(one)! : one))
  }

  /** Returns the tasks that would add to the queue: those that aren't stored yet and whose key is free. */
  async #adding(tasks: readonly NewTask[]): Promise<NewTask[]> {
    const ids = tasks.map(({ _id }) => _id)
    const keyed = tasks.filter(({ key, throttleMs }) => key !== undefined && throttleMs === undefined)
    const [there, open, throttled] = await Promise.all([
      this.#tasks
        .find({ _id: { $in: ids } })
        .project<{ _id: ObjectId }>({ _id: 1 })
        .toArray(),
      keyed.length === 0
        ? []
        : this.#tasks
            .find(openUnderKeys(keyed))
            .project<Pick<TaskDocument, 'queue' | 'key'>>({ queue: 1, key: 1 })
            .toArray(),
      this.#throttles
        .find({ _id: { $in: tasks.map(throttleKey) }, until: { $gt: this.#parts.clock.now() } })
        .project<{ _id: string }>({ _id: 1 })
        .toArray(),
    ])
    const known = new Set(there.map(({ _id }) => String(_id)))
    const taken = new Set(open.map(keyInQueue))
    const waited = new Set(throttled.map(({ _id }) => _id))
    return tasks.filter((task) => {
      if (known.has(task._id.toHexString())) return false
      return task.throttleMs === undefined ? !taken.has(keyInQueue(task)) : !waited.has(throttleKey(task))
    })
  }

  async #store(tasks: readonly NewTask[], tries: number, session?: mongo.ClientSession): Promise<TaskDocument[]> {
    if (tasks.length === 0) return []
    if (tasks.every(updates.isPlain)) return this.#insert(tasks, session)
    const places = await this.#places(tasks)
    const signatures = this.#signatures(tasks)
    const operations = tasks.map((task, index) => ({
      updateOne: {
        filter: { _id: task._id, rev: { $exists: false } },
        update: updates.enqueue(task, places[index]!, signatures[index]),
        upsert: true,
      },
    }))
    const within = session === undefined ? {} : { session }
    const refused = await this.#tasks.bulkWrite(operations as never, { ordered: false, ...within }).then(
      () => [] as mongo.WriteError[],
      (error: unknown) => {
        if (isDuplicatesOnly(error)) return writeErrorsOf(error)
        throw error
      },
    )
    const stored = await this.#tasks.find({ _id: { $in: tasks.map((task) => task._id) } }, within).toArray()
    const byId = new Map(stored.map((task) => [task._id.toHexString(), task]))
    for (const moved of await this.#reconsidered(stored, session)) byId.set(moved._id.toHexString(), moved)
    const taken: number[] = []
    for (const { index } of refused) {
      const there = byId.get(tasks[index]!._id.toHexString())
      if (there === undefined) taken.push(index)
      else refuseUnlessSame(tasks[index]!, there)
    }
    const others = new Map<number, TaskDocument>()
    for (const index of taken) others.set(index, await this.#underKey(tasks[index]!, places[index]!, tries))
    return tasks.map((task, index) => others.get(index) ?? byId.get(task._id.toHexString())!)
  }

  #signatures(tasks: readonly NewTask[]): (Signature | undefined)[] {
    const documents = tasks.map((task) => ({ content: { ...task }, notBefore: notBefore(task) }))
    return this.#parts.signing.signAll('task', documents)
  }

  /** Stores plain tasks. For a task that is already stored, returns it as it is now. @throws {FleetError} `TASK_EXISTS` */
  async #insert(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    // What is due at once must be due for a worker whose claim comes right after this.
    const stored = this.#parts.clock.past()
    const signatures = this.#signatures(tasks)
    const documents = tasks.map((task, index) => updates.newDocument(task, stored, signatures[index]))
    const within = session === undefined ? {} : { session }
    const refused = await this.#tasks.insertMany(documents, { ordered: false, ...within }).then(
      () => [],
      (error: unknown) => {
        if (isDuplicatesOnly(error)) return writeErrorsOf(error)
        throw error
      },
    )
    if (refused.length === 0) return documents
    const repeated = refused.map(({ index }) => tasks[index]!)
    const there = await this.#tasks.find({ _id: { $in: repeated.map(({ _id }) => _id) } }, within).toArray()
    const byId = new Map(there.map((task) => [task._id.toHexString(), task]))
    for (const { index } of refused) {
      const before = byId.get(tasks[index]!._id.toHexString())
      // It existed a moment ago and has been removed since.
      if (before === undefined) return this.#insert(tasks, session)
      refuseUnlessSame(tasks[index]!, before)
      documents[index] = before
    }
    return documents
  }

  /**
   * Handles a request whose key is taken.
   * @throws {FleetError} `KEY_EXISTS`
   */
  async #underKey(task: NewTask, place: updates.Place, tries: number): Promise<TaskDocument> {
    const open = openUnderKeys([task])
    const replaces = task.keyPolicy === 'replace' || task.debounceMs !== undefined
    if (replaces) {
      // Beside the statuses of `open`, not in their place: they are the filter of the index of open keys.
      const waits = { $and: [{ status: { $in: [...WAITING_STATUSES] } }] }
      const waiting = { ...open, name: task.name, ...waits } as mongo.Filter<TaskDocument>
      const replaced = await this.#replace(waiting, task, place)
      if (replaced !== null) return replaced
    }
    const there = await this.#tasks.findOne(open)
    if (there !== null && task.keyPolicy === 'return') return there
    // The other task may have ended since, or it was claimed and released its key.
    if (there === null && tries > 1) return (await this.#store([task], tries - 1))[0]!
    throw new FleetError('KEY_EXISTS', `This queue already has an open task with the key '${task.key}'`, {
      field: 'key',
    })
  }

  /** If tasks are signed, the waiting task is read first, because the signature covers its id. */
  async #replace(
    waiting: mongo.Filter<TaskDocument>,
    task: NewTask,
    place: updates.Place,
  ): Promise<TaskDocument | null> {
    const { signing } = this.#parts
    if (!signing.signs) {
      return this.#tasks.findOneAndUpdate(waiting, updates.replace(task, place), { returnDocument: 'after' })
    }
    for (let tries = 0; tries < KEY_TRIES; tries += 1) {
      const before = await this.#tasks.findOne(waiting)
      if (before === null) return null
      const { version, input, deadline } = task
      const signature = signing.sign('task', { ...before, version, input, deadline }, notBefore(task))
      const replaced = await this.#tasks.findOneAndUpdate(
        { ...waiting, _id: before._id, rev: before.rev },
        updates.replace(task, place, signature),
        { returnDocument: 'after' },
      )
      if (replaced !== null) return replaced
    }
    return null
  }

  /** The task itself, or the task that already counts for its key in this throttle period. */
  async #throttled(task: NewTask): Promise<NewTask | TaskDocument> {
    if (task.throttleMs === undefined) return task
    const key = { _id: throttleKey(task) }
    // The document must exist first, so that requests at the same moment update it one after another.
    const none = { $setOnInsert: { until: new Date(0), task: task._id } }
    await this.#throttles.updateOne(key, none, { upsert: true }).catch((error: unknown) => {
      if ((error as { code?: number }).code !== 11_000) throw error
    })
    const now = await this.#throttles.findOneAndUpdate(key, updates.throttle(task._id, task.throttleMs), {
      returnDocument: 'after',
    })
    if (now === null || now.task.equals(task._id)) return task
    // The first request may have died before it stored its task. Then this task is stored under the first one's id.
    return (await this.#tasks.findOne({ _id: now.task })) ?? { ...task, _id: now.task }
  }

  async #places(tasks: readonly NewTask[]): Promise<updates.Place[]> {
    const fronts = new Map<string, Promise<Date>>()
    const front = (task: NewTask): Promise<Date> | undefined => {
      if (task.position !== 'front') return undefined
      const lane = `${task.queue}\n${task.priority}`
      const place = fronts.get(lane) ?? this.front(task)
      fronts.set(lane, place)
      return place
    }
    const waiting = await this.#waitingFor(tasks)
    return Promise.all(
      tasks.map(async (task) => ({
        front: await front(task),
        ...(waiting.get(task._id.toHexString()) ?? { blocked: false }),
        leadMs: task.deadline === undefined ? undefined : await this.#parts.durations.lead(task.name),
      })),
    )
  }

  /** The value of `order` just before the first waiting task of the same queue and priority. */
  async front({ queue, priority }: { queue: string; priority: number }): Promise<Date> {
    const [first] = await this.#tasks
      .find({ status: 'pending', queue, priority }, { projection: { order: 1 } })
      .sort({ order: 1 })
      .limit(1)
      .toArray()
    const now = this.#parts.clock.now().getTime()
    const before = first?.order instanceof Date ? first.order.getTime() : now
    return new Date(Math.min(now, before) - 1)
  }

  /**
   * Returns whether each task with predecessors starts blocked, and which of its predecessors have completed.
   * @throws {FleetError} `DEPENDENCY_CYCLE`; `NOT_FOUND` for a predecessor that is neither stored nor in `tasks`
   */
  async #waitingFor(tasks: readonly NewTask[]): Promise<Map<string, { blocked: boolean; completed: ObjectId[] }>> {
    const waiting = tasks.filter((task) => task.after !== undefined)
    if (waiting.length === 0) return new Map()
    const dependants = waiting.map((task) => ({ ...task, attempt: 0 }))
    const themselves = { _id: waiting[0]!._id, after: waiting.map(({ _id }) => _id), attempt: 0 }
    const found = await this.#parts.dependants.predecessors([...dependants, themselves])
    // A repeated request must not be rejected for changes since the first one.
    const fresh = waiting.filter(({ _id }) => !found.has(_id.toHexString()))
    refuseCycles(fresh)
    const together = new Set(tasks.map(({ _id }) => _id.toHexString()))
    refuseUnknown(fresh, (id) => found.has(id.toHexString()) || together.has(id.toHexString()))
    await this.#refuseClosing(fresh)
    return new Map(
      dependants.map((task) => {
        const now = standpoints(task, found)
        const { completed } = known(now)
        return [task._id.toHexString(), { blocked: !isMet(task, now), completed }]
      }),
    )
  }

  /** Other tasks may already wait for a removed id that is used again. @throws {FleetError} `DEPENDENCY_CYCLE` */
  async #refuseClosing(waiting: readonly NewTask[]): Promise<void> {
    if (waiting.length === 0) return
    const ids = waiting.map(({ _id }) => _id)
    const awaited = await distinctValues(this.#tasks, 'after', { after: { $in: ids } } as mongo.Filter<TaskDocument>)
    const closing = new Set(awaited.map(String))
    for (const task of waiting) {
      if (closing.has(String(task._id))) await refuseCycle(task._id, predecessorsOf(task), this.#tasks)
    }
  }

  /** Returns tasks that moved because a predecessor ended before they were stored. In a transaction, they move after its end. */
  async #reconsidered(stored: readonly TaskDocument[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    const blocked = stored.filter(({ status }) => status === 'blocked').map(({ _id }) => _id)
    if (blocked.length === 0) return []
    if (session !== undefined) {
      session.once('ended', () => {
        this.#parts.dependants
          .reconsider(blocked)
          .catch((error: unknown) =>
            this.#parts.log?.warn(
              { err: error },
              'new blocked tasks could not be checked; the next sweep does it within a minute',
            ),
          )
      })
      return []
    }
    if ((await this.#parts.dependants.reconsider(blocked)) === 0) return []
    return this.#tasks.find({ _id: { $in: blocked } }).toArray()
  }
}

/** The result for one of several tasks that are stored together. */
type Stored = { task: TaskDocument } | { error: unknown }

/** The requested start time. */
const notBefore = ({ runAt, debounceMs }: NewTask): Date | undefined => (debounceMs === undefined ? runAt : undefined)

interface ThrottleDocument {
  /** Made of the task's queue, name and key. */
  _id: string
  task: ObjectId
  until: Date
}

const throttleKey = ({ queue, name, key }: Pick<NewTask, 'queue' | 'name' | 'key'>): string =>
  `${queue}\n${name}\n${key}`

/** Keys are unique within a queue, so the queue is part of it. */
export const keyInQueue = ({ queue, key }: Pick<TaskDocument, 'queue' | 'key'>): string => `${queue}\n${key}`

/** The filter of the open tasks with the same keys as these. */
export function openUnderKeys(tasks: readonly Pick<NewTask, 'queue' | 'key'>[]): mongo.Filter<TaskDocument> {
  const either = [...byQueue(tasks)].map(([queue, keys]) => ({ queue, key: { $in: keys } }))
  return { $or: either, status: { $in: [...OPEN_STATUSES] } } as mongo.Filter<TaskDocument>
}

function byQueue(tasks: readonly Pick<NewTask, 'queue' | 'key'>[]): Map<string, unknown[]> {
  const keys = new Map<string, unknown[]>()
  for (const { queue, key } of tasks) keys.set(queue, [...(keys.get(queue) ?? []), key])
  return keys
}

/** @throws {FleetError} `NOT_FOUND` */
function refuseUnknown(waiting: readonly NewTask[], isKnown: (id: ObjectId) => boolean): void {
  const unknown = waiting.flatMap(predecessorsOf).find((id) => !isKnown(id))
  if (unknown !== undefined) throw notFound(unknown)
}

/** @throws {FleetError} `TASK_EXISTS` */
function refuseUnlessSame(asked: NewTask, there: TaskDocument): void {
  const same =
    there.name === asked.name &&
    there.version === asked.version &&
    there.queue === asked.queue &&
    there.basePriority === asked.priority &&
    (there.key === asked.key || asked.throttleMs !== undefined || asked.debounceMs !== undefined) &&
    sameBson(there.input, asked.input)
  if (!same) {
    throw new FleetError('TASK_EXISTS', `The task ${asked._id.toHexString()} already exists with different content`, {
      field: '_id',
    })
  }
}

const sameBson = (a: unknown, b: unknown): boolean =>
  Buffer.from(driver.BSON.serialize({ value: a })).equals(Buffer.from(driver.BSON.serialize({ value: b })))
