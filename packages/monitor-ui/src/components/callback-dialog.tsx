import type { CallbackRow } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useId, useRef } from 'react'
import { useUi } from '../shell/ui-context.ts'
import { callbackErrors, callbackForm, callbackRequest } from '../view/event-form.ts'
import { withId } from '../view/with-id.ts'
import { FormDialog } from './form-dialog.tsx'
import { JsonField, LazyField, Names, PriorityField, TextField } from './form-fields.tsx'
import { useForm } from './use-form.ts'

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
  const client = useFleetClient()
  const toast = useUi((ui) => ui.toast)
  const sent = useRef({ content: '', _id: '' })
  const eventList = useId()
  const taskList = useId()
  const state = useForm(callbackForm(callback), callbackErrors, async (filled) => {
    const wanted = callbackRequest(filled)
    if (callback === undefined) await client.callbacks.create(withId(wanted, sent.current))
    else await client.callbacks.edit({ id: callback._id, changes: wanted, rev: callback.rev })
    toast({ kind: 'good', text: `${wanted.event} ${callback === undefined ? 'calls' : 'now calls'} ${wanted.task}` })
    onChanged()
    onClose()
  })
  return (
    <FormDialog
      {...state}
      title={callback === undefined ? 'Register a callback' : 'Edit this callback'}
      action={callback === undefined ? 'Register' : 'Save'}
      onClose={onClose}
    >
      <TextField
        {...state}
        name="event"
        label="When this event arrives"
        list={eventList}
        first
        className="sm:col-span-6"
      />
      <TextField {...state} name="task" label="Run this task" list={taskList} className="sm:col-span-4" />
      <TextField {...state} name="version" label="Version" inputMode="numeric" className="sm:col-span-2" />
      <Names id={eventList} names={events} />
      <Names id={taskList} names={tasks} />
      <h3 className="heading pt-1 sm:col-span-6">Defaults of its task</h3>
      <JsonField {...state} name="input" label="Input (JSON)" hint="the event’s props are put over it" rows={4} />
      <TextField {...state} name="queue" label="Queue" placeholder="default" className="sm:col-span-2" />
      <PriorityField {...state} usual="As usual" className="sm:col-span-2" />
      <TextField
        {...state}
        name="maxAttempts"
        label="Attempts"
        placeholder="as usual"
        inputMode="numeric"
        className="sm:col-span-2"
      />
      <LazyField {...state}>Lazy: runs only while the machine is not overloaded</LazyField>
      {callback !== undefined && (
        <p className="text-xs text-dim sm:col-span-6">What is queued already stays as it is.</p>
      )}
    </FormDialog>
  )
}
