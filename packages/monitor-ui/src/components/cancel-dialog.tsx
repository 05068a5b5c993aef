import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useUi } from '../shell/ui-context.ts'
import { taskTitle } from '../view/task-title.ts'
import { ConfirmDialog } from './confirm-dialog.tsx'
import { Foreign } from './foreign.tsx'

/** Asks once more, and for a reason if there is one, before a task is stopped for good. */
export function CancelDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const cancel = async (reason: { reason?: string }) => {
    const { refused } = await client.tasks.cancel({ id: task._id, ...reason })
    for (const { error } of refused) throw new Error(error.message)
    toast({ kind: 'good', text: `Asked to cancel ${taskTitle(task)}` })
  }
  return (
    <ConfirmDialog title="Cancel this task?" confirm="Stop it" asksReason run={cancel} onClose={onClose}>
      <Foreign text={taskTitle(task)} className="font-medium" />{' '}
      {task.status === 'running'
        ? 'is running. It is stopped where it runs and won’t start again.'
        : 'won’t start any more.'}
    </ConfirmDialog>
  )
}
