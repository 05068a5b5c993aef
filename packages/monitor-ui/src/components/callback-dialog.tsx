import type { CallbackRow } from '@taskfleet/core/protocol'
import { useId, useRef } from 'react'
import { useRest } from '../live/rest.ts'
import { useUi } from '../shell/ui-context.ts'
import { type CallbackForm, callbackErrors, callbackForm, callbackRequest } from '../view/event-form.ts'
import { withId } from '../view/with-id.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Problem } from './notes.tsx'
import { PriorityOptions } from './priority-options.tsx'
import { type FormState, useForm } from './use-form.ts'

interface Props {
  /** The one to be changed; a new one without. */
  callback?: CallbackRow
  /** Names that are known, to be offered. */
  events: readonly string[]
  tasks: readonly string[]
  onChanged: () => void
  onClose: () => void
}

export function CallbackDialog({ callback, events, tasks, onChanged, onClose }: Props) {
  const rest = useRest()
  const toast = useUi((ui) => ui.toast)
  const sent = useRef({ content: '', _id: '' })
  const eventList = useId()
  const taskList = useId()
  const state = useForm(callbackForm(callback), callbackErrors, async (filled) => {
    const wanted = callbackRequest(filled)
    if (callback === undefined) await rest.createCallback(withId(wanted, sent.current))
    else await rest.editCallback(callback._id, { ...wanted, rev: callback.rev })
    toast({ kind: 'good', text: `${wanted.event} ${callback === undefined ? 'calls' : 'now calls'} ${wanted.task}` })
    onChanged()
    onClose()
  })
  const { form, errors, problem, busy, element, set, submit } = state
  return (
    <Dialog title={callback === undefined ? 'Register a callback' : 'Edit this callback'} onClose={onClose}>
      <form
        ref={element}
        noValidate
        className="grid grid-cols-1 gap-3 sm:grid-cols-6"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <TextField {...state} name="event" label="When this event arrives" list={eventList} first wide />
        <TextField {...state} name="task" label="Run this task" list={taskList} className="sm:col-span-4" />
        <TextField {...state} name="version" label="Version" inputMode="numeric" className="sm:col-span-2" />
        <Names id={eventList} names={events} />
        <Names id={taskList} names={tasks} />
        <h3 className="heading pt-1 sm:col-span-6">Defaults of its task</h3>
        <Field
          name="input"
          label="Input (JSON)"
          hint="the event’s props are put over it"
          errors={errors}
          className="sm:col-span-6"
        >
          {(props) => (
            <textarea
              {...props}
              rows={4}
              spellCheck={false}
              className="field w-full font-mono text-xs"
              value={form.input}
              onChange={(event) => set('input', event.target.value)}
            />
          )}
        </Field>
        <TextField {...state} name="queue" label="Queue" placeholder="default" className="sm:col-span-2" />
        <Field name="priority" label="Priority" errors={errors} className="sm:col-span-2">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.priority}
              onChange={(event) => set('priority', event.target.value)}
            >
              <option value="">As usual</option>
              <PriorityOptions />
            </select>
          )}
        </Field>
        <TextField
          {...state}
          name="maxAttempts"
          label="Attempts"
          placeholder="as usual"
          inputMode="numeric"
          className="sm:col-span-2"
        />
        <label className="flex items-center gap-2 sm:col-span-6">
          <input
            type="checkbox"
            name="lazy"
            checked={form.lazy}
            onChange={(event) => set('lazy', event.target.checked)}
          />
          Lazy: runs only while the machine is not overloaded
        </label>
        {callback !== undefined && (
          <p className="text-xs text-dim sm:col-span-6">What is queued already stays as it is.</p>
        )}
        <Problem text={problem} className="sm:col-span-6" />
        <div className="flex justify-end gap-2 pt-1 sm:col-span-6">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            {callback === undefined ? 'Register' : 'Save'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

function Names({ id, names }: { id: string; names: readonly string[] }) {
  return (
    <datalist id={id}>
      {names.map((name) => (
        <option key={name} value={name} />
      ))}
    </datalist>
  )
}

interface TextFieldProps extends FormState<CallbackForm> {
  name: 'event' | 'task' | 'version' | 'queue' | 'maxAttempts'
  label: string
  list?: string
  first?: boolean
  wide?: boolean
  placeholder?: string
  inputMode?: 'numeric'
  className?: string
}

function TextField({
  form,
  errors,
  set,
  name,
  label,
  first,
  wide,
  className,
  list,
  placeholder,
  inputMode,
}: TextFieldProps) {
  return (
    <Field name={name} label={label} errors={errors} className={className ?? (wide === true ? 'sm:col-span-6' : '')}>
      {(props) => (
        <input
          {...props}
          list={list}
          placeholder={placeholder}
          inputMode={inputMode}
          data-autofocus={first || undefined}
          autoComplete="off"
          spellCheck={false}
          className="field w-full"
          value={form[name]}
          onChange={(event) => set(name, event.target.value)}
        />
      )}
    </Field>
  )
}
