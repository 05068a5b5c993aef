import { FleetError, hasEnded, IF_FAILED, type IfFailed } from '@taskfleet/protocol'
import type { NewTask } from './new-task.ts'
import type { ObjectId, TaskDocument, TaskError } from './task-document.ts'

/** What a task is waiting for, as its document has it. */
export type Dependant = Pick<TaskDocument, '_id' | 'after' | 'ifFailed' | 'predecessors' | 'attempt'>
/** What is read of the tasks that others wait for. */
export type Predecessor = Pick<TaskDocument, '_id' | 'status' | 'rev'>

/** How a predecessor stands. `removed`: there is no such task any more, and nobody saw it complete. */
type Standing = 'open' | 'completed' | 'failed' | 'cancelled' | 'removed'

export interface Standpoint {
  id: ObjectId
  standing: Standing
  /** The revision in which it stands so; 0 when it is removed. */
  rev: number
}

/** What a blocked task does now; null to stay blocked. */
export type Decision = { verb: 'unblock' } | { verb: 'abandon' | 'skip'; because: Standpoint } | null

/** The ids in `after`, in order. One id is stored bare, several as a list. */
export function predecessorsOf({ after }: Pick<Dependant, 'after'>): ObjectId[] {
  if (after === undefined || after === null) return []
  return Array.isArray(after) ? after : [after]
}

/** As it is stored: bare when there is one, so that whoever knows single ids only reads it as ever. */
export const afterOf = (ids: readonly ObjectId[]): ObjectId | ObjectId[] => (ids.length === 1 ? ids[0]! : [...ids])

/** What is not one of the four, since somebody wrote it by hand, counts as the default. */
export const ifFailedOf = ({ ifFailed }: Pick<Dependant, 'ifFailed'>): IfFailed =>
  IF_FAILED.find((one) => one === ifFailed) ?? 'fail'

/**
 * How each predecessor of a task stands.
 *
 * @param found the predecessors that are stored, by their ids as text
 */
export function standpoints(task: Dependant, found: ReadonlyMap<string, Predecessor>): Standpoint[] {
  // Retention may have removed one since it completed.
  const completed = new Set(task.predecessors?.completed.map(String))
  // Stored before this was kept: what has run was let go by all of them.
  const old = task.predecessors === undefined && task.attempt > 0
  return predecessorsOf(task).map((id) => {
    const there = found.get(String(id))
    if (completed.has(String(id))) return { id, standing: 'completed', rev: there?.rev ?? 0 }
    if (there === undefined) return { id, standing: old ? 'completed' : 'removed', rev: 0 }
    const { status, rev } = there
    return { id, standing: hasEnded(status) ? (status as Standing) : 'open', rev }
  })
}

/** Whether it has ended, or is removed, without having completed. */
export const isOver = ({ standing }: Standpoint): boolean => standing !== 'open' && standing !== 'completed'

/** What a blocked task does, given how its predecessors stand. */
export function decide(task: Dependant, now: readonly Standpoint[]): Decision {
  const ifFailed = ifFailedOf(task)
  if (ifFailed === 'run') return now.some(({ standing }) => standing === 'open') ? null : { verb: 'unblock' }
  const because = now.find((one) => isOver(one) && !isForgiven(task, one))
  if (because !== undefined && ifFailed !== 'wait') {
    return { verb: ifFailed === 'cancel' ? 'skip' : 'abandon', because }
  }
  return isMet(task, now) ? { verb: 'unblock' } : null
}

/** Whether nothing keeps the task from running. */
export function isMet(task: Dependant, now: readonly Standpoint[]): boolean {
  const run = ifFailedOf(task) === 'run'
  return now.every((one) => one.standing === 'completed' || (run && isOver(one)))
}

/** Whoever retries a task after its predecessor failed means it to wait for that one's retry; a later failure counts. */
export function isForgiven(task: Dependant, { id, rev }: Standpoint): boolean {
  const forgiven = task.predecessors?.forgiven.find((one) => String(one.id) === String(id))
  return forgiven !== undefined && rev <= forgiven.rev
}

export type Known = NonNullable<TaskDocument['predecessors']>

/** What is stored of predecessors beside `after`: who has completed, and whose end no longer counts. */
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
  removed: 'is removed',
}

/** The error of a task that ends because of a predecessor. */
export function predecessorFailed({ id, standing }: Standpoint): TaskError {
  return {
    code: 'PREDECESSOR_FAILED',
    name: 'FleetError',
    message: `The task ${String(id)}, which this one waits for, ${BECAME[standing]}`,
    fingerprint: 'predecessor_failed',
  }
}

export const cycleError = (id: ObjectId): FleetError =>
  new FleetError(
    'DEPENDENCY_CYCLE',
    `The task ${String(id)} would wait for itself: leave out of 'after' what waits for it, directly or through others`,
    { field: 'after' },
  )

/** @throws {FleetError} `DEPENDENCY_CYCLE` when new tasks wait for each other in a circle, or one for itself */
export function refuseCycles(tasks: readonly Pick<NewTask, '_id' | 'after'>[]): void {
  const waits = new Map(
    tasks
      .filter(({ after }) => after !== undefined)
      .map((task) => [String(task._id), predecessorsOf(task).map(String)]),
  )
  // Those that wait for none of the others are taken away until nothing changes; what is left waits in a circle.
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
