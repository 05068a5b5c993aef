import type { PriorityName } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useRef } from 'react'
import { useUi } from '../shell/ui-context.ts'
import { EMPTY_FORM, enqueueRequest, fieldOf, formErrors, type NewTaskMode } from '../view/new-task.ts'
import { fileOfUrl, taskTitle } from '../view/task-title.ts'
import { withId } from '../view/with-id.ts'
import { AfterFields } from './after-fields.tsx'
import { FormDialog } from './form-dialog.tsx'
import { JsonField, SelectField, TextField } from './form-fields.tsx'
import { useForm } from './use-form.ts'

const MODES: Record<NewTaskMode, string> = { download: 'Download', any: 'Any task' }
const PRIORITIES: PriorityName[] = ['low', 'medium', 'high']

export function NewTaskDialog({ onClose }: { onClose: () => void }) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const sent = useRef({ content: '', _id: '' })
  const state = useForm(
    EMPTY_FORM,
    formErrors,
    async (filled) => {
      const task = await client.tasks.enqueue(withId(enqueueRequest(filled), sent.current))
      toast({ kind: 'good', text: `Queued ${taskTitle(task)}`, task: task._id })
      onClose()
    },
    (path, { mode }) => fieldOf(path, mode),
  )
  const { form, reset } = state
  return (
    <FormDialog
      {...state}
      title="New task"
      action={form.mode === 'download' ? 'Start download' : 'Enqueue'}
      onClose={onClose}
    >
      <div role="tablist" aria-label="Kind of task" className="mb-1 flex gap-1 rounded-lg bg-raised p-1 sm:col-span-6">
        {(Object.keys(MODES) as NewTaskMode[]).map((mode) => (
          <button
            key={mode}
            type="button"
            role="tab"
            aria-selected={form.mode === mode}
            className={`flex-1 rounded-md px-3 py-1.5 font-medium ${form.mode === mode ? 'bg-panel shadow-sm' : 'text-dim hover:text-text'}`}
            onClick={() => reset({ ...form, mode })}
          >
            {MODES[mode]}
          </button>
        ))}
      </div>
      {form.mode === 'download' ? (
        <>
          <TextField
            {...state}
            name="url"
            label="URL"
            required
            first
            placeholder="https://…"
            inputMode="url"
            className="sm:col-span-6"
          />
          <TextField
            {...state}
            name="file"
            label="File name"
            placeholder={fileOfUrl(form.url.trim()) ?? 'taken from the URL'}
            className="sm:col-span-6"
          />
          <TextField
            {...state}
            name="sha256"
            label="SHA-256"
            hint="checked when it is there"
            font="font-mono text-xs"
            className="sm:col-span-6"
          />
        </>
      ) : (
        <>
          <TextField {...state} name="name" label="Name" required className="sm:col-span-4" />
          <TextField {...state} name="version" label="Version" inputMode="numeric" className="sm:col-span-2" />
          <JsonField {...state} name="input" label="Input (JSON)" rows={6} />
        </>
      )}
      <SelectField {...state} name="priority" label="Priority" className="sm:col-span-2">
        {PRIORITIES.map((name) => (
          <option key={name} value={name}>
            {name[0]?.toUpperCase() + name.slice(1)}
          </option>
        ))}
      </SelectField>
      <SelectField {...state} name="position" label="Position" className="sm:col-span-2">
        <option value="back">Back of its priority</option>
        <option value="front">Front of its priority</option>
      </SelectField>
      <TextField {...state} name="queue" label="Queue" placeholder="default" className="sm:col-span-2" />
      <TextField
        {...state}
        name="runAt"
        label="Run at"
        hint="your local time; now if empty"
        type="datetime-local"
        className="sm:col-span-6"
      />
      <AfterFields {...state} />
    </FormDialog>
  )
}
