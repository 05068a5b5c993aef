import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { taskTitle } from '../view/task-title.ts'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { Foreign } from './foreign.tsx'

/** Asks for a confirmation before a task is cancelled for good. */
export function CancelDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const title = taskTitle(task)
  const cancel = async (reason: { reason?: string }) => {
    const { refused } = await client.tasks.cancel({ id: task._id, ...reason })
    for (const { error } of refused) throw new Error(error.message)
    return `Requested to cancel ${title}`
  }
  return (
    <ConfirmDialog title="Cancel this task?" confirm="Stop it" asksReason run={cancel} onClose={onClose}>
      <Foreign text={title} className="font-medium" />{' '}
      {task.status === 'running' ? 'is running. It is stopped and won’t start again.' : 'won’t start any more.'}
    </ConfirmDialog>
  )
}
