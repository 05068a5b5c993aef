import type { CallbackRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useId, useRef } from 'react'
import { useUi } from '../shell/ui-context.ts'
import { EMPTY_EVENT, eventErrors, eventRequest } from '../view/event-form.ts'
import { visibleLine } from '../view/text.ts'
import { withId } from '../view/with-id.ts'
import { FormDialog } from './form-dialog.tsx'
import { JsonField, Names, PriorityField, TextField } from './form-fields.tsx'
import { useForm } from './use-form.ts'

interface Props {
  /** Names that are known, to be offered. */
  names: readonly string[]
  /** `undefined` while nobody knows them. */
  callbacks: readonly CallbackRow[] | undefined
  onClose: () => void
}

export function SendEventDialog({ names, callbacks, onClose }: Props) {
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const sent = useRef({ content: '', _id: '' })
  const list = useId()
  const state = useForm(EMPTY_EVENT, eventErrors, async (filled) => {
    const event = await client.events.post(withId(eventRequest(filled), sent.current))
    const tasks = event.tasks.length === 1 ? '1 task' : `${event.tasks.length} tasks`
    toast({ kind: 'good', text: `Sent ${event.name}: ${tasks}` })
    onClose()
  })
  const name = state.form.name.trim()
  return (
    <FormDialog {...state} title="Send an event" action="Send" onClose={onClose}>
      <TextField {...state} name="name" label="Name" required first list={list} className="sm:col-span-6" />
      <Names id={list} names={names} />
      {callbacks !== undefined && name !== '' && (
        <p role="status" className="-mt-1 text-xs text-dim sm:col-span-6">
          {callsText(callbacks.filter(({ event }) => event === name))}
        </p>
      )}
      <JsonField {...state} name="props" label="Props (JSON)" rows={5} />
      <TextField
        {...state}
        name="scheduledFor"
        label="Scheduled for"
        hint="your local time; now if empty"
        type="datetime-local"
        className="sm:col-span-4"
      />
      <PriorityField {...state} usual="As its callbacks say" className="sm:col-span-2" />
    </FormDialog>
  )
}

const NAMED = 6

function callsText(callbacks: readonly CallbackRow[]): string {
  if (callbacks.length === 0) return 'No callback is registered for it: it is finished as it comes.'
  const tasks = callbacks.slice(0, NAMED).map(({ task, version }) => `${visibleLine(task, 60)}@${version}`)
  const more = callbacks.length > NAMED ? ` and ${callbacks.length - NAMED} more` : ''
  return `Calls ${tasks.join(', ')}${more}.`
}
