import { randomUUID } from 'node:crypto'
import { type Connection, mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { ServerClock } from '../database/server-clock.ts'
import { SetAside } from '../documents/set-aside.ts'
import { type Doc, fits } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { asError, FleetError } from '../errors.ts'
import { type AsyncBatch, asyncBatch } from './async-batch.ts'
import { Durations } from './durations.ts'
import { attemptGuard, ENDED_STATUSES, guard, OPEN_STATUSES, TRANSITIONS, WAITING_STATUSES } from './lifecycle.ts'
import type { Changes, NewTask } from './new-task.ts'
import { isAboutDocument, Quarantine } from './quarantine.ts'
import { QueueDepth } from './queue-depth.ts'
import { RetentionPolicy } from './retention.ts'
import { Settling } from './settling.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import { taskModel } from './task-model.ts'
import type { Claim, Claimant, Control, Hint, Outcome, Report, Served, Settled, TaskStore } from './task-store.ts'
import * as updates from './task-updates.ts'
import { waitingTasks } from './waiting-tasks.ts'

/** The reaper looks this far ahead, so that it wakes when a lease expires and not a period later. */
const REAP_AHEAD_MS = 4_000
const REAP_PAGE = 200
/** How many tasks that could not be written are passed over in one look. */
const MOST_LEFT = 2_000
const RAISE_AHEAD_MS = 10_000
const HORIZON_MS = 120_000
/** How often a request whose key was just freed or taken is tried again. */
const KEY_TRIES = 3

type Tasks = mongo.Collection<TaskDocument>

/** `TaskStore` on MongoDB: each verb is a filter from the lifecycle table and a pipeline from `task-updates.ts`. */
export class MongoTaskStore implements TaskStore {
  readonly #tasks: Tasks
  readonly #clock: ServerClock
  readonly #settling: Settling
  readonly #unblocking: AsyncBatch<ObjectId, number>
  readonly #retention: RetentionPolicy
  readonly #durations: Durations
  readonly #depth: QueueDepth
  readonly #throttles: mongo.Collection<ThrottleDocument>
  readonly #quarantine: Quarantine
  readonly #requireUniqueKeys: () => Promise<void>
  readonly #onEventTask: (event: ObjectId) => void

  constructor(
    connection: Connection,
    clock: ServerClock,
    parts: {
      retention?: RetentionPolicy
      durations?: Durations
      log?: Logger | undefined
      /** Where tasks that don't fit are noted. */
      setAside?: SetAside
      /** Called before something is stored under a key; throws where keys can't be kept unique. */
      requireUniqueKeys?: () => Promise<void>
      /** Told when a task of an event has changed its status by this store. */
      onEventTask?: (event: ObjectId) => void
    } = {},
  ) {
    this.#tasks = taskModel(connection).collection as unknown as Tasks
    this.#clock = clock
    const db = connection.getClient().db(connection.name)
    this.#retention = parts.retention ?? new RetentionPolicy(db)
    this.#durations = parts.durations ?? new Durations(db)
    this.#depth = new QueueDepth(db, { log: parts.log })
    this.#throttles = db.collection('throttles')
    const setAside = parts.setAside ?? new SetAside(db, { log: parts.log })
    this.#quarantine = new Quarantine(this.#tasks, { retention: this.#retention, setAside, log: parts.log })
    this.#requireUniqueKeys = parts.requireUniqueKeys ?? (async () => undefined)
    this.#onEventTask = parts.onEventTask ?? (() => undefined)
    this.#unblocking = asyncBatch((predecessors) => this.#unblockAfter(predecessors), {
      waitMs: 10,
      most: 500,
      patient: true,
    })
    this.#settling = new Settling(this.#tasks, this.#retention)
  }

  async enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    if (tasks.length === 0) return []
    if (tasks.some(({ key, throttleMs }) => key !== undefined && throttleMs === undefined)) {
      await this.#requireUniqueKeys()
    }
    const stored = await this.#depth.admit(tasks, session ?? {}, (asked) => this.#adding(asked))
    // What a transaction stores is there when it ends.
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

  /** Those that would come on top of what is there: no repetition, and none that finds its key taken. */
  async #adding(tasks: readonly NewTask[]): Promise<NewTask[]> {
    const ids = tasks.map(({ _id }) => _id)
    const keys = tasks.flatMap(({ key, throttleMs }) => (key === undefined || throttleMs !== undefined ? [] : [key]))
    const [there, open, throttled] = await Promise.all([
      this.#tasks.distinct('_id', { _id: { $in: ids } }),
      keys.length === 0
        ? []
        : this.#tasks.distinct('key', { key: { $in: keys }, status: { $in: [...OPEN_STATUSES] } } as never),
      this.#throttles
        .find({ _id: { $in: tasks.map(throttleKey) }, until: { $gt: this.#clock.now() } })
        .project<{ _id: string }>({ _id: 1 })
        .toArray(),
    ])
    const known = new Set(there.map(String))
    const taken = new Set<unknown>(open)
    const waited = new Set(throttled.map(({ _id }) => _id))
    return tasks.filter((task) => {
      if (known.has(task._id.toHexString())) return false
      return task.throttleMs === undefined ? !taken.has(task.key ?? null) : !waited.has(throttleKey(task))
    })
  }

  async #store(tasks: readonly NewTask[], tries: number, session?: mongo.ClientSession): Promise<TaskDocument[]> {
    if (tasks.length === 0) return []
    const places = await this.#places(tasks)
    const operations = tasks.map((task, index) => ({
      updateOne: {
        filter: { _id: task._id, rev: { $exists: false } },
        update: updates.enqueue(task, places[index]!),
        upsert: true,
      },
    }))
    const within = session === undefined ? {} : { session }
    const refused = await this.#tasks.bulkWrite(operations as never, { ordered: false, ...within }).then(
      () => [] as mongo.WriteError[],
      (error: unknown) => {
        if (error instanceof mongo.MongoBulkWriteError && duplicatesOnly(error)) return [error.writeErrors].flat()
        throw error
      },
    )
    const stored = await this.#tasks.find({ _id: { $in: tasks.map((task) => task._id) } }, within).toArray()
    const byId = new Map(stored.map((task) => [task._id.toHexString(), task]))
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

  /**
   * What becomes of a request whose key is taken.
   * @throws {FleetError} `KEY_EXISTS`
   */
  async #underKey(task: NewTask, place: updates.Place, tries: number): Promise<TaskDocument> {
    const open = { key: task.key, status: { $in: [...OPEN_STATUSES] } } as mongo.Filter<TaskDocument>
    const replaces = task.keyPolicy === 'replace' || task.debounceMs !== undefined
    if (replaces) {
      const waiting = { ...open, name: task.name, status: { $in: [...WAITING_STATUSES] } } as mongo.Filter<TaskDocument>
      const replaced = await this.#tasks.findOneAndUpdate(waiting, updates.replace(task, place), {
        returnDocument: 'after',
      })
      if (replaced !== null) return replaced
    }
    const there = await this.#tasks.findOne(open)
    if (there !== null && task.keyPolicy === 'return') return there
    // It may have ended, or begun and given its key up, since the key was found taken.
    if (there === null && tries > 1) return (await this.#store([task], tries - 1))[0]!
    throw new FleetError('KEY_EXISTS', `A task with the key '${task.key}' has not ended yet`, { field: 'key' })
  }

  /** The task itself, or the one that its key's time already has. */
  async #throttled(task: NewTask): Promise<NewTask | TaskDocument> {
    if (task.throttleMs === undefined) return task
    const key = { _id: throttleKey(task) }
    // First there is one, then those who come at the same moment take turns.
    const none = { $setOnInsert: { until: new Date(0), task: task._id } }
    await this.#throttles.updateOne(key, none, { upsert: true }).catch((error: unknown) => {
      if ((error as { code?: number }).code !== 11_000) throw error
    })
    const now = await this.#throttles.findOneAndUpdate(key, updates.throttle(task._id, task.throttleMs), {
      returnDocument: 'after',
    })
    if (now === null || now.task.equals(task._id)) return task
    // Whoever was first may have died before it stored its task: then this is the one.
    return (await this.find(now.task)) ?? { ...task, _id: now.task }
  }

  async #places(tasks: readonly NewTask[]): Promise<updates.Place[]> {
    const fronts = new Map<string, Promise<Date>>()
    const front = (task: NewTask): Promise<Date> | undefined => {
      if (task.position !== 'front') return undefined
      const lane = `${task.queue}\n${task.priority}`
      const place = fronts.get(lane) ?? this.#front(task)
      fronts.set(lane, place)
      return place
    }
    const blocked = await this.#blocked(tasks)
    return Promise.all(
      tasks.map(async (task) => ({
        front: await front(task),
        blocked: blocked.has(task._id.toHexString()),
        leadMs: task.deadline === undefined ? undefined : await this.#durations.lead(task.name),
      })),
    )
  }

  /** The place before the first waiting task of the same queue and priority. */
  async #front({ queue, priority }: { queue: string; priority: number }): Promise<Date> {
    const [first] = await this.#tasks
      .find({ status: 'pending', queue, priority }, { projection: { order: 1 } })
      .sort({ order: 1 })
      .limit(1)
      .toArray()
    const now = this.#clock.now().getTime()
    const before = first?.order instanceof Date ? first.order.getTime() : now
    return new Date(Math.min(now, before) - 1)
  }

  /**
   * Those whose predecessor is still to complete.
   * @throws {FleetError} `NOT_FOUND` for a predecessor that is neither stored nor among them: it would never complete
   */
  async #blocked(tasks: readonly NewTask[]): Promise<Set<string>> {
    const waiting = tasks.filter((task) => task.after !== undefined)
    if (waiting.length === 0) return new Set()
    const found = await this.#tasks
      .find({ _id: { $in: waiting.map((task) => task.after!) } }, { projection: { status: 1 } })
      .toArray()
    const known = new Map(found.map(({ _id, status }) => [_id.toHexString(), status]))
    const together = new Set(tasks.map(({ _id }) => _id.toHexString()))
    const lost = waiting.filter(({ after }) => !known.has(after!.toHexString()) && !together.has(after!.toHexString()))
    if (lost.length > 0) await this.#refuseNew(lost)
    const blocked = waiting.filter((task) => known.get(task.after!.toHexString()) !== 'completed')
    return new Set(blocked.map((task) => task._id.toHexString()))
  }

  /** A request that is repeated is not refused for what has been removed since. @throws {FleetError} `NOT_FOUND` */
  async #refuseNew(waiting: readonly NewTask[]): Promise<void> {
    const stored = await this.#tasks.distinct('_id', { _id: { $in: waiting.map(({ _id }) => _id) } })
    const known = new Set(stored.map(String))
    const refused = waiting.find(({ _id }) => !known.has(String(_id)))
    if (refused === undefined) return
    throw new FleetError('NOT_FOUND', `There is no task ${refused.after?.toHexString()} to wait for`, {
      field: 'after',
    })
  }

  async claim(ids: readonly ObjectId[], claimant: Claimant, onEarly?: (id: ObjectId) => void): Promise<Claim[]> {
    const claims = await this.#claimEach(ids, claimant, onEarly ?? (() => undefined))
    const good = claims.filter(({ task }) => isFit(task))
    for (const { task } of good) this.#tell(task)
    if (good.length < claims.length) {
      await this.#quarantine.end(claims.filter(({ task }) => !isFit(task)).map(({ task }) => task._id))
    }
    return good
  }

  /** Where the server can't write one of them it is found, so that it doesn't keep the others from being claimed. */
  async #claimEach(ids: readonly ObjectId[], claimant: Claimant, onEarly: (id: ObjectId) => void): Promise<Claim[]> {
    try {
      return await this.#claim(ids, claimant, onEarly)
    } catch (error) {
      if (!isAboutDocument(error)) throw error
      const [only] = ids
      if (ids.length === 1) {
        await this.#quarantine.end([only], `the server can't write it: ${asError(error).message}`)
        return []
      }
      const claims: Claim[] = []
      for (const id of ids) claims.push(...(await this.#claimEach([id], claimant, onEarly)))
      return claims
    }
  }

  /** An event follows its tasks. */
  #tell(task: Pick<TaskDocument, 'event'> | null): void {
    if (task?.event !== undefined) this.#onEventTask(task.event)
  }

  async #claim(ids: readonly ObjectId[], claimant: Claimant, onEarly: (id: ObjectId) => void): Promise<Claim[]> {
    if (ids.length === 0) return []
    const leaseId = randomUUID()
    const update = updates.claim(leaseId, claimant)
    const sentAt = performance.now()
    const asClaim = (task: TaskDocument): Claim => ({ task, leaseId, sentAt })
    try {
      const served = claimant.queues === undefined ? {} : { queue: { $in: [...claimant.queues] } }
      if (ids.length === 1) {
        const task = await this.#tasks.findOneAndUpdate({ ...guard('claim', ids[0]), ...served }, update, {
          returnDocument: 'after',
        })
        if (task?.lease?.id === leaseId) return [asClaim(task)]
        if (task !== null) await this.#leftWaiting([task], onEarly)
        return []
      }
      const { status } = guard('claim', null)
      const { matchedCount, modifiedCount } = await this.#tasks.updateMany(
        { _id: { $in: [...ids] }, status: status as 'pending', ...served },
        update,
      )
      if (matchedCount > modifiedCount)
        await this.#leftWaiting(await this.#tasks.find({ _id: { $in: [...ids] } }).toArray(), onEarly)
      if (modifiedCount === 0) return []
    } catch (error) {
      if ((error as { code?: number }).code === 11_000) {
        throw new FleetError('SLOT_TAKEN', 'Another task has this place in its queue')
      }
      // The server may have claimed before the connection broke: those are ours as long as the lease is trusted.
      const adopted = await this.#heldBy(leaseId).catch(() => null)
      if (adopted === null || adopted.length === 0) throw error
      return adopted.map((task) => ({ ...asClaim(task), adopted: true }))
    }
    const claimed = attemptGuard({ $in: [...ids] }, leaseId) as mongo.Filter<TaskDocument>
    const byId = new Map((await this.#tasks.find(claimed).toArray()).map((task) => [task._id.toHexString(), task]))
    // In the order in which they were wanted.
    return ids.flatMap((id) => byId.get(id.toHexString()) ?? []).map(asClaim)
  }

  /** What a claim has matched and left as it was: it is not due yet, or nobody can run it, whoever wrote it. */
  async #leftWaiting(tasks: readonly TaskDocument[], onEarly: (id: ObjectId) => void): Promise<void> {
    const waiting = tasks.filter(({ status }) => status === 'pending')
    for (const task of waiting) if (isFit(task)) onEarly(task._id)
    await this.#quarantine.end(waiting.filter((task) => !isFit(task)).map(({ _id }) => _id))
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

  async settle(claim: Pick<Claim, 'task' | 'leaseId'>, outcome: Outcome): Promise<Settled> {
    const settled = await this.#settling.settle(claim, outcome)
    if (settled.owned) this.#tell(claim.task)
    return settled
  }

  async reap(): Promise<{ reaped: TaskDocument[]; nextExpiry: Date | null }> {
    const reaped: TaskDocument[] = []
    // What could not be reaped isn't tried again in this look, and must not hide the others.
    const left: ObjectId[] = []
    for (;;) {
      const now = this.#clock.now()
      const seen = await this.#tasks
        .find(
          {
            'lease.expiresAt': { $lte: new Date(now.getTime() + REAP_AHEAD_MS) },
            status: 'running',
            ...(left.length === 0 ? {} : { _id: { $nin: left } }),
          },
          { projection: HEAVY_FIELDS },
        )
        .sort({ 'lease.expiresAt': 1 })
        .limit(REAP_PAGE)
        .toArray()
      const good = await this.#onlyFit(seen)
      const expired = good.filter(({ lease }) => lease!.expiresAt <= now)
      const taken = await Promise.all(expired.map((task) => this.#reapOne(task)))
      for (const task of taken) this.#tell(task)
      reaped.push(...taken.filter((task) => task !== null))
      left.push(...expired.filter((_, index) => taken[index] === null).map(({ _id }) => _id))
      if (seen.length < REAP_PAGE || expired.length < good.length || left.length > MOST_LEFT) {
        return { reaped, nextExpiry: good.find(({ lease }) => lease!.expiresAt > now)?.lease?.expiresAt ?? null }
      }
    }
  }

  /** One that can't be reaped must not keep the others from being. */
  async #reapOne(seen: TaskDocument): Promise<TaskDocument | null> {
    const update = updates.reap(await this.#retention.get())
    const task = await this.#oneByOne(seen._id, () =>
      this.#tasks.findOneAndUpdate(guard('reclaim', seen._id, seen.lease!.id), update, { returnDocument: 'after' }),
    )
    return task !== null && task.lease === undefined ? task : null
  }

  /** Those that fit; the others are set aside. */
  async #onlyFit(tasks: readonly TaskDocument[]): Promise<TaskDocument[]> {
    const good = tasks.filter(isFit)
    if (good.length < tasks.length) {
      await this.#quarantine.end(tasks.filter((task) => !isFit(task)).map(({ _id }) => _id))
    }
    return good
  }

  /** A write of one task among many: null where the server can't write that one, which is set aside. */
  async #oneByOne<T>(id: ObjectId, write: () => Promise<T>): Promise<T | null> {
    try {
      return await write()
    } catch (error) {
      if (!isAboutDocument(error)) throw error
      await this.#quarantine.end([id], `the server can't write it: ${asError(error).message}`)
      return null
    }
  }

  async endMisfits(ids: readonly unknown[]): Promise<number> {
    return this.#quarantine.end(ids)
  }

  async cancel(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null> {
    const request = { action: 'cancel', by, ...(reason === undefined ? {} : { reason }) } as const
    const update = updates.asked(request, await this.#retention.get())
    return this.#update(id, [...TRANSITIONS.cancel.from, 'running'], update)
  }

  async pause(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null> {
    const request = { action: 'pause', by, ...(reason === undefined ? {} : { reason }) } as const
    const update = updates.asked(request, await this.#retention.get())
    return this.#update(id, [...TRANSITIONS.pause.from, 'running'], update)
  }

  async resume(id: ObjectId): Promise<TaskDocument | null> {
    const paused = { ...guard('resume', id), status: 'paused' }
    const toBePaused = { _id: id, status: 'running', 'control.action': 'pause' }
    const either = { $or: [paused, toBePaused] } as mongo.Filter<TaskDocument>
    return this.#told(this.#tasks.findOneAndUpdate(either, updates.resume(), { returnDocument: 'after' }))
  }

  async rerun(id: ObjectId): Promise<TaskDocument | null> {
    const rerun = this.#told(
      this.#tasks.findOneAndUpdate(guard('rerun', id), updates.rerun(), { returnDocument: 'after' }),
    )
    return rerun.catch((error: unknown) => {
      if ((error as { code?: number }).code !== 11_000) throw error
      throw new FleetError('KEY_EXISTS', 'Another task with its key has come in its place', { field: 'key' })
    })
  }

  async edit(id: ObjectId, changes: Changes, rev?: number): Promise<TaskDocument | null> {
    const before = await this.find(id)
    if (before === null) return null
    const lane = { queue: changes.queue ?? before.queue, priority: changes.priority ?? before.priority }
    const place = {
      front: changes.position === 'front' ? await this.#front(lane) : undefined,
      leadMs: changes.deadline instanceof Date ? await this.#durations.lead(before.name) : undefined,
    }
    const update = updates.edit(changes, place)
    return this.#update(id, WAITING_STATUSES, update, rev === undefined ? {} : { rev })
  }

  async raiseDue(): Promise<{ raised: TaskDocument[]; nextRaise: Date | null }> {
    const raised: TaskDocument[] = []
    const left: ObjectId[] = []
    for (;;) {
      const now = this.#clock.now()
      const seen = await this.#tasks
        .find(
          {
            raiseAt: { $lte: new Date(now.getTime() + RAISE_AHEAD_MS) },
            status: { $in: [...OPEN_STATUSES] },
            ...(left.length === 0 ? {} : { _id: { $nin: left } }),
          },
          { projection: HEAVY_FIELDS },
        )
        .sort({ raiseAt: 1 })
        .limit(REAP_PAGE)
        .toArray()
      const good = await this.#onlyFit(seen)
      const due = good.filter(({ raiseAt }) => raiseAt! <= now)
      const taken = await Promise.all(due.map(({ _id, raiseAt }) => this.#raiseOne(_id, raiseAt!)))
      raised.push(...taken.filter((task) => task !== null))
      left.push(...due.filter((_, index) => taken[index] === null).map(({ _id }) => _id))
      // What was raised to high comes round once more when its deadline has come as well.
      const news = taken.some((task) => task !== null)
      if ((!news && (seen.length < REAP_PAGE || due.length < good.length)) || left.length > MOST_LEFT) {
        return { raised, nextRaise: good.find(({ raiseAt }) => raiseAt! > now)?.raiseAt ?? null }
      }
    }
  }

  async #raiseOne(id: ObjectId, raiseAt: Date): Promise<TaskDocument | null> {
    const task = await this.#oneByOne(id, () => this.#update(id, OPEN_STATUSES, updates.raise(), { raiseAt }))
    return task !== null && task.raiseAt?.getTime() !== raiseAt.getTime() ? task : null
  }

  #update(
    id: ObjectId,
    from: readonly string[],
    update: mongo.Document[],
    also: mongo.Filter<TaskDocument> = {},
  ): Promise<TaskDocument | null> {
    const filter = { _id: id, status: { $in: [...from] }, ...also } as mongo.Filter<TaskDocument>
    return this.#told(this.#tasks.findOneAndUpdate(filter, update, { returnDocument: 'after' }))
  }

  async #told(updating: Promise<TaskDocument | null>): Promise<TaskDocument | null> {
    const task = await updating
    this.#tell(task)
    return task
  }

  unblock(after: ObjectId): Promise<number> {
    return this.#unblocking(after)
  }

  /** Most fleets have no successors at all most of the time, and asking for any is much cheaper than for each. */
  async #unblockAfter(predecessors: readonly ObjectId[]): Promise<number[]> {
    const { status } = guard('unblock', null)
    const any = await this.#tasks.findOne({ status: status as 'blocked' }, { projection: { _id: 1 } })
    if (any === null) return predecessors.map(() => 0)
    const waiting = { after: { $in: [...predecessors] }, status: status as 'blocked' }
    const { modifiedCount } = await this.#tasks.updateMany(waiting, updates.unblock())
    return predecessors.map((_, index) => (index === 0 ? modifiedCount : 0))
  }

  async unblockAll(): Promise<number> {
    const predecessors = await this.#tasks.distinct('after', { status: 'blocked' })
    if (predecessors.length === 0) return 0
    const completed = await this.#tasks
      .find({ _id: { $in: predecessors.filter(isId) }, status: 'completed' }, { projection: { _id: 1 } })
      .toArray()
    const counts = await Promise.all(completed.map(({ _id }) => this.unblock(_id)))
    return counts.reduce((sum, count) => sum + count, 0)
  }

  async waiting(served: Served, limit: number, horizonMs = HORIZON_MS): Promise<{ due: Hint[]; next: Hint[] }> {
    const now = this.#clock.now()
    const until = new Date(now.getTime() + horizonMs)
    const { due, next, misfits } = await waitingTasks(this.#tasks, served, { now, until, limit })
    if (misfits.length === 0) return { due, next }
    // They may have taken the place of others in the answer.
    return (await this.#quarantine.end(misfits)) > 0 ? this.waiting(served, limit, horizonMs) : { due, next }
  }

  async slots(): Promise<Pick<TaskDocument, '_id' | 'slot'>[]> {
    const taken = await this.#tasks.find({ slot: { $exists: true } }, { projection: { slot: 1 } }).toArray()
    return taken.filter(({ _id, slot }) => _id instanceof mongo.ObjectId && typeof slot === 'string')
  }

  async controls(worker: string): Promise<{ _id: ObjectId; control: Control }[]> {
    const asked = await this.#tasks
      .find({ status: 'running', 'lease.worker': worker, control: { $exists: true } }, { projection: { control: 1 } })
      .toArray()
    return asked.flatMap(({ _id, control }) =>
      _id instanceof mongo.ObjectId && SHAPES.tasks.fields.control!.kind.is(control)
        ? [{ _id, control: control! }]
        : [],
    )
  }

  find(id: ObjectId): Promise<TaskDocument | null> {
    return this.#tasks.findOne({ _id: id })
  }

  async remove(id: ObjectId): Promise<boolean> {
    const { deletedCount } = await this.#tasks.deleteOne({ _id: id, status: { $in: [...ENDED_STATUSES] } })
    return deletedCount === 1
  }
}

interface ThrottleDocument {
  /** The task's name and its key. */
  _id: string
  task: ObjectId
  until: Date
}

const throttleKey = ({ name, key }: Pick<NewTask, 'name' | 'key'>): string => `${name}\n${key}`

/** What nothing is decided by. */
const HEAVY_FIELDS = { input: 0, output: 0, checkpoint: 0 } as const

const isFit = (task: TaskDocument): boolean => fits(SHAPES.tasks, task as unknown as Doc)
const isId = (value: unknown): value is ObjectId => value instanceof mongo.ObjectId

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
    throw new FleetError('TASK_EXISTS', `The task ${asked._id.toHexString()} exists with other content`, {
      field: '_id',
    })
  }
}

const sameBson = (a: unknown, b: unknown): boolean =>
  Buffer.from(mongo.BSON.serialize({ value: a })).equals(Buffer.from(mongo.BSON.serialize({ value: b })))

const duplicatesOnly = (error: mongo.MongoBulkWriteError): boolean =>
  [error.writeErrors].flat().every(({ code }) => code === 11_000)
