import { type CallbackRow, OPERATIONS } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useRef } from 'react'
import { RequestForm, request, useReading } from '../form/request-form.tsx'
import { countOf } from '../view/counts.ts'
import { visibleLine } from '../view/text.ts'
import { withId } from '../view/with-id.ts'

export function SendEventDialog({
  names,
  callbacks,
  onClose,
}: {
  /** Suggestions. */
  names: readonly string[]
  /** `undefined` until they are loaded. */
  callbacks: readonly CallbackRow[] | undefined
  onClose: () => void
}) {
  const client = useFleetClient()
  const sent = useRef({ content: '', _id: '' })
  const post = request(OPERATIONS.events.post.request, async (wanted) => {
    const event = await client.events.post(withId(wanted, sent.current))
    return `Sent ${event.name}: ${countOf(event.tasks.length, 'task')}`
  })
  return (
    <RequestForm
      title="Send an event"
      action="Send"
      request={post}
      places={{
        name: { names, span: 6, after: callbacks !== undefined && <Calls callbacks={callbacks} /> },
        props: { hint: 'The input of its tasks. It takes precedence over the defaults of the callback' },
        scheduledFor: { hint: 'Now if empty', span: 4 },
        priority: { placeholder: 'As in its callbacks', span: 2 },
      }}
      hide={['_id']}
      onClose={onClose}
    />
  )
}

const NAMED = 6

/** The tasks that an event of the typed name would make. */
function Calls({ callbacks }: { callbacks: readonly CallbackRow[] }) {
  const { name } = useReading().value
  if (name === undefined) return null
  const called = callbacks.filter(({ event }) => event === name)
  const tasks = called.slice(0, NAMED).map(({ task, version }) => `${visibleLine(task, 60)}@${version}`)
  const more = called.length > NAMED ? ` and ${called.length - NAMED} more` : ''
  return (
    <p role="status" className="-mt-1 text-xs text-dim sm:col-span-6">
      {called.length === 0
        ? 'No callback is registered for it: it finishes at once.'
        : `Calls ${tasks.join(', ')}${more}.`}
    </p>
  )
}
