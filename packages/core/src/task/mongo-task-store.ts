import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { notBeforeOf, Signing } from '../auth/signing.ts'
import { driver } from '../database/driver.ts'
import { type DatabaseSource, majorityDb } from '../database/majority-db.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { SetAside } from '../documents/set-aside.ts'
import { SHAPES } from '../documents/shapes.ts'
import { type End, endWithout } from '../history/roll-ups.ts'
import { asError } from '../thrown.ts'
import { type AsyncBatch, asyncBatch } from './async-batch.ts'
import * as attemptUpdates from './attempt-updates.ts'
import { Claiming } from './claiming.ts'
import { Dependants } from './dependants.ts'
import { isMet, isOver, known } from './dependencies.ts'
import { type DependencyEdit, editDependencies } from './dependency-edit.ts'
import * as dependencyUpdates from './dependency-updates.ts'
import { Durations } from './durations.ts'
import { Enqueuing } from './enqueuing.ts'
import type { LargeBatches } from './large-batches.ts'
import { attemptGuard, ENDED_STATUSES, guard, OPEN_STATUSES, TRANSITIONS, WAITING_STATUSES } from './lifecycle.ts'
import type { Changes, NewTask } from './new-task.ts'
import { Quarantine } from './quarantine.ts'
import { RetentionPolicy } from './retention.ts'
import { Settling } from './settling.ts'
import type { StoreParts } from './store-parts.ts'
import { Sweeps } from './sweeps.ts'
import type { ObjectId, StoredProgress, TaskDocument } from './task-document.ts'
import type {
  Affinity,
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
  Within,
} from './task-store.ts'
import * as updates from './task-updates.ts'
import { waitingTasks } from './waiting-tasks.ts'

const HORIZON_MS = 120_000
/** Progress is checked where it is reported. This limit keeps unchecked progress from filling a write. */
const LARGEST_REPORT = 1024 * 1024

/** `TaskStore` on MongoDB. Each verb is a filter from the lifecycle table and a pipeline from `task-updates.ts` or `attempt-updates.ts`. */
export class MongoTaskStore implements TaskStore {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #client: mongo.MongoClient
  readonly #parts: StoreParts
  readonly #dependants: Dependants
  readonly #quarantine: Quarantine
  readonly #enqueuing: Enqueuing
  readonly #claiming: Claiming
  readonly #settling: Settling
  readonly #sweeps: Sweeps
  readonly #unblocking: AsyncBatch<ObjectId, number>

