import type { TaskRow } from '@taskfleet/protocol'
import { deadlineState, deadlineText } from '../view/deadline.ts'

/** Shown only if a deadline is near or was missed. */
export function DeadlineLabel({ task, now }: { task: TaskRow; now: number }) {
  const state = deadlineState(task, now)
  if (state !== 'missed' && state !== 'at-risk') return null
  const missed = state === 'missed'
  return (
    <span
      className={`shrink-0 whitespace-nowrap ${missed ? 'text-bad' : 'text-warn'}`}
      title={`Deadline ${deadlineText(task, now)}`}
    >
      {missed ? 'overdue' : 'at risk'}
    </span>
  )
}
