import { createHash, randomUUID } from 'node:crypto'
import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import pLimit from 'p-limit'
import type { Logger } from 'pino'
import { KeyStore, LOCAL, type Principal } from '../auth/key-store.ts'
import { reaches, visibleTo } from '../auth/reach.ts'
import { refusalOf, type TaskChange, type TaskRefusal, taskChange } from '../commands/task-change.ts'
import { driver } from '../database/driver.ts'
import { isOutage } from '../database/unknown-outcome.ts'
import type { Fleet } from '../fleet.ts'
import { Service } from '../service.ts'
import type { ObjectId, TaskDocument } from '../task/task-document.ts'
import { asError } from '../thrown.ts'
import { UnderWay } from '../under-way.ts'
import { WatchLoop } from '../watch-loop.ts'
import type { BulkDocument, BulkStore, BulkTask, PartResult, SeenTask } from './bulk-store.ts'

export interface BulkRunsOptions {
  fleet: Pick<Fleet, 'bulk' | 'tasks' | 'store' | 'handlers' | 'audit' | 'database' | 'gate'>
  log: Logger
  /** How often it looks for operations of other processes and of gateways that have died, in milliseconds. */
  everyMs?: number
  /** For how long an operation is left to a gateway that writes nothing. */
  holdMs?: number
}

const EVERY_MS = 10_000
const HOLD_MS = 15_000
/** How many operations a gateway carries out. They take turns, part by part, so that a long one delays no other. */
const MOST_HELD = 50
const PARTS_AT_A_TIME = 3
const TASKS_AT_A_TIME = 20
const TRIES = 5

type LightTask = Pick<
  TaskDocument,
  '_id' | 'rev' | 'status' | 'control' | 'attempt' | 'queue' | 'name' | 'basePriority'
>
const LIGHT = { rev: 1, status: 1, control: 1, attempt: 1, queue: 1, name: 1, basePriority: 1 } as const

type Outcome = 'changed' | 'unchanged' | TaskRefusal

/** Another gateway carries the operation out now. */
class TakenOver extends Error {}

/**
 * Carries out bulk operations. Every gateway has one; an operation is held by one of them, and another goes on after it has died. Each
 * change of a task is the same guarded write as without an operation. It is also guarded by the revision that was read while the
 * operation was held, and the revisions at the beginning of a part are stored. So a part that is repeated changes no task twice, and a
 * gateway that was taken over changes nothing that has been changed since.
 */
export class BulkRuns extends Service {
  readonly #options: BulkRunsOptions
  readonly #bulk: BulkStore
  readonly #keys: KeyStore
  readonly #under: UnderWay
  readonly #held = new Set<string>()
  readonly #turns = pLimit(PARTS_AT_A_TIME)
  readonly #holdMs: number
  #stopping = false

  constructor(options: BulkRunsOptions) {
    super()
    const { fleet, log, holdMs = HOLD_MS } = options
    this.#options = options
    this.#bulk = fleet.bulk
    this.#keys = new KeyStore(fleet.database.db, () => fleet.database.clock.now(), fleet.gate)
    this.#holdMs = holdMs
    this.#under = new UnderWay((error) => log.warn({ err: asError(error) }, 'a bulk operation could not be released'))
  }

