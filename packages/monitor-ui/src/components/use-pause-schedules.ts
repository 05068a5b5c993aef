import type { ScheduleRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import type { ToastText } from '../shell/ui-store.ts'
import { countOf } from '../view/counts.ts'
import { visibleLine } from '../view/text.ts'

export type PauseAction = 'pause' | 'resume'

/** Pauses or resumes schedules at once; its toast takes that back. */
export function usePauseSchedules() {
  const client = useFleetClient()
  return async function change(action: PauseAction, schedules: readonly ScheduleRow[]): Promise<ToastText> {
    const results = await Promise.allSettled(schedules.map(({ _id }) => client.schedules[action]({ name: _id })))
    const refused = results.find((result) => result.status === 'rejected')
    if (refused !== undefined) throw refused.reason
    const [only] = schedules
    const isOne = schedules.length === 1 && only !== undefined
    const subject = isOne ? `${visibleLine(only._id, 60)} is` : `${countOf(schedules.length, 'schedule')} are`
    const undo = () => change(action === 'pause' ? 'resume' : 'pause', schedules)
    return { text: `${subject} ${action === 'pause' ? 'paused' : 'resumed'}`, undo }
  }
}
