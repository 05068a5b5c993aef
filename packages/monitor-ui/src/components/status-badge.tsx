import type { TaskRow } from '@taskfleet/protocol'
import { STATUS_LOOK } from '../view/status.ts'
import { LookMark } from './look-mark.tsx'

interface Props {
  task: Pick<TaskRow, 'status' | 'control'>
  iconOnly?: boolean
}

export function StatusBadge({ task: { status, control }, iconOnly = false }: Props) {
  const look = STATUS_LOOK[status]
  const asked = status === 'running' ? control?.action : undefined
  const label = asked === 'cancel' ? 'Cancelling' : 'Pausing'
  return <LookMark look={asked === undefined ? look : { ...look, label, tone: 'text-warn' }} iconOnly={iconOnly} />
}
