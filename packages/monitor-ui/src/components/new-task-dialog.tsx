import { type EnqueueRequest, OPERATIONS } from '@taskfleet/protocol'
import { useFleetClient } from '@taskfleet/react'
import { useRef, useState } from 'react'
import { z } from 'zod'
import type { Place } from '../form/field-words.ts'
import { RequestForm, request, useReading } from '../form/request-form.tsx'
import { fileOfUrl, taskTitle } from '../view/task-title.ts'
import { withId } from '../view/with-id.ts'
import { Tabs } from './tabs.tsx'

const isFileName = (file: string): boolean =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what it refuses
  !/[/\\\u0000-\u001f\u007f]/.test(file) && !/^\.\.?$/.test(file) && new TextEncoder().encode(file).length <= 255

/** The task "download" of the examples. */
const DOWNLOAD = z.object({
  url: z.url({ protocol: /^https?$/, hostname: /./, error: 'An http or https address' }),
  file: z.string().refine(isFileName, 'A name without folders, up to 255 bytes').optional(),
  sha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, '64 hexadecimal digits')
    .optional()
    .describe('The file is checked against it'),
})
const ANY = OPERATIONS.tasks.enqueue.request
const MODES = {
  download: {
    label: 'Download',
    action: 'Start download',
    schema: (ANY as z.ZodType as z.ZodObject).extend({ input: DOWNLOAD }) as z.ZodType as typeof ANY,
    known: { name: 'download' },
    hide: ['version'],
    places: {
      'input.url': { label: 'URL', placeholder: 'https://…', span: 6 },
      'input.file': { label: 'File name', span: 6, placeholder: 'taken from the URL', after: <NameFromUrl /> },
      'input.sha256': { label: 'SHA-256', span: 6, mono: true },
    } as Record<string, Place>,
  },
  any: {
    label: 'Any task',
    action: 'Enqueue',
    schema: ANY,
    known: {},
    hide: [],
    places: { name: { span: 4 }, version: {}, input: { hint: '{} if empty', rows: 6 } } as Record<string, Place>,
  },
}
type Mode = keyof typeof MODES

export function NewTaskDialog({ onClose }: { onClose: () => void }) {
  const client = useFleetClient()
  const sent = useRef({ content: '', _id: '' })
  const [mode, setMode] = useState<Mode>('download')
  const { action, schema, known, hide, places } = MODES[mode]
  const enqueue = async (wanted: EnqueueRequest) => {
    const task = await client.tasks.enqueue(withId(wanted, sent.current))
    return { text: `Queued ${taskTitle(task)}`, task: task._id }
  }
  return (
    <RequestForm
      title="New task"
      action={action}
      request={request(schema, enqueue)}
      known={known}
      places={{
        ...places,
        priority: { span: 2 },
        position: { span: 2, placeholder: 'At the back' },
        queue: { span: 2 },
        runAt: { hint: 'Now if empty' },
        deadline: {},
        after: {},
        ifFailed: {},
      }}
      hide={[...hide, '_id', 'retry.maxAttempts']}
      onClose={onClose}
    >
      <Tabs label="Kind of task" tabs={MODES} selected={mode} onSelect={setMode} className="mb-1 sm:col-span-6" />
    </RequestForm>
  )
}

/** The name that the file gets when the field is empty. */
function NameFromUrl() {
  const { draft } = useReading()
  const name = draft['input/file'] === '' ? fileOfUrl(String(draft['input/url'] ?? '').trim()) : undefined
  return name === undefined ? null : <p className="-mt-2 text-xs text-dim sm:col-span-6">Saved as {name}</p>
}
