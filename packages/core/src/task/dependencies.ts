import { FleetError, hasEnded, IF_FAILED, type IfFailed } from '@taskfleet/protocol'
import type { NewTask } from './new-task.ts'
import type { ObjectId, TaskDocument, TaskError } from './task-document.ts'

/** The fields of a task's document that say what it waits for. */
export type Dependant = Pick<TaskDocument, '_id' | 'after' | 'ifFailed' | 'predecessors' | 'attempt'>
/** The fields of a predecessor that are read. */
export type Predecessor = Pick<TaskDocument, '_id' | 'status' | 'rev'>

/** The state of a predecessor. `removed`: the task no longer exists, and it is not known to have completed. */
type Standing = 'open' | 'completed' | 'failed' | 'cancelled' | 'removed'

export interface Standpoint {
  id: ObjectId
  standing: Standing
  /** The revision that has this state; 0 for a removed task. */
  rev: number
}

/** The transition that a blocked task makes now; null if it stays blocked. */
export type Decision = { verb: 'unblock' } | { verb: 'abandon' | 'skip'; because: Standpoint } | null

/** The ids in `after`, in order. One id is stored bare, several as a list. */
export function predecessorsOf({ after }: Pick<Dependant, 'after'>): ObjectId[] {
  if (after === undefined || after === null) return []
  return Array.isArray(after) ? after : [after]
}

/** `after` as it is stored: a single id is stored bare, so that earlier versions, which know single ids only, can read it. */
export const afterOf = (ids: readonly ObjectId[]): ObjectId | ObjectId[] => (ids.length === 1 ? ids[0]! : [...ids])

/** A value that is none of the four, for example one that was written by hand, counts as the default. */
export const ifFailedOf = ({ ifFailed }: Pick<Dependant, 'ifFailed'>): IfFailed =>
  IF_FAILED.find((one) => one === ifFailed) ?? 'fail'

/**
 * Returns the state of each predecessor of a task.
 *
 * @param found the predecessors that are stored, by their ids as text
 */
export function standpoints(task: Dependant, found: ReadonlyMap<string, Predecessor>): Standpoint[] {
  // Retention may have removed a completed predecessor.
  const completed = new Set(task.predecessors?.completed.map(String))
  // An earlier version stored this task, without `predecessors`. If it has run, all its predecessors had completed.
  const old = task.predecessors === undefined && task.attempt > 0
  return predecessorsOf(task).map((id) => {
    const there = found.get(String(id))
    if (completed.has(String(id))) return { id, standing: 'completed', rev: there?.rev ?? 0 }
    if (there === undefined) return { id, standing: old ? 'completed' : 'removed', rev: 0 }
    const { status, rev } = there
    return { id, standing: hasEnded(status) ? (status as Standing) : 'open', rev }
  })
}

/** Whether a predecessor ended without completing, or was removed. */
export const isOver = ({ standing }: Standpoint): boolean => standing !== 'open' && standing !== 'completed'

/** Decides about a blocked task by the states of its predecessors. */
export function decide(task: Dependant, now: readonly Standpoint[]): Decision {
  const ifFailed = ifFailedOf(task)
  if (ifFailed === 'run') return now.some(({ standing }) => standing === 'open') ? null : { verb: 'unblock' }
  const because = now.find((one) => isOver(one) && !isForgiven(task, one))
  if (because !== undefined && ifFailed !== 'wait') {
    return { verb: ifFailed === 'cancel' ? 'skip' : 'abandon', because }
  }
  return isMet(task, now) ? { verb: 'unblock' } : null
}

/** Whether no predecessor keeps the task from running. */
export function isMet(task: Dependant, now: readonly Standpoint[]): boolean {
  const run = ifFailedOf(task) === 'run'
  return now.every((one) => one.standing === 'completed' || (run && isOver(one)))
}

/**
 * Whether a predecessor's failure is ignored. A task that is retried after its predecessor failed waits for the predecessor's
 * retry. If that retry fails too, the failure counts.
 */
export function isForgiven(task: Dependant, { id, rev }: Standpoint): boolean {
  const forgiven = task.predecessors?.forgiven.find((one) => String(one.id) === String(id))
  return forgiven !== undefined && rev <= forgiven.rev
}

export type Known = NonNullable<TaskDocument['predecessors']>

/** The value of `predecessors`: which of them have completed, and which failures are ignored. */
export function known(now: readonly Standpoint[], forgiven: readonly Standpoint[] = []): Known {
  return {
    completed: now.filter(({ standing }) => standing === 'completed').map(({ id }) => id),
    forgiven: forgiven.map(({ id, rev }) => ({ id, rev })),
  }
}

const BECAME: Record<Standing, string> = {
  open: 'is open',
  completed: 'has completed',
  failed: 'failed',
  cancelled: 'was cancelled',
  removed: 'was removed',
}

/** The error of a task that ends because of a predecessor. */
export function predecessorFailed({ id, standing }: Standpoint): TaskError {
  return {
    code: 'PREDECESSOR_FAILED',
    name: 'FleetError',
    message: `The task ${String(id)}, which this task waits for, ${BECAME[standing]}`,
    fingerprint: 'predecessor_failed',
  }
}

export const cycleError = (id: ObjectId): FleetError =>
  new FleetError(
    'DEPENDENCY_CYCLE',
    `The task ${String(id)} would wait for itself. Remove from 'after' the tasks that wait for it, directly or through others`,
    { field: 'after' },
  )

/** @throws {FleetError} `DEPENDENCY_CYCLE` when new tasks wait for each other in a cycle, or one for itself */
export function refuseCycles(tasks: readonly Pick<NewTask, '_id' | 'after'>[]): void {
  const waits = new Map(
    tasks
      .filter(({ after }) => after !== undefined)
      .map((task) => [String(task._id), predecessorsOf(task).map(String)]),
  )
  // Tasks that wait for no other are removed until nothing changes. The remaining tasks form a cycle.
  const waiters = new Map<string, string[]>()
  const open = new Map<string, number>()
  for (const [id, ids] of waits) {
    const within = ids.filter((one) => waits.has(one))
    open.set(id, within.length)
    for (const one of within) waiters.set(one, [...(waiters.get(one) ?? []), id])
  }
  const free = [...open].filter(([, count]) => count === 0).map(([id]) => id)
  for (let id = free.pop(); id !== undefined; id = free.pop()) {
    open.delete(id)
    for (const waiter of waiters.get(id) ?? []) {
      open.set(waiter, open.get(waiter)! - 1)
      if (open.get(waiter) === 0) free.push(waiter)
    }
  }
  const stuck = tasks.find(({ _id }) => open.has(String(_id)))
  if (stuck !== undefined) throw cycleError(stuck._id)
}
