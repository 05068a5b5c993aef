import { useNavigate } from '@tanstack/react-router'
import { OPERATIONS, type TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useState } from 'react'
import { RequestForm, request } from '../form/request-form.tsx'
import { taskTitle } from '../view/task-title.ts'
import { Foreign } from './foreign.tsx'

/** Makes a new task from an ended one. The input can be edited. */
export function ReplayDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const navigate = useNavigate()
  const [value] = useState({ input: task.input ?? null })
  const replay = request(OPERATIONS.tasks.replay.request, async (wanted) => {
    const { tasks, refused } = await client.tasks.replay(wanted)
    for (const { error } of refused) throw Object.assign(new Error(error.message), error)
    const [made] = tasks ?? []
    if (made !== undefined) await navigate({ to: '/tasks/$id', params: { id: made } })
    return { text: `Replayed ${taskTitle(task)}`, ...(made !== undefined && { task: made }) }
  })
  return (
    <RequestForm
      title="Replay this task?"
      action="Replay"
      request={replay}
      value={value}
      edits
      always
      known={{ id: task._id }}
      places={{ input: { hint: '', rows: 12 } }}
      hide={['ids', 'filter', 'dryRun', 'reason']}
      onClose={onClose}
    >
      <p className="sm:col-span-6">
        Makes a new task from <Foreign text={taskTitle(task)} className="font-medium" />. This one stays as it is.
      </p>
    </RequestForm>
  )
}
