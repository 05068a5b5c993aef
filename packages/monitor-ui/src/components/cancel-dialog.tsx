import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleText } from '../view/text.ts'
import { Dialog } from './dialog.tsx'
import { Foreign } from './foreign.tsx'

/** Asks once more, and for a reason if there is one, before a task is stopped for good. */
export function CancelDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const [reason, setReason] = useState('')
  const [error, setError] = useState<string>()
  const [busy, setBusy] = useState(false)

  const cancel = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const why = reason.trim()
      const { refused } = await client.tasks.cancel(why === '' ? { id: task._id } : { id: task._id, reason: why })
      const [first] = refused
      if (first !== undefined) {
        setError(first.error.message)
        return
      }
      toast({ kind: 'good', text: `Asked to cancel ${taskTitle(task)}` })
      onClose()
    } catch (thrown) {
      setError(wireError(thrown).message)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title="Cancel this task?" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void cancel()
        }}
      >
        <p className="mb-3">
          <Foreign text={taskTitle(task)} className="font-medium" />{' '}
          {task.status === 'running'
            ? 'is running. It is stopped where it runs and won’t start again.'
            : 'won’t start any more.'}
        </p>
        <label className="mb-4 block">
          <span className="mb-1 block text-dim">Reason (optional)</span>
          <input
            className="field w-full"
            value={reason}
            maxLength={200}
            onChange={(event) => setReason(event.target.value)}
          />
        </label>
        {error !== undefined && (
          <p role="alert" className="mb-3 text-bad">
            {visibleText(error, 500)}
          </p>
        )}
        <div className="flex flex-wrap justify-end gap-2">
          <button type="button" className="button" onClick={onClose}>
            Keep it
          </button>
          <button type="submit" className="button button-bad" disabled={busy}>
            Stop it
          </button>
        </div>
      </form>
    </Dialog>
  )
}
