import type { CallbackRow } from '@taskfleet/core/protocol'
import { useId, useRef } from 'react'
import { useRest } from '../live/rest.ts'
import { useUi } from '../shell/ui-context.ts'
import { EMPTY_EVENT, eventErrors, eventRequest } from '../view/event-form.ts'
import { visibleLine } from '../view/text.ts'
import { withId } from '../view/with-id.ts'
import { Dialog } from './dialog.tsx'
import { Field } from './field.tsx'
import { Problem } from './notes.tsx'
import { PriorityOptions } from './priority-options.tsx'
import { useForm } from './use-form.ts'

interface Props {
  /** Names that are known, to be offered. */
  names: readonly string[]
  /** `undefined` while nobody knows them. */
  callbacks: readonly CallbackRow[] | undefined
  onClose: () => void
}

export function SendEventDialog({ names, callbacks, onClose }: Props) {
  const rest = useRest()
  const toast = useUi((ui) => ui.toast)
  const sent = useRef({ content: '', _id: '' })
  const list = useId()
  const { form, errors, problem, busy, element, set, submit } = useForm(EMPTY_EVENT, eventErrors, async (filled) => {
    const event = await rest.postEvent(withId(eventRequest(filled), sent.current))
    const tasks = event.tasks.length === 1 ? '1 task' : `${event.tasks.length} tasks`
    toast({ kind: 'good', text: `Sent ${event.name}: ${tasks}` })
    onClose()
  })
  return (
    <Dialog title="Send an event" onClose={onClose}>
      <form
        ref={element}
        noValidate
        className="grid grid-cols-1 gap-3 sm:grid-cols-6"
        onSubmit={(event) => {
          event.preventDefault()
          submit()
        }}
      >
        <Field name="name" label="Name" errors={errors} className="sm:col-span-6">
          {(props) => (
            <input
              {...props}
              required
              data-autofocus
              list={list}
              autoComplete="off"
              spellCheck={false}
              className="field w-full"
              value={form.name}
              onChange={(event) => set('name', event.target.value)}
            />
          )}
        </Field>
        <datalist id={list}>
          {names.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        {callbacks !== undefined && form.name.trim() !== '' && (
          <p role="status" className="-mt-1 text-xs text-dim sm:col-span-6">
            {callsText(callbacks.filter(({ event }) => event === form.name.trim()))}
          </p>
        )}
        <Field name="props" label="Props (JSON)" errors={errors} className="sm:col-span-6">
          {(props) => (
            <textarea
              {...props}
              rows={5}
              spellCheck={false}
              className="field w-full font-mono text-xs"
              value={form.props}
              onChange={(event) => set('props', event.target.value)}
            />
          )}
        </Field>
        <Field
          name="scheduledFor"
          label="Scheduled for"
          hint="your local time; now if empty"
          errors={errors}
          className="sm:col-span-4"
        >
          {(props) => (
            <input
              {...props}
              type="datetime-local"
              step="1"
              className="field w-full"
              value={form.scheduledFor}
              onChange={(event) => set('scheduledFor', event.target.value)}
            />
          )}
        </Field>
        <Field name="priority" label="Priority" errors={errors} className="sm:col-span-2">
          {(props) => (
            <select
              {...props}
              className="field w-full"
              value={form.priority}
              onChange={(event) => set('priority', event.target.value)}
            >
              <option value="">As its callbacks say</option>
              <PriorityOptions />
            </select>
          )}
        </Field>
        <Problem text={problem} className="sm:col-span-6" />
        <div className="flex justify-end gap-2 pt-1 sm:col-span-6">
          <button type="button" className="button" onClick={onClose}>
            Close
          </button>
          <button type="submit" className="button button-solid" disabled={busy}>
            Send
          </button>
        </div>
      </form>
    </Dialog>
  )
}

const NAMED = 6

function callsText(callbacks: readonly CallbackRow[]): string {
  if (callbacks.length === 0) return 'No callback is registered for it: it is finished as it comes.'
  const tasks = callbacks.slice(0, NAMED).map(({ task, version }) => `${visibleLine(task, 60)}@${version}`)
  const more = callbacks.length > NAMED ? ` and ${callbacks.length - NAMED} more` : ''
  return `Calls ${tasks.join(', ')}${more}.`
}
