import { useNavigate } from '@tanstack/react-router'
import type { TaskRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useState } from 'react'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import { jsonError } from '../view/checks.ts'
import { taskTitle } from '../view/task-title.ts'
import { editableJson } from '../view/text.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Foreign } from './foreign.tsx'
import { Problem } from './notes.tsx'

/** Makes a new task from an ended one, with its input as it was or as it is edited here. */
export function ReplayDialog({ task, onClose }: { task: TaskRow; onClose: () => void }) {
  const client = useFleetClient()
  const navigate = useNavigate()
  const toast = useUi((ui) => ui.toast)
  const [before] = useState(() => editableJson(task.input ?? null))
  const [input, setInput] = useState(before)
  const [errors, setErrors] = useState<{ input?: string }>({})
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)

  const replay = async () => {
    const wrong = input === before ? undefined : jsonError(input)
    if (wrong !== undefined) return setErrors({ input: wrong })
    setBusy(true)
    setProblem(undefined)
    try {
      const { tasks, refused } = await client.tasks.replay(
        input === before ? { id: task._id } : { id: task._id, input: JSON.parse(input) },
      )
      const [made] = tasks ?? []
      const [first] = refused
      if (first !== undefined) return setProblem(first.error.message)
      toast({ kind: 'good', text: `Replayed ${taskTitle(task)}`, ...(made !== undefined && { task: made }) })
      onClose()
      if (made !== undefined) await navigate({ to: '/tasks/$id', params: { id: made } })
    } catch (thrown) {
      const { field, message } = wireError(thrown)
      if (field?.split('.')[0] === 'input') setErrors({ input: message })
      else setProblem(message)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog title="Replay this task?" onClose={onClose}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) void replay()
        }}
      >
        <p className="mb-3">
          A new task is made from <Foreign text={taskTitle(task)} className="font-medium" />; this one stays as it is.
        </p>
        <Field name="input" label="Input (JSON)" errors={errors}>
          {(props) => (
            <textarea
              {...props}
              data-autofocus
              rows={12}
              spellCheck={false}
              className="field w-full font-mono text-xs"
              value={input}
              onChange={(event) => {
                setInput(event.target.value)
                setErrors({})
              }}
            />
          )}
        </Field>
        <Problem text={problem} />
        <div className="mt-4 flex flex-wrap justify-end gap-2">
          {input !== before && (
            <button type="button" className="button mr-auto" onClick={() => setInput(before)}>
              As it was
            </button>
          )}
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            {input === before ? 'Replay' : 'Replay with this input'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
