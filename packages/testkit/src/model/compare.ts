import type { TaskDocument } from '@taskfleet/core'
import { ifFailedOf, predecessorsOf, TRANSITIONS } from '@taskfleet/core/internal'
import { hasEnded, type TaskStatus } from '@taskfleet/protocol'
import { expect } from 'vitest'
import { checkInvariants } from '../describe-task-store.ts'
import type { ModelTask } from './model-task.ts'
import { MINUTE } from './operations.ts'

/** Dates are compared with the model's minutes; a run takes far less than this. */
const ROUGHLY_MS = 0.75 * MINUTE
const ARROWS = new Set(Object.values(TRANSITIONS).flatMap(({ from, to }) => from.map((status) => `${status} → ${to}`)))

/** Checks that a task matches the model, and is unchanged if nothing was written. */
export function compare(task: ModelTask, before: TaskDocument | null, now: TaskDocument | null, steps: number): void {
  if (task.gone) {
    expect(now, 'it was removed').toBeNull()
    return
  }
  if (now === null) throw new Error('a stored task is lost')
  if (!task.written) expect(now, 'what does not apply changes nothing').toEqual(before)
  expect(seen(now)).toEqual(believed(task))
  expect(leaseSeen(now), 'lease').toEqual(leaseBelieved(task))
  checkDate('runAt', now.runAt, task.runAt, task.now)
  checkDate('deadline', now.deadline, task.deadline, task.now)
  checkDate('raiseAt', now.raiseAt, task.raiseAt, task.now)
  if (hasEnded(now.status) && !task.corrupt)
    expect(now.expireAt, 'an ended task is forgotten some day').toBeInstanceOf(Date)
  if (before !== null) checkStep(before, now, steps)
  checkInvariants(now)
}

function seen(now: TaskDocument): Record<string, unknown> {
  const { status, attempt, failures, lost, maxAttempts, basePriority, queue, input, output, checkpoint, key, rev } = now
  return {
    ...{ status, attempt, failures, lost, maxAttempts, basePriority, queue, input, output, checkpoint, key, rev },
    priority: typeof now.priority === 'number' ? now.priority : 'corrupt',
    outcomes: now.attempts.map(({ outcome }) => outcome),
    checkpointAttempt: now.checkpointAttempt,
    progress: now.progress?.ratio,
    control: now.control?.action,
    missed: now.deadlineMissedAt !== undefined,
    error: now.error?.code,
    after: predecessorsOf(now).map(String),
    ifFailed: ifFailedOf(now),
  }
}

function believed(task: ModelTask): Record<string, unknown> {
  const { status, attempt, failures, lost, maxAttempts, basePriority, queue, input, output, checkpoint, key, rev } =
    task
  return {
    ...{ status, attempt, failures, lost, maxAttempts, basePriority, queue, input, output, checkpoint, key, rev },
    priority: task.corrupt ? 'corrupt' : task.priority,
    outcomes: task.outcomes,
    checkpointAttempt: task.checkpointAttempt,
    progress: task.progress,
    control: task.control,
    missed: task.missed,
    error: task.errorCode,
    after: task.after.map(({ id }) => String(id)),
    ifFailed: task.ifFailed,
  }
}

const leaseSeen = ({ lease, attempts }: TaskDocument) => ({ id: lease?.id, all: attempts.map((one) => one.lease) })
const leaseBelieved = ({ status, leases }: ModelTask) => ({
  id: status === 'running' ? leases.at(-1) : undefined,
  all: leases,
})

function checkDate(field: string, date: Date | undefined, minute: number | undefined, now: number): void {
  expect(date !== undefined, `${field} is there`).toBe(minute !== undefined)
  if (date === undefined || minute === undefined) return
  const wanted = Date.now() + (minute - now) * MINUTE
  expect(Math.abs(date.getTime() - wanted), `${field} is ${date.toISOString()}`).toBeLessThan(ROUGHLY_MS)
}

/** Checks that between two comparisons a task followed the table's transitions, and its past did not change. */
function checkStep(before: TaskDocument, now: TaskDocument, steps: number): void {
  const arrow = (from: TaskStatus, to: TaskStatus): boolean => from === to || ARROWS.has(`${from} → ${to}`)
  if (steps === 1) expect(arrow(before.status, now.status), `${before.status} → ${now.status}`).toBe(true)
  expect(now.rev, 'rev never decreases').toBeGreaterThanOrEqual(before.rev)
  expect(now.attempt, 'attempt never decreases').toBeGreaterThanOrEqual(before.attempt)
  const closed = before.attempts.filter(({ endedAt }) => endedAt !== undefined)
  expect(
    now.attempts.slice(0, closed.length).map(({ n, lease, outcome }) => ({ n, lease, outcome })),
    'a closed attempt stays as it was',
  ).toEqual(closed.map(({ n, lease, outcome }) => ({ n, lease, outcome })))
  if (before.status === 'completed') expect(now.status, 'completed is for good').toBe('completed')
}