  constructor(
    source: DatabaseSource,
    clock: ServerClock,
    given: {
      retention?: RetentionPolicy
      durations?: Durations
      log?: Logger | undefined
      /** Signs tasks. By default, they are not signed. */
      signing?: Signing
      /** Records malformed tasks. */
      setAside?: SetAside
      /** Called before a task with a key is stored. Throws if keys can't be kept unique. */
      requireUniqueKeys?: () => Promise<void>
      /** Called for each end that this store makes beside those of a worker's own attempts. */
      onEnd?: (end: End) => void
      /** Called when this store has changed the status of an event's task. */
      onEventTask?: (event: ObjectId) => void
    } = {},
  ) {
    const db = majorityDb(source)
    const { log, retention = new RetentionPolicy(db), setAside = new SetAside(db, { log }) } = given
    this.#client = source.getClient()
    this.#tasks = db.collection('tasks')
    const tasks = this.#tasks
    const tell: StoreParts['tell'] = (task) => {
      if (task?.event !== undefined) given.onEventTask?.(task.event)
    }
    const onEnd = given.onEnd ?? (() => undefined)
    const dependants = new Dependants(tasks, retention, tell, onEnd)
    this.#dependants = dependants
    this.#quarantine = new Quarantine(tasks, { retention, dependants, setAside, log })
    this.#parts = {
      db,
      tasks,
      clock,
      retention,
      durations: given.durations ?? new Durations(db),
      dependants,
      quarantine: this.#quarantine,
      log,
      signing: given.signing ?? new Signing(),
      requireUniqueKeys: given.requireUniqueKeys ?? (async () => undefined),
      tell,
      onEnd,
    }
    this.#enqueuing = new Enqueuing(this.#parts)
    this.#claiming = new Claiming(this.#parts)
    this.#settling = new Settling(tasks, retention)
    this.#sweeps = new Sweeps(this.#parts)
    const follow = async (ended: readonly ObjectId[]): Promise<number[]> => {
      const moved = await dependants.follow(ended)
      return ended.map((_, index) => (index === 0 ? moved : 0))
    }
    this.#unblocking = asyncBatch(follow, { waitMs: 10, most: 500, patient: true })
  }

  /** Lists that are too long for one transaction. */
  get batches(): LargeBatches {
    return this.#enqueuing.batches
  }

  enqueue(tasks: readonly NewTask[], session?: mongo.ClientSession): Promise<TaskDocument[]> {
    return this.#enqueuing.enqueue(tasks, session)
  }

  claim(
    ids: readonly ObjectId[],
    claimant: Claimant,
    onEarly: (id: ObjectId) => void = () => undefined,
  ): Promise<Claim[]> {
    return this.#claiming.claim(ids, claimant, onEarly)
  }

  async report(reports: readonly Report[]): Promise<void> {
    const sound = reports.filter((report) => this.#canBeWritten(report))
    if (sound.length === 0) return
    const operations = sound.map((report) => ({
      updateOne: { filter: attemptGuard(report.id, report.leaseId), update: attemptUpdates.report(report) },
    }))
    await this.#tasks.bulkWrite(operations as never, { ordered: false }).catch((error: unknown) => {
      const refused = error instanceof driver.MongoBulkWriteError ? [error.writeErrors].flat() : []
      if (refused.length === 0) throw error
      // The other reports of this write are stored.
      for (const { index, code, errmsg } of refused) this.#refusedReport(sound[index]!, errmsg ?? `code ${code}`)
    })
  }

  /** Checks each report alone, because one report that the driver can't encode would fail the whole write. */
  #canBeWritten(report: Report): boolean {
    try {
      const bytes = driver.BSON.calculateObjectSize({ progress: report.progress })
      if (bytes <= LARGEST_REPORT) return true
      this.#refusedReport(report, `it takes ${bytes} bytes`)
    } catch (error) {
      this.#refusedReport(report, asError(error).message)
    }
    return false
  }

  #refusedReport({ id }: Report, reason: string): void {
    this.#parts.log?.warn({ task: id.toHexString(), reason }, 'the progress of a task can not be stored')
  }

  async saveCheckpoint(id: ObjectId, leaseId: string, state: unknown, affinity?: Affinity): Promise<boolean> {
    const update = attemptUpdates.checkpoint(state, affinity)
    const { matchedCount } = await this.#tasks.updateOne(attemptGuard(id, leaseId), update)
    return matchedCount === 1
  }

  async settle(claim: EndedAttempt, outcome: Outcome, progress?: StoredProgress): Promise<Settled> {
    const settled = await this.#settling.settle(claim, outcome, progress)
    if (settled.owned) this.#parts.tell(claim.task)
    return settled
  }

  reap(): Promise<TaskDocument[]> {
    return this.#sweeps.reap()
  }

  endMisfits(ids: readonly unknown[]): Promise<number> {
    return this.#quarantine.end(ids)
  }

  async takeBackLoss(id: ObjectId, leaseId: string): Promise<boolean> {
    const lost = { lease: leaseId, outcome: TRANSITIONS.reclaim.closes, survived: { $exists: false } }
    const filter = { _id: id, status: { $in: [...OPEN_STATUSES] }, attempts: { $elemMatch: lost } }
    const { modifiedCount } = await this.#tasks.updateOne(
      filter as mongo.Filter<TaskDocument>,
      attemptUpdates.takeBackLoss(leaseId),
    )
    return modifiedCount === 1
  }

  async cancel(id: ObjectId, by: string, reason?: string, within?: Within): Promise<TaskDocument | null> {
    const request = { action: 'cancel', by, ...given({ reason }) } as const
    const update = updates.asked(request, await this.#parts.retention.get())
    const cancelled = await this.#update(id, [...TRANSITIONS.cancel.from, 'running'], update, within)
    if (cancelled?.status === 'cancelled') this.#parts.onEnd(endWithout(cancelled))
    await this.#dependants.followEnded([cancelled])
    return cancelled
  }

  async pause(id: ObjectId, by: string, reason?: string, within?: Within): Promise<TaskDocument | null> {
    const request = { action: 'pause', by, ...given({ reason }) } as const
    const update = updates.asked(request, await this.#parts.retention.get())
    return this.#update(id, [...TRANSITIONS.pause.from, 'running'], update, within)
  }

  async resume(id: ObjectId, within?: Within): Promise<TaskDocument | null> {
    const paused = { ...guard('resume', id), status: 'paused' }
    const toBePaused = { _id: id, status: 'running', 'control.action': 'pause' }
    const either = { $or: [paused, toBePaused], ...within } as mongo.Filter<TaskDocument>
    return this.#orBlocked('resume', id, within, (seen) =>
      this.#told(this.#tasks.findOneAndUpdate({ ...either, ...seen }, updates.resume(), { returnDocument: 'after' })),
    )
  }

  async rerun(id: ObjectId, within?: Within): Promise<TaskDocument | null> {
    const failed = { ...guard('rerun', id), ...within } as mongo.Filter<TaskDocument>
    const rerun = this.#orBlocked('rerun', id, within, async (seen) => {
      const { update, asSeen } = await this.#signedAgain(id, updates.rerun(), {}, { ...seen, begins: true })
      return this.#told(this.#tasks.findOneAndUpdate({ ...failed, ...asSeen }, update, { returnDocument: 'after' }))
    })
    return rerun.catch(refuseTakenKey)
  }

  /**
   * Adds a new signature to the update of a signed task. Also returns the signed revision, so that the write fails if another
   * write came in between.
   *
   * @param begins whether the task may begin at once, no matter when it was scheduled
   */
  async #signedAgain(
    id: ObjectId,
    update: mongo.Document[],
    changes: Changes,
    { rev, begins = false }: { rev?: number; begins?: boolean },
  ): Promise<{ update: mongo.Document[]; asSeen: { rev?: number } }> {
    const { signing } = this.#parts
    const unchanged = { update, asSeen: rev === undefined ? {} : { rev } }
    const { queue, input, deadline, runAt } = changes
    if (!signing.signs || !((begins || 'input' in changes || queue) ?? runAt ?? deadline !== undefined))
      return unchanged
    const before = await this.find(id)
    if (before === null || (rev !== undefined && rev !== before.rev)) return unchanged
    const now = {
      ...before,
      ...given({ queue, input }),
      ...(deadline === undefined ? {} : { deadline: deadline ?? undefined }),
    }
    const notBefore = begins ? undefined : (runAt ?? notBeforeOf(before.signature))
    const signature = signing.signAgain('task', before, now, notBefore)
    if (signature === undefined) return unchanged
    return { update: [...update, ...updates.sign(signature)], asSeen: { rev: before.rev } }
  }

  /**
   * Makes a task pending, or blocked if a predecessor has not completed. The decision is made for the revision that was read,
   * and made again if another write came in between.
   */
  async #orBlocked(
    verb: 'resume' | 'rerun',
    id: ObjectId,
    within: Within,
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
        // A retry ignores the predecessors' current failures and waits for their retries.
        const forgiven = verb === 'rerun' ? now.filter(isOver) : []
        const lets = verb === 'resume' ? updates.resume() : updates.rerun()
        const update = [...lets, ...dependencyUpdates.block(blocking, known(now, forgiven))]
        const asSeen = { _id: id, status: task.status, rev, ...within } as mongo.Filter<TaskDocument>
        const blocked = await this.#tasks.updateOne(asSeen, update)
        if (blocked.matchedCount === 1) {
          this.#parts.tell(task)
          await this.#dependants.reconsider([id])
          return this.find(id)
        }
      }
      if (((await this.find(id))?.rev ?? rev) === rev) return null
    }
  }

  async edit(id: ObjectId, changes: Changes, rev?: number, within?: Within): Promise<TaskDocument | null> {
    const before = await this.find(id)
    if (before === null) return null
    const lane = { queue: changes.queue ?? before.queue, priority: changes.priority ?? before.priority }
    const place = {
      front: changes.position === 'front' ? await this.#enqueuing.front(lane) : undefined,
      leadMs: changes.deadline instanceof Date ? await this.#parts.durations.lead(before.name) : undefined,
    }
    for (;;) {
      const { update, asSeen } = await this.#signedAgain(id, updates.edit(changes, place), changes, given({ rev }))
      const edited = await (changes.after !== undefined || changes.ifFailed !== undefined
        ? this.#editDependencies({ id, changes, rev: asSeen.rev, update, within })
        : this.#update(id, WAITING_STATUSES, update, { ...within, ...asSeen })
      ).catch(refuseTakenKey)
      // Another write came between the read and this write.
      const again = edited === null && rev === undefined && asSeen.rev !== undefined
      if (!again || (await this.find(id))?.rev === asSeen.rev) return edited
    }
  }

  async #editDependencies(edit: DependencyEdit): Promise<TaskDocument | null> {
    const edited = await this.#told(
      editDependencies(edit, {
        client: this.#client,
        tasks: this.#tasks,
        settings: this.#parts.db.collection('settings'),
        dependants: this.#dependants,
      }),
    )
    if (edited?.status !== 'blocked') return edited
    return (await this.#dependants.reconsider([edit.id])) === 0 ? edited : this.find(edit.id)
  }

  raiseDue(): Promise<{ raised: TaskDocument[]; nextRaise: Date | null }> {
    return this.#sweeps.raiseDue()
  }

  #update(
    id: ObjectId,
    from: readonly string[],
    update: mongo.Document[],
    also: Within = {},
  ): Promise<TaskDocument | null> {
    const filter = { _id: id, status: { $in: [...from] }, ...also } as mongo.Filter<TaskDocument>
    return this.#told(this.#tasks.findOneAndUpdate(filter, update, { returnDocument: 'after' }))
  }

  async #told(updating: Promise<TaskDocument | null>): Promise<TaskDocument | null> {
    const task = await updating
    this.#parts.tell(task)
    return task
  }

  unblock(after: ObjectId): Promise<number> {
    return this.#unblocking(after)
  }

  unblockAll(): Promise<number> {
    return this.#dependants.sweep()
  }

  async waiting(
    served: Served,
    limit: number,
    horizonMs = HORIZON_MS,
    many = false,
  ): Promise<{ due: Hint[]; next: Hint[] }> {
    const now = this.#parts.clock.now()
    const until = new Date(now.getTime() + horizonMs)
    const { due, next, misfits } = await waitingTasks(this.#tasks, served, { now, until, limit, many })
    if (misfits.length === 0) return { due, next }
    // The malformed tasks may have displaced others in this result, so it is read again.
    return (await this.#quarantine.end(misfits)) > 0 ? this.waiting(served, limit, horizonMs, many) : { due, next }
  }

  async slots(): Promise<Pick<TaskDocument, '_id' | 'slot'>[]> {
    const taken = await this.#tasks.find({ slot: { $exists: true } }, { projection: { slot: 1 } }).toArray()
    return taken.filter(({ _id, slot }) => _id instanceof driver.ObjectId && typeof slot === 'string')
  }

  async held(session: string): Promise<Held[]> {
    const running = await this.#tasks
      .find({ status: 'running', 'lease.session': session }, { projection: { lease: 1, control: 1, event: 1 } })
      .toArray()
    return running.flatMap(({ _id, lease, control, event }) => {
      if (!(_id instanceof driver.ObjectId) || typeof lease?.id !== 'string') return []
      const asked = control !== undefined && SHAPES.tasks.fields.control!.kind.is(control) ? { control } : {}
      return [{ _id, leaseId: lease.id, ...(event instanceof driver.ObjectId ? { event } : {}), ...asked }]
    })
  }

  find(id: ObjectId): Promise<TaskDocument | null> {
    return this.#tasks.findOne({ _id: id })
  }

  async results(ids: readonly ObjectId[]): Promise<Pick<TaskDocument, '_id' | 'status' | 'output' | 'error'>[]> {
    const fields = { status: 1, output: 1, error: 1 } as const
    return this.#tasks.find({ _id: { $in: [...ids] } }, { projection: fields }).toArray()
  }

  async remove(id: ObjectId, within?: Within): Promise<boolean> {
    const ended = { _id: id, status: { $in: [...ENDED_STATUSES] }, ...within } as mongo.Filter<TaskDocument>
    // First its successors are moved, if that has not happened yet.
    await this.#dependants.followEnded([await this.#tasks.findOne(ended, { projection: { status: 1 } })])
    const { deletedCount } = await this.#tasks.deleteOne(ended)
    if (deletedCount === 1) await this.#dependants.follow([id])
    return deletedCount === 1
  }
}

/** Handles the error of a write whose task's key may be taken. @throws {FleetError} `KEY_EXISTS` */
function refuseTakenKey(error: unknown): never {
  if ((error as { code?: number }).code !== 11_000) throw error
  throw new FleetError('KEY_EXISTS', 'Another open task in the queue has the same key', { field: 'key' })
}
