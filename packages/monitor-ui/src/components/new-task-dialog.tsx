import { type EnqueueRequest, type HandlerRow, OPERATIONS } from '@taskfleet/protocol'
import { useConnection, useFleetClient } from '@taskfleet/react'
import { useMemo, useRef, useState } from 'react'
import { z } from 'zod'
import type { Place } from '../form/field-words.ts'
import { fieldsIn, groupOf } from '../form/fields.ts'
import { RequestForm, request } from '../form/request-form.tsx'
import { useAsked } from '../live/use-asked.ts'
import { taskTitle } from '../view/task-title.ts'
import { visibleLine } from '../view/text.ts'
import { withId } from '../view/with-id.ts'

const REQUEST = OPERATIONS.tasks.enqueue.request
const INPUT: Place = { hint: '{} if empty', rows: 6 }
/** The fields beside the input. */
const PLACES: Record<string, Place> = {
  priority: { span: 2 },
  position: { span: 2, placeholder: 'At the back' },
  queue: { span: 2 },
  runAt: { hint: 'Now if empty' },
  deadline: {},
  after: {},
  ifFailed: {},
}

interface Form {
  schema: typeof REQUEST
  known: Partial<EnqueueRequest>
  hide: string[]
  places: Record<string, Place>
}

const ANY: Form = {
  schema: REQUEST,
  known: {},
  hide: [],
  places: { name: { span: 4 }, version: {}, input: INPUT, ...PLACES },
}

const typeOf = ({ name, version }: Pick<HandlerRow, 'name' | 'version'>): string => `${name}@${version}`

/** A form for the tasks of one handler, with a field for each value of its input if it publishes an object's schema. */
function formFor({ name, version, queues, schema }: HandlerRow): Form {
  const queue: Place = { span: 2, names: queues }
  const form = { known: { name, version }, hide: ['name', 'version'] }
  const input = inputOf(schema)
  if (input === undefined) return { ...form, schema: REQUEST, places: { input: INPUT, ...PLACES, queue } }
  const fields = fieldsIn(groupOf(input, [], 'input'))
  return {
    ...form,
    schema: (REQUEST as z.ZodType as z.ZodObject).extend({ input }) as z.ZodType as typeof REQUEST,
    places: { ...Object.fromEntries(fields.map(({ path }) => [path, { span: 6 } as Place])), ...PLACES, queue },
  }
}

/** Undefined for what a form can't show: no schema, one of another value than an object, or one that can't be read. */
function inputOf(schema: HandlerRow['schema']): z.ZodObject | undefined {
  if (schema === undefined) return undefined
  try {
    const input = z.fromJSONSchema(schema)
    return input instanceof z.ZodObject && Object.keys(input.shape).length > 0 ? input : undefined
  } catch {
    return undefined
  }
}

export function NewTaskDialog({
  handler: wanted,
  onClose,
}: {
  /** The handler that is chosen at first. If no worker has it, the form asks for all fields. */
  handler?: Pick<HandlerRow, 'name' | 'version'>
  onClose: () => void
}) {
  const client = useFleetClient()
  const { state } = useConnection()
  const { answer: handlers, error } = useAsked(() => client.handlers.list(), { key: 'handlers' })
  const sent = useRef({ content: '', _id: '' })
  const [chosen, setChosen] = useState(wanted && typeOf(wanted))
  const [value] = useState<object>(wanted === undefined ? {} : { name: wanted.name, version: wanted.version })
  const handler = handlers?.find((one, index) => (chosen === undefined ? index === 0 : typeOf(one) === chosen))
  const form = useMemo(() => (handler === undefined ? ANY : formFor(handler)), [handler])
  if (handlers === undefined && error === undefined && state === 'live') return null
  const enqueue = async (wanted: EnqueueRequest) => {
    const task = await client.tasks.enqueue(withId(wanted, sent.current))
    return { text: `Queued ${taskTitle(task)}`, task: task._id }
  }
  const type = handler === undefined ? '' : typeOf(handler)
  return (
    <RequestForm
      title="New task"
      action="Enqueue"
      request={request(form.schema, enqueue)}
      value={form === ANY ? value : {}}
      known={form.known}
      places={form.places}
      hide={[...form.hide, '_id', 'retry.maxAttempts']}
      onClose={onClose}
    >
      <label className="flex flex-col gap-1 sm:col-span-6">
        <span className="text-dim">Handler</span>
        <select className="field" value={type} onChange={({ target: { value } }) => setChosen(value)}>
          {(handlers ?? []).map((one) => (
            <option key={typeOf(one)} value={typeOf(one)}>
              {visibleLine(typeOf(one), 80)}
            </option>
          ))}
          <option value="">Any other task</option>
        </select>
      </label>
    </RequestForm>
  )
}
