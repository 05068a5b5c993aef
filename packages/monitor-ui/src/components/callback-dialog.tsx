import { type CallbackRow, OPERATIONS } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useRef } from 'react'
import { partOf, RequestForm, request } from '../form/request-form.tsx'
import { withId } from '../view/with-id.ts'

export function CallbackDialog({
  callback,
  events,
  tasks,
  onChanged,
  onClose,
}: {
  /** The callback to edit. Without it, the dialog makes a new one. */
  callback?: CallbackRow
  /** Suggestions. */
  events: readonly string[]
  tasks: readonly string[]
  onChanged: () => void
  onClose: () => void
}) {
  const client = useFleetClient()
  const sent = useRef({ content: '', _id: '' })
  const done = ({ event, task }: CallbackRow, calls: string) => {
    onChanged()
    return `${event} ${calls} ${task}`
  }
  const create = request(OPERATIONS.callbacks.create.request, async (wanted) =>
    done(await client.callbacks.create(withId(wanted, sent.current)), 'calls'),
  )
  const edit = ({ _id: id, rev }: CallbackRow) =>
    request(partOf(OPERATIONS.callbacks.edit, 'changes'), async (changes) =>
      done(await client.callbacks.edit({ id, changes, rev }), 'now calls'),
    )
  return (
    <RequestForm
      title={callback === undefined ? 'Register a callback' : 'Edit this callback'}
      action={callback === undefined ? 'Register' : 'Save'}
      request={callback === undefined ? create : edit(callback)}
      {...(callback !== undefined && { value: callback, edits: true, note: 'Queued tasks stay as they are.' })}
      places={{
        event: { label: 'When this event arrives', names: events, span: 6 },
        task: { names: tasks },
        version: {},
        'defaults.input': {
          hint: 'The event’s props take precedence',
          rows: 4,
          before: <h3 className="heading pt-1 sm:col-span-6">Defaults of its tasks</h3>,
        },
        'defaults.queue': { span: 2 },
        'defaults.priority': { span: 2 },
        'defaults.maxAttempts': { span: 2 },
        'defaults.lazy': {},
      }}
      hide={['_id', 'rev', 'defaults.retry.maxAttempts']}
      onClose={onClose}
    />
  )
}
