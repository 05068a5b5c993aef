import type { QueueRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import type { ToastText } from '../shell/ui-store.ts'
import { visibleLine } from '../view/text.ts'
import type { PauseAction } from './use-pause-schedules.ts'

/** Pauses or resumes a queue at once; its toast takes that back, with the reason that the queue was paused for. */
export function usePauseQueue() {
  const client = useFleetClient()
  return async function change(action: PauseAction, name: string, settings?: QueueRow): Promise<ToastText> {
    const reason = action === 'resume' ? settings?.reason : undefined
    await client.queues[action]({ name })
    const undo = async () => {
      if (action === 'pause') return change('resume', name)
      await client.queues.pause({ name, ...(reason !== undefined && { reason }) })
      return `The queue ${visibleLine(name, 60)} is paused again`
    }
    return { text: `The queue ${visibleLine(name, 60)} is ${action === 'pause' ? 'paused' : 'resumed'}`, undo }
  }
}
