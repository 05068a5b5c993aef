import { randomUUID } from 'node:crypto'
import { type Connection, mongo } from 'mongoose'
import type { ServerClock } from '../database/server-clock.ts'
import { FleetError } from '../errors.ts'
import { type AsyncBatch, asyncBatch } from './async-batch.ts'
import { attemptGuard, ENDED_STATUSES, guard, TRANSITIONS } from './lifecycle.ts'
import type { NewTask } from './new-task.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import { taskModel } from './task-model.ts'
import type { Claim, Claimant, Control, Hint, Outcome, Report, Served, Settled, TaskStore } from './task-store.ts'
import * as updates from './task-updates.ts'

/** The reaper looks this far ahead, so that it wakes when a lease expires and not a period later. */
const REAP_AHEAD_MS = 4_000
const REAP_PAGE = 200
const HINT_FIELDS = { name: 1, version: 1, queue: 1, priority: 1, order: 1, runAt: 1, lazy: 1 } as const

type Tasks = mongo.Collection<TaskDocument>
type Settlement = { claim: Pick<Claim, 'task' | 'leaseId'>; outcome: Outcome }

/** `TaskStore` on MongoDB: each verb is a filter from the lifecycle table and a pipeline from `task-updates.ts`. */
export class MongoTaskStore implements TaskStore {
  readonly #tasks: Tasks
  readonly #clock: ServerClock
  readonly #settling: AsyncBatch<Settlement, Settled>
  readonly #unblocking: AsyncBatch<ObjectId, number>

  constructor(connection: Connection, clock: ServerClock) {
    this.#tasks = taskModel(connection).collection as unknown as Tasks
    this.#clock = clock
    this.#unblocking = asyncBatch((predecessors) => this.#unblockAfter(predecessors), { waitMs: 20, most: 500 })
    this.#settling = asyncBatch((settlements) => this.#settleAll(settlements), { waitMs: 1, most: 200 })
  }

