import type { PriorityName } from '@taskfleet/core/protocol'
import { useRef, useState } from 'react'
import { useFleet } from '../live/hooks.ts'
import { wireError } from '../live/wire-error.ts'
import { useUi } from '../shell/ui-context.ts'
import {
  EMPTY_FORM,
  enqueueRequest,
  type FieldErrors,
  fieldOf,
  formErrors,
  type NewTaskField,
  type NewTaskForm,
  type NewTaskMode,
} from '../view/new-task.ts'
import { fileOfUrl, taskTitle } from '../view/task-title.ts'
import { visibleText } from '../view/text.ts'
import { withId } from '../view/with-id.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'

const MODES: Record<NewTaskMode, string> = { download: 'Download', any: 'Any task' }
const PRIORITIES: PriorityName[] = ['low', 'medium', 'high']

export function NewTaskDialog({ onClose }: { onClose: () => void }) {
  const store = useFleet()
  const toast = useUi((ui) => ui.toast)
  const [form, setForm] = useState<NewTaskForm>(EMPTY_FORM)
  const [errors, setErrors] = useState<FieldErrors>({})
  const [problem, setProblem] = useState<string>()
  const [busy, setBusy] = useState(false)
  const element = useRef<HTMLFormElement>(null)
  const sent = useRef({ content: '', _id: '' })

  const set = <F extends NewTaskField>(field: F, value: NewTaskForm[F]) => {
    setForm((before) => ({ ...before, [field]: value }))
    setErrors(({ [field]: _, ...rest }) => rest)
  }
  const show = (found: FieldErrors) => {
    setErrors(found)
    const [first] = Object.keys(found)
    if (first !== undefined) element.current?.querySelector<HTMLElement>(`[name="${first}"]`)?.focus()
  }

  const submit = async () => {
    setProblem(undefined)
    const found = formErrors(form)
    if (Object.keys(found).length > 0) return show(found)
    const request = enqueueRequest(form)
    setBusy(true)
    try {
      const task = await store.api.enqueue(withId(request, sent.current))
      toast({ kind: 'good', text: `Queued ${taskTitle(task)}`, task: task._id })
      onClose()
    } catch (thrown) {
      const { field, message } = wireError(thrown)
      const mine = fieldOf(field, form.mode)
      if (mine === undefined) setProblem(message)
      else show({ [mine]: message })
    } finally {
      setBusy(false)
    }
  }

  const field = { form, errors, set }
  return (
    <Dialog title="New task" onClose={onClose}>
      <div role="tablist" aria-label="Kind of task" className="mb-4 flex gap-1 rounded-lg bg-raised p-1">
        {(Object.keys(MODES) as NewTaskMode[]).map((mode) => (
          <button
            key={mode}
            type="button"
            role="tab"
            aria-selected={form.mode === mode}
            className={`flex-1 rounded-md px-3 py-1.5 font-medium ${form.mode === mode ? 'bg-panel shadow-sm' : 'text-dim hover:text-text'}`}
            onClick={() => {
              setErrors({})
              setProblem(undefined)
              setForm((before) => ({ ...before, mode }))
            }}
          >
            {MODES[mode]}
          </button>
        ))}
      </div>
      <form
        ref={element}
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          if (!busy) void submit()
        }}
        className="grid grid-cols-1 gap-3 sm:grid-cols-6"
      >
        {form.mode === 'download' ? (
          <>
            <TextField {...field} name="url" label="URL" wide required first placeholder="https://…" inputMode="url" />
            <TextField
              {...field}
              name="file"
              label="File name"
              wide
              placeholder={fileOfUrl(form.url.trim()) ?? 'taken from the URL'}
            />
            <TextField {...field} name="sha256" label="SHA-256" hint="checked when it is there" wide mono />
          </>
        ) : (
          <>
            <TextField {...field} name="name" label="Name" required className="sm:col-span-4" />
            <TextField {...field} name="version" label="Version" className="sm:col-span-2" inputMode="numeric" />
            <Field name="input" label="Input (JSON)" errors={errors} className="sm:col-span-6">
              {(props) => (
                <textarea
                  {...props}
                  rows={6}
                  spellCheck={false}
                  className="field w-full font-mono text-xs"
                  value={form.input}
                  onChange={(event) => set('input', event.target.value)}
                />
              )}
            </Field>
          </>
        )}
        <Field name="priority" label="Priority" errors={errors} className="sm:col-span-2">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.priority}
              onChange={(event) => set('priority', event.target.value as PriorityName)}
            >
              {PRIORITIES.map((name) => (
                <option key={name} value={name}>
                  {name[0]?.toUpperCase() + name.slice(1)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field name="position" label="Position" errors={errors} className="sm:col-span-2">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.position}
              onChange={(event) => set('position', event.target.value as NewTaskForm['position'])}
            >
              <option value="back">Back of its priority</option>
              <option value="front">Front of its priority</option>
            </select>
          )}
        </Field>
        <TextField {...field} name="queue" label="Queue" className="sm:col-span-2" placeholder="default" />
        <Field
          name="runAt"
          label="Run at"
          hint="your local time; now if empty"
          errors={errors}
          className="sm:col-span-6"
        >
          {(props) => (
            <input
              {...props}
              type="datetime-local"
              step="1"
              className="field w-full"
              value={form.runAt}
              onChange={(event) => set('runAt', event.target.value)}
            />
          )}
        </Field>
        {problem !== undefined && (
          <p role="alert" className="rounded-md bg-bad/12 px-3 py-2 text-bad sm:col-span-6">
            {visibleText(problem, 500)}
          </p>
        )}
        <div className="flex justify-end gap-2 pt-1 sm:col-span-6">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            {form.mode === 'download' ? 'Start download' : 'Enqueue'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface TextFieldProps {
  form: NewTaskForm
  errors: FieldErrors
  set: (field: 'url' | 'file' | 'sha256' | 'name' | 'version' | 'queue', value: string) => void
  name: 'url' | 'file' | 'sha256' | 'name' | 'version' | 'queue'
  label: string
  hint?: string
  wide?: boolean
  mono?: boolean
  required?: boolean
  first?: boolean
  placeholder?: string
  inputMode?: 'url' | 'numeric'
  className?: string
}

function TextField({
  form,
  errors,
  set,
  name,
  label,
  hint,
  wide = false,
  mono = false,
  first = false,
  className,
  ...input
}: TextFieldProps) {
  return (
    <Field
      name={name}
      label={label}
      errors={errors}
      {...(hint !== undefined && { hint })}
      className={className ?? (wide ? 'sm:col-span-6' : '')}
    >
      {(props) => (
        <input
          {...props}
          {...input}
          data-autofocus={first || undefined}
          autoComplete="off"
          spellCheck={false}
          className={`field w-full ${mono ? 'font-mono text-xs' : ''}`}
          value={form[name]}
          onChange={(event) => set(name, event.target.value)}
        />
      )}
    </Field>
  )
}
