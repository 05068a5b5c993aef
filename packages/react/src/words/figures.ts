import { type Progress, type TaskRow, taskLabels } from '@taskfleet/protocol'
import { formatAmount, formatBytes, formatDuration } from './amounts.ts'

/** The title of a task; without one the name of its handler. Foreign text, to be shown with `visibleLine`. */
export const taskTitle = ({ title, name }: Pick<TaskRow, 'title' | 'name'>): string => title ?? name

/** The done part and the total, in the task's unit. */
export function progressText(progress: Progress | undefined): string {
  if (progress === undefined) return ''
  const { done, total, unit } = progress
  if (done === undefined) return ''
  return total === undefined ? formatAmount(done, unit) : `${formatAmount(done, unit)} / ${formatAmount(total, unit)}`
}

/** The done part of an ended task: all of it if it completed, even if its last report shows less. */
export function endedText({ status, progress }: Pick<TaskRow, 'status' | 'progress'>): string {
  if (status !== 'completed') return progressText(progress)
  const amount = progress?.total ?? progress?.done
  return amount === undefined ? '' : formatAmount(amount, progress?.unit)
}

/** A rate in the task's unit; empty for tasks without one. */
export function rateText(rate: number | undefined, progress: Progress | undefined): string {
  if (rate === undefined || progress?.done === undefined) return ''
  if (progress.unit === 'bytes') return `${formatBytes(rate)}/s`
  return `${formatAmount(rate, progress.unit)}/s`
}

export function leftText(secondsLeft: number | undefined): string {
  return secondsLeft === undefined ? '' : `${formatDuration(secondsLeft * 1_000)} left`
}

/** Why or until when a task waits, in a few words. */
export function waitText(task: TaskRow, now: number): string {
  const ahead = Date.parse(task.runAt) - now
  if (task.status === 'blocked') return 'after another task'
  if (task.status === 'paused') return 'paused'
  const labels = taskLabels(task, now)
  if (ahead > 0) return `${labels.includes('retrying') ? 'retry in' : 'in'} ${formatDuration(ahead)}`
  return labels.includes('retrying') ? 'retry due' : ''
}
