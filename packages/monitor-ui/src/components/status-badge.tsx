import type { TaskRow } from '@taskfleet/protocol'
import { stateWord } from '@taskfleet/react/internal'
import { STATUS_LOOK } from '../view/status.ts'
import { LookMark } from './look-mark.tsx'

interface Props {
  task: Pick<TaskRow, 'status' | 'control'>
  iconOnly?: boolean
}

export function StatusBadge({ task, iconOnly = false }: Props) {
  const look = STATUS_LOOK[task.status]
  const isAsked = task.status === 'running' && task.control !== undefined
  const tone = isAsked ? 'text-warn' : look.tone
  return <LookMark look={{ ...look, label: stateWord(task), tone }} iconOnly={iconOnly} />
}
