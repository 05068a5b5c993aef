import type { Progress, TaskRow } from '@taskfleet/protocol'
import { formatAmount, formatBytes, formatDuration } from '../view/format.ts'

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

export function Amount({ progress, className }: { progress: Progress | undefined; className?: string }) {
  return (
    <span data-testid="task-bytes" className={className}>
      {progressText(progress)}
    </span>
  )
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
