import type { TaskRow } from '@taskfleet/protocol'
import { STATUS_LOOK } from '../view/status.ts'

/** A status by icon, colour and word, so that none of them carries it alone. */
export function StatusBadge({
  task,
  iconOnly = false,
}: {
  task: Pick<TaskRow, 'status' | 'control'>
  iconOnly?: boolean
}) {
  const { icon: Icon, label, tone } = STATUS_LOOK[task.status]
  const asked = task.status === 'running' ? task.control?.action : undefined
  const text = asked === 'cancel' ? 'Cancelling' : asked === 'pause' ? 'Pausing' : label
  return (
    <span className={`inline-flex items-center gap-1.5 font-medium ${asked === undefined ? tone : 'text-warn'}`}>
      <Icon size={14} strokeWidth={2.2} aria-hidden className="shrink-0" />
      <span className={iconOnly ? 'sr-only' : undefined}>{text}</span>
    </span>
  )
}