  protected override async onStart(): Promise<void> {
    const { log, everyMs = EVERY_MS } = this.#options
    this.#stopping = false
    this.defer(() => this.#under.settled())
    const failed = 'bulk operations could not be looked for; trying again'
    const loop = await this.use(
      new WatchLoop({ look: () => this.#look(), everyMs, spread: true, firstMs: 0, log, failed }),
    )
    this.defer(this.#bulk.onStarted(() => loop.lookIn(0)))
    this.defer(() => {
      this.#stopping = true
    })
  }

  async #look(): Promise<void> {
    const room = MOST_HELD - this.#held.size
    if (room <= 0 || this.#stopping) return
    const { clock } = this.#options.fleet.database
    for (const _id of await this.#bulk.free(clock.now(), room)) {
      const id = _id.toHexString()
      if (this.#held.has(id)) continue
      const taken = await this.#bulk.take(_id, randomUUID(), this.#holdMs)
      if (taken === null) continue
      this.#held.add(id)
      this.#under.add(this.#carryOut(taken).finally(() => this.#held.delete(id)))
    }
  }

  async #carryOut(taken: BulkDocument): Promise<void> {
    let now: BulkDocument | null = taken
    try {
      while (now !== null && now.endedAt === undefined && !this.#stopping) {
        const bulk: BulkDocument = now
        now = await this.#turns(() => this.#step(bulk))
      }
    } catch (error) {
      if (error instanceof TakenOver) return
      const bulk = taken._id.toHexString()
      this.#options.log.warn({ err: asError(error), bulk }, 'a part of a bulk operation failed; it will be repeated')
    }
    if (now !== null && now.endedAt === undefined) await this.#bulk.release(now)
  }

  /** Does the next part. Null if another has taken the operation over. */
  async #step(bulk: BulkDocument): Promise<BulkDocument | null> {
    if (bulk.state === 'stopping' && bulk.doing === undefined) return this.#end(bulk, 'stopped')
    if (bulk.next >= bulk.parts) return this.#end(bulk, 'completed')
    const principal = await this.#principal(bulk)
    if (principal === undefined) {
      const message = 'The key that started it is no longer valid or may no longer control tasks'
      return this.#end(bulk, 'failed', { code: 'FORBIDDEN', message })
    }
    const tasks = await this.#bulk.part(bulk._id, bulk.next)
    if (tasks === null) {
      return this.#end(bulk, 'failed', { code: 'NOT_FOUND', message: 'Its list of tasks has expired' })
    }
    return this.#part(bulk, tasks, principal)
  }

  async #part(bulk: BulkDocument, tasks: readonly BulkTask[], principal: Principal): Promise<BulkDocument | null> {
    const now = await this.#read(tasks.map(({ _id }) => _id))
    const begun = await this.#begin(bulk, now)
    if (begun === null) return null
    const seen = new Map(begun.doing!.map((one) => [one._id.toHexString(), one]))
    const part = { bulk: begun, principal, again: bulk.doing !== undefined }
    const result = { changed: [] as BulkTask[], unchanged: 0, refused: [] as PartResult['refused'][number][] }
    const limit = pLimit(TASKS_AT_A_TIME)
    const all = tasks.map((task) =>
      limit(async () => {
        const id = task._id.toHexString()
        const outcome = await this.#changeOne(part, task, now.get(id), seen.get(id))
        const { priority } = seen.get(id) ?? {}
        if (outcome === 'changed') result.changed.push({ _id: task._id, ...given({ priority }) })
        else if (outcome === 'unchanged') result.unchanged += 1
        else result.refused.push({ task: task._id, ...outcome })
      }),
    )
    // The other tasks are awaited as well: nothing of a part may be written after it was released.
    const failed = (await Promise.allSettled(all)).find(({ status }) => status === 'rejected')
    if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
    return this.#bulk.finish(begun, result, this.#holdMs)
  }

  /** Stores what the tasks were like, unless the part was begun before. From here on, others have not changed a task with this revision. */
  async #begin(bulk: BulkDocument, now: ReadonlyMap<string, LightTask>): Promise<BulkDocument | null> {
    if (bulk.doing !== undefined) return (await this.#bulk.keep(bulk, this.#holdMs)) ? bulk : null
    const changesPriority = bulk.command === 'reprioritise'
    const doing = [...now.values()].map(
      ({ _id, rev, status, basePriority }): SeenTask => ({
        ...{ _id, rev, status },
        ...(changesPriority ? { priority: basePriority } : {}),
      }),
    )
    return this.#bulk.begin(bulk, doing, this.#holdMs)
  }

  async #changeOne(
    { bulk, principal, again }: { bulk: BulkDocument; principal: Principal; again: boolean },
    item: BulkTask,
    found: LightTask | undefined,
    seen: SeenTask | undefined,
  ): Promise<Outcome> {
    const change = this.#changeOf(bulk, item)
    if ('code' in change) return change
    let task = found
    for (let tried = 1; ; tried += 1) {
      if (task === undefined || !reaches(principal, task)) {
        return { code: 'NOT_FOUND', message: 'The task no longer exists within the reach of the key' }
      }
      if (again && wasChanged(task, seen)) return 'changed'
      if (change.done(task)) return again && task.rev !== seen?.rev ? 'changed' : 'unchanged'
      if (!change.possible(task)) return refusalOf(bulk.command, task.status)
      if (tried > TRIES) return { code: 'REV_CONFLICT', message: 'It was changed in the meantime, again and again' }
      const refused = await this.#write(bulk, change, task, principal)
      if (refused !== undefined) return refused
      task = (await this.#read([item._id])).get(item._id.toHexString())
      // Read first, asked then: if this gateway still holds the operation, nobody else has carried out this task before the read.
      if (!(await this.#bulk.keep(bulk, this.#holdMs))) throw new TakenOver()
    }
  }

  /** The guarded write of one task. Undefined if the task was changed in the meantime. */
  async #write(
    { command, _id }: BulkDocument,
    change: TaskChange,
    task: LightTask,
    principal: Principal,
  ): Promise<Outcome | undefined> {
    // A running task gets a new revision with its progress, but a new attempt only with a claim.
    const { status, rev, attempt } = task
    const asRead = status === 'running' ? { status, attempt } : { rev }
    try {
      const whole = command === 'replay' ? await this.#options.fleet.store.find(task._id) : (task as TaskDocument)
      if (whole === null) return undefined
      const changed = await change.write(whole, { ...visibleTo(principal), $and: [asRead] })
      return changed === null ? undefined : 'changed'
    } catch (error) {
      if (isOutage(error)) throw error
      if (error instanceof FleetError) {
        // The part is repeated, and the new task is there already.
        if (command === 'replay' && error.code === 'TASK_EXISTS') return 'changed'
        return { code: error.code, message: error.message }
      }
      const where = { bulk: _id.toHexString(), task: task._id.toHexString() }
      this.#options.log.error({ err: asError(error), ...where }, 'a bulk operation could not change a task')
      return { code: 'INTERNAL', message: 'An unexpected error; it is in the log of the gateway' }
    }
  }

  /** The change of a task, or why there is none: what is stored may have been edited by hand. */
  #changeOf({ _id, command, by, reason, priority, position }: BulkDocument, item: BulkTask): TaskChange | TaskRefusal {
    const idOf = ({ _id: task }: TaskDocument): ObjectId => idFrom(_id, task)
    const options = given({ reason, position, priority: item.priority ?? priority })
    try {
      return taskChange(this.#options.fleet, command, { by, idOf, ...options })
    } catch (error) {
      if (error instanceof FleetError) return { code: error.code, message: error.message }
      throw error
    }
  }

  async #read(ids: readonly ObjectId[]): Promise<Map<string, LightTask>> {
    const found = await this.#options.fleet.tasks.find({ _id: { $in: [...ids] } }, { projection: LIGHT }).toArray()
    return new Map(found.map((task) => [task._id.toHexString(), task]))
  }

  /** The rights of the key now, within those that it had at the start. Undefined if it may not go on. */
  async #principal({ by, keyed, queues, names }: BulkDocument): Promise<Principal | undefined> {
    const current = keyed ? (await this.#keys.principals([by])).get(by) : { ...LOCAL, id: by }
    if (current === undefined) return undefined
    if (!current.scopes.includes('control') && !current.scopes.includes('admin')) return undefined
    return {
      id: by,
      scopes: current.scopes,
      ...given({ queues: both(queues, current.queues), names: both(names, current.names) }),
    }
  }

  /** The entry of the audit log comes first, under the id of the operation: if it is repeated, there is still one. */
  async #end(
    bulk: BulkDocument,
    state: 'stopped' | 'completed' | 'failed',
    error?: TaskRefusal,
  ): Promise<BulkDocument | null> {
    const { _id, by, command, sample, matched, changed, reason } = bulk
    if (!(await this.#bulk.keep(bulk, this.#holdMs))) return null
    await this.#options.fleet.audit.record({
      ...{ _id, by, action: command, target: _id.toHexString(), matched, changed },
      ...given({ reason, tasks: sample }),
    })
    return this.#bulk.end(bulk, state, error)
  }
}

/**
 * Whether a part that is repeated has changed a task before. The revision of a task that doesn't run changes only if somebody changes the
 * task, and between the beginning and the repetition of a part that is almost always the part itself.
 */
function wasChanged(now: LightTask, seen: SeenTask | undefined): boolean {
  return seen !== undefined && now.rev !== seen.rev && now.status !== 'running' && seen.status !== 'running'
}

function both(
  some: readonly string[] | undefined,
  others: readonly string[] | undefined,
): readonly string[] | undefined {
  if (some === undefined || others === undefined) return some ?? others
  return some.filter((one) => others.includes(one))
}

/** The id of the task that an operation makes from another: always the same, and with the time of the operation, as sorts by `_id` expect. */
function idFrom(bulk: ObjectId, task: ObjectId): ObjectId {
  const own = createHash('sha256').update(`${bulk.toHexString()} ${task.toHexString()}`).digest('hex').slice(0, 16)
  return new driver.ObjectId(bulk.toHexString().slice(0, 8) + own)
}