  async enqueue(tasks: readonly NewTask[]): Promise<TaskDocument[]> {
    if (tasks.length === 0) return []
    const fronts = await this.#fronts(tasks)
    const blocked = await this.#blocked(tasks)
    const operations = tasks.map((task) => ({
      updateOne: {
        filter: { _id: task._id, rev: { $exists: false } },
        update: updates.enqueue(task, {
          front: fronts.get(frontKey(task)),
          blocked: blocked.has(task._id.toHexString()),
        }),
        upsert: true,
      },
    }))
    const refused = await this.#tasks.bulkWrite(operations as never, { ordered: false }).then(
      () => [] as mongo.WriteError[],
      (error: unknown) => {
        if (error instanceof mongo.MongoBulkWriteError && duplicatesOnly(error)) return [error.writeErrors].flat()
        throw error
      },
    )
    const stored = await this.#tasks.find({ _id: { $in: tasks.map((task) => task._id) } }).toArray()
    const byId = new Map(stored.map((task) => [task._id.toHexString(), task]))
    for (const { index } of refused) this.#refuseUnlessSame(tasks[index]!, byId.get(tasks[index]!._id.toHexString()))
    return tasks.map((task) => byId.get(task._id.toHexString())!)
  }

  #refuseUnlessSame(asked: NewTask, there: TaskDocument | undefined): void {
    if (there === undefined) {
      throw new FleetError('KEY_EXISTS', `A task with the key '${asked.key}' has not ended yet`, { field: 'key' })
    }
    const same =
      there.name === asked.name &&
      there.version === asked.version &&
      there.queue === asked.queue &&
      there.basePriority === asked.priority &&
      there.key === asked.key &&
      sameBson(there.input, asked.input)
    if (!same) {
      throw new FleetError('TASK_EXISTS', `The task ${asked._id.toHexString()} exists with other content`, {
        field: '_id',
      })
    }
  }

  /** For each queue and priority that somebody wants to be first in: the place before its first waiting task. */
  async #fronts(tasks: readonly NewTask[]): Promise<Map<string, Date>> {
    const places = new Map<string, Date>()
    for (const task of tasks) {
      if (task.position !== 'front' || places.has(frontKey(task))) continue
      const [first] = await this.#tasks
        .find({ status: 'pending', queue: task.queue, priority: task.priority }, { projection: { order: 1 } })
        .sort({ order: 1 })
        .limit(1)
        .toArray()
      const now = this.#clock.now().getTime()
      places.set(frontKey(task), new Date(Math.min(now, first?.order.getTime() ?? now) - 1))
    }
    return places
  }

  /** Those whose predecessor is still to complete. */
  async #blocked(tasks: readonly NewTask[]): Promise<Set<string>> {
    const waiting = tasks.filter((task) => task.after !== undefined)
    if (waiting.length === 0) return new Set()
    const completed = await this.#tasks
      .find({ _id: { $in: waiting.map((task) => task.after!) }, status: 'completed' }, { projection: { _id: 1 } })
      .toArray()
    const done = new Set(completed.map(({ _id }) => _id.toHexString()))
    return new Set(waiting.filter((task) => !done.has(task.after!.toHexString())).map((task) => task._id.toHexString()))
  }

  async claim(ids: readonly ObjectId[], claimant: Claimant): Promise<Claim[]> {
    if (ids.length === 0) return []
    const leaseId = randomUUID()
    const update = updates.claim(leaseId, claimant)
    const sentAt = performance.now()
    const asClaim = (task: TaskDocument): Claim => ({ task, leaseId, sentAt })
    try {
      if (ids.length === 1) {
        const task = await this.#tasks.findOneAndUpdate(guard('claim', ids[0]), update, { returnDocument: 'after' })
        return task?.lease?.id === leaseId ? [asClaim(task)] : []
      }
      const { status } = guard('claim', null)
      const { modifiedCount } = await this.#tasks.updateMany(
        { _id: { $in: [...ids] }, status: status as 'pending' },
        update,
      )
      if (modifiedCount === 0) return []
    } catch (error) {
      // The server may have claimed before the connection broke: those are ours as long as the lease is trusted.
      const adopted = await this.#heldBy(leaseId).catch(() => null)
      if (adopted === null) throw error
      return adopted.map(asClaim)
    }
    return (await this.#heldBy(leaseId)).map(asClaim)
  }

  #heldBy(leaseId: string): Promise<TaskDocument[]> {
    return this.#tasks.find({ 'lease.id': leaseId, status: 'running' }).toArray()
  }

  async renew(leaseIds: readonly string[], leaseMs: number): Promise<string[]> {
    if (leaseIds.length === 0) return []
    const mine = { 'lease.id': { $in: [...leaseIds] }, status: 'running' } as const
    await this.#tasks.updateMany(mine, updates.renewalUpdate(leaseMs))
    const held = new Set(await this.#tasks.distinct('lease.id', mine))
    return leaseIds.filter((leaseId) => !held.has(leaseId))
  }

  async report(reports: readonly Report[]): Promise<void> {
    if (reports.length === 0) return
    const operations = reports.map(({ id, leaseId, progress }) => ({
      updateOne: { filter: attemptGuard(id, leaseId), update: updates.report(progress) },
    }))
    await this.#tasks.bulkWrite(operations as never, { ordered: false })
  }

  async saveCheckpoint(id: ObjectId, leaseId: string, state: unknown): Promise<boolean> {
    const { matchedCount } = await this.#tasks.updateOne(attemptGuard(id, leaseId), updates.checkpoint(state))
    return matchedCount === 1
  }

  settle(claim: Pick<Claim, 'task' | 'leaseId'>, outcome: Outcome): Promise<Settled> {
    return this.#settling({ claim, outcome })
  }

  /** Attempts that end within the same millisecond or two share one round trip; each write stays guarded by itself. */
  async #settleAll(settlements: readonly Settlement[]): Promise<Settled[]> {
    const writes = settlements.map(({ claim, outcome }) => ({
      filter: guard(outcome.verb, claim.task._id, claim.leaseId),
      update: updates.settle(outcome),
    }))
    const only = writes.length === 1 ? writes[0] : undefined
    if (only !== undefined) {
      const task = await this.#tasks.findOneAndUpdate(only.filter, only.update, {
        returnDocument: 'after',
        projection: { status: 1 },
      })
      return task === null ? this.#readBack(settlements) : [{ owned: true, status: task.status }]
    }
    const { matchedCount } = await this.#tasks.bulkWrite(writes.map((write) => ({ updateOne: write })) as never, {
      ordered: false,
    })
    const allCompleted = settlements.every(({ outcome }) => outcome.verb === 'complete')
    if (matchedCount === writes.length && allCompleted) {
      return settlements.map(() => ({ owned: true, status: TRANSITIONS.complete.to }))
    }
    return this.#readBack(settlements)
  }

  /** What became of attempts: closed under its own lease means that the write was applied, whoever heard of it. */
  async #readBack(settlements: readonly Settlement[]): Promise<Settled[]> {
    const ids = settlements.map(({ claim }) => claim.task._id)
    const found = await this.#tasks.find({ _id: { $in: ids } }, { projection: { status: 1, attempts: 1 } }).toArray()
    const byId = new Map(found.map((task) => [task._id.toHexString(), task]))
    return settlements.map(({ claim }) => {
      const now = byId.get(claim.task._id.toHexString())
      const attempt = now?.attempts.find(({ lease }) => lease === claim.leaseId)
      const closedByMe = attempt?.endedAt !== undefined && attempt.outcome !== 'lost'
      return now !== undefined && closedByMe ? { owned: true, status: now.status } : { owned: false }
    })
  }

  async reap(): Promise<{ reaped: TaskDocument[]; nextExpiry: Date | null }> {
    const reaped: TaskDocument[] = []
    for (;;) {
      const now = this.#clock.now()
      const seen = await this.#tasks
        .find({ 'lease.expiresAt': { $lte: new Date(now.getTime() + REAP_AHEAD_MS) } }, { projection: { lease: 1 } })
        .sort({ 'lease.expiresAt': 1 })
        .limit(REAP_PAGE)
        .toArray()
      const expired = seen.filter(({ lease }) => lease !== undefined && lease.expiresAt <= now)
      const taken = await Promise.all(expired.map(({ _id, lease }) => this.#reapOne(_id, lease!.id)))
      reaped.push(...taken.filter((task) => task !== null))
      // A full page may hide more; stop when a page brings nothing, so that what can't be reaped isn't tried for ever.
      if (seen.length < REAP_PAGE || !taken.some((task) => task !== null)) {
        return {
          reaped,
          nextExpiry: seen.find(({ lease }) => lease !== undefined && lease.expiresAt > now)?.lease?.expiresAt ?? null,
        }
      }
    }
  }

  async #reapOne(id: ObjectId, leaseId: string): Promise<TaskDocument | null> {
    const task = await this.#tasks.findOneAndUpdate(guard('reclaim', id, leaseId), updates.reap(), {
      returnDocument: 'after',
    })
    return task !== null && task.lease === undefined ? task : null
  }

  async cancel(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null> {
    const update = updates.asked({ action: 'cancel', by, ...(reason === undefined ? {} : { reason }) })
    return this.#openUpdate(id, [...TRANSITIONS.cancel.from, 'running'], update)
  }

  async pause(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null> {
    const update = updates.asked({ action: 'pause', by, ...(reason === undefined ? {} : { reason }) })
    return this.#openUpdate(id, [...TRANSITIONS.pause.from, 'running'], update)
  }

  async resume(id: ObjectId): Promise<TaskDocument | null> {
    return this.#tasks.findOneAndUpdate(guard('resume', id), updates.resume(), { returnDocument: 'after' })
  }

  async rerun(id: ObjectId): Promise<TaskDocument | null> {
    return this.#tasks.findOneAndUpdate(guard('rerun', id), updates.rerun(), { returnDocument: 'after' })
  }

  #openUpdate(id: ObjectId, from: readonly string[], update: mongo.Document[]): Promise<TaskDocument | null> {
    const filter = { _id: id, status: { $in: [...from] } } as mongo.Filter<TaskDocument>
    return this.#tasks.findOneAndUpdate(filter, update, { returnDocument: 'after' })
  }

  unblock(after: ObjectId): Promise<number> {
    return this.#unblocking(after)
  }

  /** Most tasks have no successor: completions that come close together share the one write that looks for some. */
  async #unblockAfter(predecessors: readonly ObjectId[]): Promise<number[]> {
    const { status } = guard('unblock', null)
    const waiting = { after: { $in: [...predecessors] }, status: status as 'blocked' }
    const { modifiedCount } = await this.#tasks.updateMany(waiting, updates.unblock())
    return predecessors.map((_, index) => (index === 0 ? modifiedCount : 0))
  }

  async unblockAll(): Promise<number> {
    const predecessors = await this.#tasks.distinct('after', { status: 'blocked' })
    if (predecessors.length === 0) return 0
    const completed = await this.#tasks
      .find({ _id: { $in: predecessors as ObjectId[] }, status: 'completed' }, { projection: { _id: 1 } })
      .toArray()
    const counts = await Promise.all(completed.map(({ _id }) => this.unblock(_id)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async waiting(served: Served, limit: number): Promise<{ due: Hint[]; next: Hint[] }> {
    const now = this.#clock.now()
    const mine = {
      status: 'pending',
      queue: { $in: [...served.queues] },
      name: { $in: [...served.tasks.keys()] },
    } as const
    const priorities = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    const [due, next] = await Promise.all([
      // `order` is bounded too, so that the walk along the index never visits what is far from due.
      this.#tasks
        .find(
          { ...mine, priority: { $in: priorities }, order: { $lte: now }, runAt: { $lte: now } },
          { projection: HINT_FIELDS },
        )
        .sort({ priority: -1, order: 1, _id: 1 })
        .limit(limit)
        .toArray(),
      this.#tasks
        .find({ ...mine, runAt: { $gt: now } }, { projection: HINT_FIELDS })
        .sort({ runAt: 1 })
        .limit(limit)
        .toArray(),
    ])
    return { due: due as Hint[], next: next as Hint[] }
  }

  async controls(worker: string): Promise<{ _id: ObjectId; control: Control }[]> {
    const asked = await this.#tasks
      .find({ status: 'running', 'lease.worker': worker, control: { $exists: true } }, { projection: { control: 1 } })
      .toArray()
    return asked.map(({ _id, control }) => ({ _id, control: control! }))
  }

  find(id: ObjectId): Promise<TaskDocument | null> {
    return this.#tasks.findOne({ _id: id })
  }

  async remove(id: ObjectId): Promise<boolean> {
    const { deletedCount } = await this.#tasks.deleteOne({ _id: id, status: { $in: [...ENDED_STATUSES] } })
    return deletedCount === 1
  }
}

const frontKey = (task: NewTask): string => `${task.queue}\n${task.priority}`

const sameBson = (a: unknown, b: unknown): boolean =>
  Buffer.from(mongo.BSON.serialize({ value: a })).equals(Buffer.from(mongo.BSON.serialize({ value: b })))

const duplicatesOnly = (error: mongo.MongoBulkWriteError): boolean =>
  [error.writeErrors].flat().every(({ code }) => code === 11_000)
