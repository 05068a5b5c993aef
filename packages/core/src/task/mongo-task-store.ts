import { randomUUID } from 'node:crypto'
import { FleetError } from '@taskfleet/protocol'
import { type Connection, mongo } from 'mongoose'
import type { Logger } from 'pino'
import { distinctValues } from '../database/distinct.ts'
import { majorityDb } from '../database/majority-db.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { confirmed, isDuplicatesOnly, writeErrorsOf } from '../database/unknown-outcome.ts'
import { SetAside } from '../documents/set-aside.ts'
import { type Doc, fits } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { asError } from '../thrown.ts'
import { isAlive } from '../worker/session.ts'
import type { WorkerDocument } from '../worker/worker-model.ts'
import { type AsyncBatch, asyncBatch } from './async-batch.ts'
import { Dependants, endedIds } from './dependants.ts'
import { isMet, isOver, known, predecessorsOf, refuseCycles, standpoints } from './dependencies.ts'
import { type DependencyEdit, editDependencies, notFound, refuseCycle } from './dependency-edit.ts'
import * as dependencyUpdates from './dependency-updates.ts'
import { Durations } from './durations.ts'
import { LargeBatches } from './large-batches.ts'
import { attemptGuard, ENDED_STATUSES, guard, OPEN_STATUSES, TRANSITIONS, WAITING_STATUSES } from './lifecycle.ts'
import type { Changes, NewTask } from './new-task.ts'
import { isAboutDocument, Quarantine } from './quarantine.ts'
import { QueueDepth } from './queue-depth.ts'
import { RetentionPolicy } from './retention.ts'
import { Settling } from './settling.ts'
import type { ObjectId, StoredProgress, TaskDocument } from './task-document.ts'
import type {
  Claim,
  Claimant,
  EndedAttempt,
  Held,
  Hint,
  Outcome,
  Report,
  Served,
  Settled,
  TaskStore,
} from './task-store.ts'
import * as updates from './task-updates.ts'
import { lostAtMost, waitingTasks } from './waiting-tasks.ts'

const REAP_PAGE = 200
/** How many tasks that could not be written are passed over in one look. */
const MOST_LEFT = 2_000
const RAISE_AHEAD_MS = 10_000
const HORIZON_MS = 120_000
/** Progress is checked where it is reported; this much keeps one that was not from filling a write. */
const LARGEST_REPORT = 1024 * 1024
/** How often a request whose key was just freed or taken is tried again. */
const KEY_TRIES = 3

type Tasks = mongo.Collection<TaskDocument>

