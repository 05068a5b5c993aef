import { FleetError, type TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import type { Dependants } from './dependants.ts'
import { afterOf, cycleError, type Dependant, isForgiven, isMet, known, predecessorsOf } from './dependencies.ts'
import * as dependencyUpdates from './dependency-updates.ts'
import { TRANSITIONS, WAITING_STATUSES } from './lifecycle.ts'
import type { Changes } from './new-task.ts'
import type { ObjectId, TaskDocument } from './task-document.ts'
import type { Within } from './task-store.ts'

type Tasks = mongo.Collection<TaskDocument>

/** If more connected tasks than this would have to be checked, an edit is rejected. */
const MOST_LOOKED_AT = 10_000

/** An edit of what a waiting task waits for. */
export interface DependencyEdit {
  id: ObjectId
  changes: Changes
  rev: number | undefined
  within: Within
  /** The pipeline for all other fields. */
  update: mongo.Document[]
}

interface EditDeps {
  client: mongo.MongoClient
  tasks: Tasks
  /** Holds the document that makes edits of `after` run one after another. */
  settings: mongo.Collection<{ _id: string; edits: number }>
  dependants: Dependants
}

const LOCK = { _id: 'dependencies' }

/**
 * Changes what a task waits for. Two edits at the same time could close a cycle that neither of them sees. So edits of
 * `after` run one after another in the whole fleet: each writes the same document within its transaction.
 *
 * @returns null when the task isn't waiting, or its revision isn't `rev`
 * @throws {FleetError} `NOT_FOUND`, `DEPENDENCY_CYCLE`, `BAD_VALUE`
 */
export async function editDependencies(edit: DependencyEdit, deps: EditDeps): Promise<TaskDocument | null> {
  const { client, settings } = deps
  // Created outside the transaction: two transactions that create it at the same time would conflict.
  await settings.updateOne(LOCK, { $setOnInsert: { edits: 0 } }, { upsert: true }).catch((error: unknown) => {
    if ((error as { code?: number }).code !== 11_000) throw error
  })
  return client.withSession((session) =>
    session.withTransaction(async () => {
      await settings.updateOne(LOCK, { $inc: { edits: 1 } }, { session })
      return write(edit, deps, session)
    }),
  )
}

async function write(
  { id, changes, rev, update, within }: DependencyEdit,
  { tasks, dependants }: EditDeps,
  session: mongo.ClientSession,
): Promise<TaskDocument | null> {
  const waiting = { _id: id, status: { $in: [...WAITING_STATUSES] }, ...within } as mongo.Filter<TaskDocument>
  const task = await tasks.findOne(waiting, { session })
  if (task === null || (rev !== undefined && rev !== task.rev)) return null
  const after = changes.after ?? predecessorsOf(task)
  if (after.length === 0 && changes.ifFailed !== undefined) {
    throw new FleetError('BAD_VALUE', "'ifFailed' needs 'after': it sets what happens when one of those tasks fails", {
      field: 'ifFailed',
    })
  }
  const ifFailed = changes.ifFailed ?? task.ifFailed
  const wanted = {
    ...task,
    ...(after.length === 0 ? {} : { after: afterOf(after) }),
    ...given({ ifFailed }),
  }
  if (changes.after !== undefined) await refuseUnfit(id, after, { tasks, dependants }, session)
  const now = after.length === 0 ? [] : await dependants.standpoints(wanted, session)
  const forgiven = now.filter((one) => isForgiven(task, one))
  const status = statusOf(task.status, isMet(wanted, now))
  const stages = dependencyUpdates.waitFor({ after, ifFailed, known: known(now, forgiven), status })
  return tasks.findOneAndUpdate({ _id: id, status: task.status, rev: task.rev }, [...update, ...stages], {
    session,
    returnDocument: 'after',
  })
}

/** A paused task stays paused. Its predecessors are checked when it is resumed. */
function statusOf(before: TaskStatus, met: boolean): TaskStatus {
  if (before === 'paused') return before
  return met ? TRANSITIONS.unblock.to : TRANSITIONS.block.to
}

/** @throws {FleetError} `NOT_FOUND`, `DEPENDENCY_CYCLE` */
async function refuseUnfit(
  id: ObjectId,
  after: readonly ObjectId[],
  { tasks, dependants }: Pick<EditDeps, 'tasks' | 'dependants'>,
  session: mongo.ClientSession,
): Promise<void> {
  if (after.some((one) => one.equals(id))) throw cycleError(id)
  if (after.length === 0) return
  const there = await dependants.predecessors([{ _id: id, after: [...after], attempt: 0 } as Dependant], session)
  const missing = after.find((one) => !there.has(String(one)))
  if (missing !== undefined) throw notFound(missing)
  await refuseCycle(id, after, tasks, session)
}

export const notFound = (id: ObjectId): FleetError =>
  new FleetError('NOT_FOUND', `There is no task ${String(id)} to wait for`, { field: 'after' })

/**
 * Searches from both ends at once: through the predecessors and through the successors of the task. Usually one of the two
 * searches ends soon. Completed tasks are skipped, since they wait for nothing. Failed tasks may be retried and wait again.
 *
 * @throws {FleetError} `DEPENDENCY_CYCLE`; `OUT_OF_RANGE` when too many tasks are connected
 */
export async function refuseCycle(
  id: ObjectId,
  after: readonly ObjectId[],
  tasks: Tasks,
  session?: mongo.ClientSession,
): Promise<void> {
  const within = session === undefined ? {} : { session }
  const open = { status: { $ne: 'completed' } } as const
  const before = new Set(after.map(String))
  const behind = new Set([String(id)])
  let up: readonly ObjectId[] = after
  let down: readonly ObjectId[] = [id]
  while (up.length > 0 && down.length > 0) {
    const earlier = await tasks
      .find({ _id: { $in: [...up] }, ...open }, { projection: { after: 1 }, ...within })
      .toArray()
    up = fresh(earlier.flatMap(predecessorsOf), before)
    if (up.some((one) => behind.has(String(one)))) throw cycleError(id)
    const later = await tasks
      .find({ after: { $in: [...down] }, ...open }, { projection: { _id: 1 }, ...within })
      .toArray()
    down = fresh(
      later.map(({ _id }) => _id),
      behind,
    )
    if (down.some((one) => before.has(String(one)))) throw cycleError(id)
    if (before.size + behind.size > MOST_LOOKED_AT) {
      throw new FleetError('OUT_OF_RANGE', `More than ${MOST_LOOKED_AT} tasks are connected by 'after'`, {
        field: 'after',
      })
    }
  }
}

/** Returns the ids that are not in `seen`, and adds them to it. */
function fresh(ids: readonly ObjectId[], seen: Set<string>): ObjectId[] {
  return ids.filter((id) => {
    if (seen.has(String(id))) return false
    seen.add(String(id))
    return true
  })
}
