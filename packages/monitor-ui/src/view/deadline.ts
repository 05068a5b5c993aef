import { hasEnded, type TaskRow } from '@taskfleet/protocol'
import { formatDuration } from './format.ts'

/** The state of a task's deadline. */
export type DeadlineState = 'ahead' | 'at-risk' | 'missed' | 'met'

type Dated = Pick<TaskRow, 'status' | 'priority'> &
  Partial<Pick<TaskRow, 'deadline' | 'raiseAt' | 'deadlineMissedAt' | 'basePriority' | 'finishedAt'>>

/**
 * `undefined` without a deadline.
 * @param now the server's time in milliseconds
 */
export function deadlineState(task: Dated, now: number): DeadlineState | undefined {
  const { deadline, raiseAt, deadlineMissedAt, finishedAt, status } = task
  if (deadlineMissedAt !== undefined) return 'missed'
  if (deadline === undefined) return undefined
  const at = Date.parse(deadline)
  const until = hasEnded(status) && finishedAt !== undefined ? Date.parse(finishedAt) : now
  if (until > at) return 'missed'
  if (hasEnded(status)) return 'met'
  // It was already raised, so its next raise is at the deadline itself.
  const raised = task.basePriority !== undefined && task.priority > task.basePriority
  const near = raiseAt !== undefined && (Date.parse(raiseAt) <= now || Date.parse(raiseAt) === at)
  return raised || near ? 'at-risk' : 'ahead'
}

/** `in 3 m 05 s`, `missed by 2 h 00 m`. */
export function deadlineText(task: Dated, now: number): string {
  const state = deadlineState(task, now)
  if (state === undefined) return ''
  const { deadline, finishedAt, status } = task
  if (deadline === undefined) return 'missed'
  const ended = hasEnded(status)
  const until = ended && finishedAt !== undefined ? Date.parse(finishedAt) : now
  const left = Date.parse(deadline) - until
  if (state === 'missed') return `missed by ${formatDuration(Math.max(0, -left))}`
  return ended ? `met with ${formatDuration(left)} to spare` : `in ${formatDuration(left)}`
}