/** `TaskStore` on MongoDB: each verb is a filter from the lifecycle table and a pipeline from `task-updates.ts`. */
export class MongoTaskStore implements TaskStore {
  readonly #tasks: Tasks
  readonly #clock: ServerClock
  readonly #sessions: mongo.Collection<WorkerDocument>
  readonly #settling: Settling
  readonly #dependants: Dependants
  readonly #unblocking: AsyncBatch<ObjectId, number>
  readonly #client: mongo.MongoClient
  readonly #db: mongo.Db
  readonly #retention: RetentionPolicy
  readonly #durations: Durations
  readonly #depth: QueueDepth
  readonly #throttles: mongo.Collection<ThrottleDocument>
  /** Lists that are too long for one transaction. */
  readonly batches: LargeBatches
  readonly #log: Logger | undefined
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
    this.#clock = clock
    this.#client = connection.getClient()
    const db = majorityDb(connection)
    this.#tasks = db.collection('tasks')
    this.#sessions = db.collection('workers')
    this.#db = db
    this.#retention = parts.retention ?? new RetentionPolicy(db)
    this.#durations = parts.durations ?? new Durations(db)
    this.#depth = new QueueDepth(db, { log: parts.log })
    this.#throttles = db.collection('throttles')
    this.#log = parts.log
    const setAside = parts.setAside ?? new SetAside(db, { log: parts.log })
    this.#quarantine = new Quarantine(this.#tasks, { retention: this.#retention, setAside, log: parts.log })
    this.#requireUniqueKeys = parts.requireUniqueKeys ?? (async () => undefined)
    this.#onEventTask = parts.onEventTask ?? (() => undefined)
    this.#dependants = new Dependants(this.#tasks, this.#retention, (task) => this.#tell(task))
    const follow = async (ended: readonly ObjectId[]): Promise<number[]> => {
      const moved = await this.#dependants.follow(ended)
      return ended.map((_, index) => (index === 0 ? moved : 0))
    }
    this.#unblocking = asyncBatch(follow, { waitMs: 10, most: 500, patient: true })
    this.#settling = new Settling(this.#tasks, this.#retention)
    this.batches = new LargeBatches({
      db,
      admit: (tasks) => this.#depth.admit(tasks, {}, (asked) => this.#adding(asked)),
      enqueue: (tasks) => this.#enqueue(tasks),
      now: () => clock.now(),
      log: parts.log,
    })
  }

  async enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    if (tasks.length === 0) return []
    // What a transaction meets is for whoever holds it to judge: some of it is tried again.
    if (session !== undefined) return this.#admitted(tasks, session)
    return confirmed(
      () => this.#admitted(tasks),
      tasks.map(({ _id }) => _id.toHexString()),
    )
  }

  async #admitted(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
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
      this.#tasks
        .find({ _id: { $in: ids } })
        .project<{ _id: ObjectId }>({ _id: 1 })
        .toArray(),
      keys.length === 0
        ? []
        : distinctValues(this.#tasks, 'key', { key: { $in: keys }, status: { $in: [...OPEN_STATUSES] } } as never),
      this.#throttles
        .find({ _id: { $in: tasks.map(throttleKey) }, until: { $gt: this.#clock.now() } })
        .project<{ _id: string }>({ _id: 1 })
        .toArray(),
    ])
    const known = new Set(there.map(({ _id }) => String(_id)))
    const taken = new Set(open)
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
    const waiting = await this.#waitingFor(tasks)
    return Promise.all(
      tasks.map(async (task) => ({
        front: await front(task),
        ...(waiting.get(task._id.toHexString()) ?? { blocked: false }),
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
   * How the tasks with predecessors start: blocked or not, and who of those has completed.
   * @throws {FleetError} `DEPENDENCY_CYCLE`; `NOT_FOUND` for a predecessor that is neither stored nor among them
   */
  async #waitingFor(tasks: readonly NewTask[]): Promise<Map<string, { blocked: boolean; completed: ObjectId[] }>> {
    const waiting = tasks.filter((task) => task.after !== undefined)
    if (waiting.length === 0) return new Map()
    const dependants = waiting.map((task) => ({ ...task, attempt: 0 }))
    const themselves = { _id: waiting[0]!._id, after: waiting.map(({ _id }) => _id), attempt: 0 }
    const found = await this.#dependants.predecessors([...dependants, themselves])
    // A request that is repeated is not refused for what has changed since.
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

  /** An id that was removed and comes again may be waited for already. @throws {FleetError} `DEPENDENCY_CYCLE` */
  async #refuseClosing(waiting: readonly NewTask[]): Promise<void> {
    if (waiting.length === 0) return
    const ids = waiting.map(({ _id }) => _id)
    const awaited = await distinctValues(this.#tasks, 'after', { after: { $in: ids } } as mongo.Filter<TaskDocument>)
    const closing = new Set(awaited.map(String))
    for (const task of waiting) {
      if (closing.has(String(task._id))) await refuseCycle(task._id, predecessorsOf(task), this.#tasks)
    }
  }

  /** Those that moved on since a predecessor ended before they were stored; in a transaction, they do when it has ended. */
  async #reconsidered(stored: readonly TaskDocument[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    const blocked = stored.filter(({ status }) => status === 'blocked').map(({ _id }) => _id)
    if (blocked.length === 0) return []
    if (session !== undefined) {
      session.once('ended', () => {
        this.#dependants
          .reconsider(blocked)
          .catch((error: unknown) => this.#log?.warn({ err: error }, 'new blocked tasks are looked at a minute later'))
      })
      return []
    }
    if ((await this.#dependants.reconsider(blocked)) === 0) return []
    return this.#tasks.find({ _id: { $in: blocked } }).toArray()
  }

  async claim(ids: readonly ObjectId[], claimant: Claimant, onEarly?: (id: ObjectId) => void): Promise<Claim[]> {
    const claims = await this.#claimEach(ids, claimant, onEarly ?? (() => undefined))
    const good = claims.filter(({ task }) => isFit(task))
    for (const { task } of good) this.#tell(task)
    if (good.length < claims.length) {
      await this.#endMisfits(claims.filter(({ task }) => !isFit(task)).map(({ task }) => task._id))
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
        await this.#endMisfits([only], `the server can't write it: ${asError(error).message}`)
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
      const served = {
        ...(claimant.queues === undefined ? {} : { queue: { $in: [...claimant.queues] } }),
        ...lostAtMost(claimant.maxLost),
      }
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
      const adopted = await this.#heldBy(ids, leaseId).catch(() => null)
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
    await this.#endMisfits(waiting.filter((task) => !isFit(task)).map(({ _id }) => _id))
  }

  #heldBy(ids: readonly ObjectId[], leaseId: string): Promise<TaskDocument[]> {
    return this.#tasks.find(attemptGuard({ $in: [...ids] }, leaseId) as mongo.Filter<TaskDocument>).toArray()
  }

  async report(reports: readonly Report[]): Promise<void> {
    const sound = reports.filter((report) => this.#canBeWritten(report))
    if (sound.length === 0) return
    const operations = sound.map(({ id, leaseId, progress }) => ({
      updateOne: { filter: attemptGuard(id, leaseId), update: updates.report(progress) },
    }))
    await this.#tasks.bulkWrite(operations as never, { ordered: false }).catch((error: unknown) => {
      const refused = error instanceof mongo.MongoBulkWriteError ? [error.writeErrors].flat() : []
      if (refused.length === 0) throw error
      // The others of the write have been stored.
      for (const { index, code, errmsg } of refused) this.#refusedReport(sound[index]!, errmsg ?? `code ${code}`)
    })
  }

  /** The driver would fail the whole write for one that it can't encode. */
  #canBeWritten(report: Report): boolean {
    try {
      const bytes = mongo.BSON.calculateObjectSize({ progress: report.progress })
      if (bytes <= LARGEST_REPORT) return true
      this.#refusedReport(report, `it takes ${bytes} bytes`)
    } catch (error) {
      this.#refusedReport(report, asError(error).message)
    }
    return false
  }

  #refusedReport({ id }: Report, reason: string): void {
    this.#log?.warn({ task: id.toHexString(), reason }, 'the progress of a task can not be stored')
  }

  async saveCheckpoint(id: ObjectId, leaseId: string, state: unknown): Promise<boolean> {
    const { matchedCount } = await this.#tasks.updateOne(attemptGuard(id, leaseId), updates.checkpoint(state))
    return matchedCount === 1
  }

  async settle(claim: EndedAttempt, outcome: Outcome, progress?: StoredProgress): Promise<Settled> {
    const settled = await this.#settling.settle(claim, outcome, progress)
    if (settled.owned) this.#tell(claim.task)
    return settled
  }

  async reap(): Promise<TaskDocument[]> {
    const reaped = [...(await this.#reapAbandoned()), ...(await this.#reapDated())]
    for (const task of reaped) this.#tell(task)
    await this.#followEnded(reaped)
    return reaped
  }

  /**
   * Running tasks are read before the sessions on which they rest: a session is stored before its first claim, and once it has
   * ended it stays so. A claim that was on its way when its session ended turns up here as well.
   */
  async #reapAbandoned(): Promise<TaskDocument[]> {
    const groups = await this.#tasks
      .aggregate<{ _id: unknown }>([{ $match: { status: 'running' } }, { $group: { _id: '$lease.session' } }])
      .toArray()
    const sessions = groups.map(({ _id }) => _id).filter((session) => typeof session === 'string')
    if (sessions.length < groups.length) await this.#endWithoutLease()
    if (sessions.length === 0) return []
    const found = await this.#sessions.find({ _id: { $in: sessions } }).toArray()
    const known = new Map(found.map((session) => [session._id, session]))
    const reaped: TaskDocument[] = []
    for (const session of sessions) {
      const worker = known.get(session)
      if (worker === undefined || !isAlive(worker)) reaped.push(...(await this.#reapSession(session, worker)))
    }
    return reaped
  }

  #reapSession(session: string, worker: WorkerDocument | undefined): Promise<TaskDocument[]> {
    const held = { status: 'running', 'lease.session': session } as mongo.Filter<TaskDocument>
    return this.#reapEach(held, (together) => ({ evidence: lossEvidence(worker, together) }))
  }

  /** What workers of earlier versions hold: they renew each lease by itself. */
  #reapDated(): Promise<TaskDocument[]> {
    const expired = { 'lease.expiresAt': { $lte: this.#clock.now() }, status: 'running' } as mongo.Filter<TaskDocument>
    return this.#reapEach(expired, () => ({ evidence: 'The worker did not renew its lease', dated: true }))
  }

  /** Page by page. What could not be reaped isn't tried again in this look, and must not hide the others. */
  async #reapEach(
    filter: mongo.Filter<TaskDocument>,
    why: (together: number) => { evidence: string; dated?: boolean },
  ): Promise<TaskDocument[]> {
    const reaped: TaskDocument[] = []
    const left: ObjectId[] = []
    for (;;) {
      const page = await this.#tasks
        .find({ $and: [filter, left.length === 0 ? {} : { _id: { $nin: left } }] }, { projection: HEAVY_FIELDS })
        .limit(REAP_PAGE)
        .toArray()
      const { evidence, dated } = why(page.length)
      const good = await this.#onlyFit(page)
      const update = updates.reap(await this.#retention.get(), evidence, { dated: dated === true })
      const taken = await Promise.all(good.map((task) => this.#reapOne(task, update)))
      reaped.push(...taken.filter((task) => task !== null))
      const done = new Set(taken.map((task) => String(task?._id)))
      left.push(...page.map(({ _id }) => _id).filter((id) => !done.has(String(id))))
      if (page.length < REAP_PAGE || left.length > MOST_LEFT) return reaped
    }
  }

  /** One that can't be reaped must not keep the others from being. */
  async #reapOne(seen: TaskDocument, update: mongo.Document[]): Promise<TaskDocument | null> {
    const task = await this.#oneByOne(seen._id, () =>
      this.#tasks.findOneAndUpdate(guard('reclaim', seen._id, seen.lease!.id), update, { returnDocument: 'after' }),
    )
    return task !== null && task.lease === undefined ? task : null
  }

  /** Running tasks under no lease that could be proved: somebody has written to the database by hand. */
  async #endWithoutLease(): Promise<void> {
    const odd = { status: 'running', 'lease.session': { $not: { $type: 'string' } } } as mongo.Filter<TaskDocument>
    await this.#onlyFit(await this.#tasks.find(odd, { projection: HEAVY_FIELDS }).limit(MOST_LEFT).toArray())
  }

  /** Those that fit; the others are set aside. */
  async #onlyFit(tasks: readonly TaskDocument[]): Promise<TaskDocument[]> {
    await this.#endMisfits(tasks.filter((task) => !isFit(task)).map(({ _id }) => _id))
    return tasks.filter(isFit)
  }

  /** A write of one task among many: null where the server can't write that one, which is set aside. */
  async #oneByOne<T>(id: ObjectId, write: () => Promise<T>): Promise<T | null> {
    try {
      return await write()
    } catch (error) {
      if (!isAboutDocument(error)) throw error
      await this.#endMisfits([id], `the server can't write it: ${asError(error).message}`)
      return null
    }
  }

  endMisfits(ids: readonly unknown[]): Promise<number> {
    return this.#endMisfits(ids)
  }

  async #endMisfits(ids: readonly unknown[], because?: string): Promise<number> {
    if (ids.length === 0) return 0
    const ended = await this.#quarantine.end(ids, because)
    if (ended > 0) await this.#dependants.follow(ids.filter(isId))
    return ended
  }

  async takeBackLoss(id: ObjectId, leaseId: string): Promise<boolean> {
    const lost = { lease: leaseId, outcome: TRANSITIONS.reclaim.closes, survived: { $exists: false } }
    const filter = { _id: id, status: { $in: [...OPEN_STATUSES] }, attempts: { $elemMatch: lost } }
    const { modifiedCount } = await this.#tasks.updateOne(
      filter as mongo.Filter<TaskDocument>,
      updates.takeBackLoss(leaseId),
    )
    return modifiedCount === 1
  }

  async cancel(id: ObjectId, by: string, reason?: string): Promise<TaskDocument | null> {
    const request = { action: 'cancel', by, ...(reason === undefined ? {} : { reason }) } as const
    const update = updates.asked(request, await this.#retention.get())
    const cancelled = await this.#update(id, [...TRANSITIONS.cancel.from, 'running'], update)
    await this.#followEnded([cancelled])
    return cancelled
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
    return this.#orBlocked('resume', id, (seen) =>
      this.#told(this.#tasks.findOneAndUpdate({ ...either, ...seen }, updates.resume(), { returnDocument: 'after' })),
    )
  }

  async rerun(id: ObjectId): Promise<TaskDocument | null> {
    const rerun = this.#orBlocked('rerun', id, (seen) =>
      this.#told(
        this.#tasks.findOneAndUpdate({ ...guard('rerun', id), ...seen }, updates.rerun(), { returnDocument: 'after' }),
      ),
    )
    return rerun.catch((error: unknown) => {
      if ((error as { code?: number }).code !== 11_000) throw error
      throw new FleetError('KEY_EXISTS', 'Another task with its key has come in its place', { field: 'key' })
    })
  }

  /**
   * Lets a task run again, or wait again for predecessors that have not completed. Both are decided by the revision that
   * was read, and looked at again where somebody came in between.
   */
  async #orBlocked(
    verb: 'resume' | 'rerun',
    id: ObjectId,
    free: (seen: { rev?: number }) => Promise<TaskDocument | null>,
  ): Promise<TaskDocument | null> {
    const blocking = verb === 'resume' ? 'block' : 'rewait'
    const from: readonly string[] = verb === 'resume' ? ['paused'] : TRANSITIONS.rewait.from
    for (;;) {
      const task = await this.find(id)
      if (task?.after === undefined || !from.includes(task.status)) return free({})
      const { rev } = task
      const now = await this.#dependants.standpoints(task)
      if (isMet(task, now)) {
        const freed = await free({ rev })
        if (freed !== null) return freed
      } else {
        // Whoever retries it knows what has failed, and waits for that one's retry.
        const forgiven = verb === 'rerun' ? now.filter(isOver) : []
        const lets = verb === 'resume' ? updates.resume() : updates.rerun()
        const update = [...lets, ...dependencyUpdates.block(blocking, known(now, forgiven))]
        const blocked = await this.#tasks.updateOne({ _id: id, status: task.status, rev }, update)
        if (blocked.matchedCount === 1) {
          this.#tell(task)
          await this.#dependants.reconsider([id])
          return this.find(id)
        }
      }
      if (((await this.find(id))?.rev ?? rev) === rev) return null
    }
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
    if (changes.after !== undefined || changes.ifFailed !== undefined) {
      return this.#editDependencies({ id, changes, rev, update })
    }
    return this.#update(id, WAITING_STATUSES, update, rev === undefined ? {} : { rev })
  }

  async #editDependencies(edit: DependencyEdit): Promise<TaskDocument | null> {
    const edited = await this.#told(
      editDependencies(edit, {
        client: this.#client,
        tasks: this.#tasks,
        settings: this.#db.collection('settings'),
        dependants: this.#dependants,
      }),
    )
    if (edited?.status !== 'blocked') return edited
    return (await this.#dependants.reconsider([edit.id])) === 0 ? edited : this.find(edit.id)
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

  unblockAll(): Promise<number> {
    return this.#dependants.sweep()
  }

  /** The tasks that a write has ended are followed by those that wait for them. */
  async #followEnded(tasks: readonly (TaskDocument | null)[]): Promise<void> {
    const ended = endedIds(tasks)
    if (ended.length > 0) await this.#dependants.follow(ended)
  }

  async waiting(served: Served, limit: number, horizonMs = HORIZON_MS): Promise<{ due: Hint[]; next: Hint[] }> {
    const now = this.#clock.now()
    const until = new Date(now.getTime() + horizonMs)
    const { due, next, misfits } = await waitingTasks(this.#tasks, served, { now, until, limit })
    if (misfits.length === 0) return { due, next }
    // They may have taken the place of others in the answer.
    return (await this.#endMisfits(misfits)) > 0 ? this.waiting(served, limit, horizonMs) : { due, next }
  }

  async slots(): Promise<Pick<TaskDocument, '_id' | 'slot'>[]> {
    const taken = await this.#tasks.find({ slot: { $exists: true } }, { projection: { slot: 1 } }).toArray()
    return taken.filter(({ _id, slot }) => _id instanceof mongo.ObjectId && typeof slot === 'string')
  }

  async held(session: string): Promise<Held[]> {
    const running = await this.#tasks
      .find({ status: 'running', 'lease.session': session }, { projection: { lease: 1, control: 1, event: 1 } })
      .toArray()
    return running.flatMap(({ _id, lease, control, event }) => {
      if (!(_id instanceof mongo.ObjectId) || typeof lease?.id !== 'string') return []
      const asked = control !== undefined && SHAPES.tasks.fields.control!.kind.is(control) ? { control } : {}
      return [{ _id, leaseId: lease.id, ...(event instanceof mongo.ObjectId ? { event } : {}), ...asked }]
    })
  }

  find(id: ObjectId): Promise<TaskDocument | null> {
    return this.#tasks.findOne({ _id: id })
  }

  async results(ids: readonly ObjectId[]): Promise<Pick<TaskDocument, '_id' | 'status' | 'output' | 'error'>[]> {
    const fields = { status: 1, output: 1, error: 1 } as const
    return this.#tasks.find({ _id: { $in: [...ids] } }, { projection: fields }).toArray()
  }

  async remove(id: ObjectId): Promise<boolean> {
    // First what it had to say to those that wait for it, should its end not have been followed yet.
    const task = await this.#tasks.findOne({ _id: id }, { projection: { status: 1 } })
    await this.#followEnded([task])
    const { deletedCount } = await this.#tasks.deleteOne({ _id: id, status: { $in: [...ENDED_STATUSES] } })
    if (deletedCount === 1) await this.#dependants.follow([id])
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

/** What is known of how a task lost its worker, for people. */
function lossEvidence(worker: WorkerDocument | undefined, together: number): string {
  const others = together === 1 ? 'nothing else ran there' : `${together - 1} other tasks ran there`
  if (worker === undefined) return `The session of its worker is gone; ${others}`
  const { name, host, pid, state, until } = worker
  const since = until instanceof Date ? ` by ${until.toISOString()}` : ''
  const end = state === 'stopped' ? 'stopped without giving it back' : `did not renew its session${since}`
  return `The worker ${name} (${host}, process ${pid}) ${end}; ${others}`
}

const isFit = (task: TaskDocument): boolean => fits(SHAPES.tasks, task as unknown as Doc)
const isId = (value: unknown): value is ObjectId => value instanceof mongo.ObjectId

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
    throw new FleetError('TASK_EXISTS', `The task ${asked._id.toHexString()} exists with other content`, {
      field: '_id',
    })
  }
}

const sameBson = (a: unknown, b: unknown): boolean =>
  Buffer.from(mongo.BSON.serialize({ value: a })).equals(Buffer.from(mongo.BSON.serialize({ value: b })))
