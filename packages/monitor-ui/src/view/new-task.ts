import type { EnqueueRequest, PriorityName } from '@taskfleet/protocol'
import { type AfterForm, afterError, afterIdsIn } from './after-form.ts'
import { type Errors, found, optionalJsonError, queueError, timeError, versionError } from './checks.ts'

export type NewTaskMode = 'download' | 'any'

/** What the form holds, all as it was typed. */
export interface NewTaskForm extends AfterForm {
  mode: NewTaskMode
  url: string
  file: string
  sha256: string
  name: string
  version: string
  input: string
  priority: PriorityName
  /** As `<input type="datetime-local">` has it: local time without a zone. */
  runAt: string
  position: 'front' | 'back'
  queue: string
}
type NewTaskField = keyof NewTaskForm

export const EMPTY_FORM: NewTaskForm = {
  mode: 'download',
  url: '',
  file: '',
  sha256: '',
  name: '',
  version: '1',
  input: '{}',
  priority: 'medium',
  runAt: '',
  position: 'back',
  queue: '',
  after: '',
  ifFailed: 'fail',
}

/** What is wrong with the form, field by field. */
export function formErrors(form: NewTaskForm): Errors<NewTaskForm> {
  const own =
    form.mode === 'download'
      ? { url: urlError(form.url.trim()), file: fileError(form.file.trim()), sha256: hashError(form.sha256.trim()) }
      : {
          name: form.name.trim() === '' ? 'Which handler shall run it?' : undefined,
          version: versionError(form.version),
          input: optionalJsonError(form.input),
        }
  const { runAt, queue, after } = form
  return found<NewTaskForm>({ ...own, runAt: timeError(runAt), queue: queueError(queue), after: afterError(after) })
}

function urlError(url: string): string | undefined {
  if (url === '') return 'The address of the file is needed.'
  return isHttpUrl(url) ? undefined : 'Give a whole http or https address.'
}

function fileError(file: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what it refuses
  if (/[/\\\u0000-\u001f\u007f]/.test(file) || file === '.' || file === '..') {
    return 'A name without folders or control characters.'
  }
  return new TextEncoder().encode(file).length > 255 ? 'Too long for a file name.' : undefined
}

const hashError = (sha256: string): string | undefined =>
  sha256 === '' || /^[0-9a-f]{64}$/i.test(sha256) ? undefined : 'A SHA-256 has 64 hexadecimal digits.'

function isHttpUrl(text: string): boolean {
  try {
    const { protocol, hostname } = new URL(text)
    return (protocol === 'http:' || protocol === 'https:') && hostname !== ''
  } catch {
    return false
  }
}

/** The request that a form without errors means. */
export function enqueueRequest(form: NewTaskForm): EnqueueRequest {
  const request: EnqueueRequest =
    form.mode === 'download'
      ? { name: 'download', input: downloadInput(form) }
      : {
          name: form.name.trim(),
          version: Number(form.version),
          input: form.input.trim() === '' ? {} : JSON.parse(form.input),
        }
  request.priority = form.priority
  if (form.runAt !== '') request.runAt = new Date(form.runAt).toISOString()
  if (form.position === 'front') request.position = 'front'
  if (form.queue.trim() !== '') request.queue = form.queue.trim()
  const after = afterIdsIn(form.after)
  if (after.length > 0) Object.assign(request, { after, ifFailed: form.ifFailed })
  return request
}

function downloadInput(form: NewTaskForm): { url: string; file?: string; sha256?: string } {
  const input: { url: string; file?: string; sha256?: string } = { url: form.url.trim() }
  if (form.file.trim() !== '') input.file = form.file.trim()
  if (form.sha256.trim() !== '') input.sha256 = form.sha256.trim().toLowerCase()
  return input
}

const FIELDS: readonly NewTaskField[] = [
  'url',
  'file',
  'sha256',
  'name',
  'version',
  'input',
  'priority',
  'runAt',
  'position',
  'queue',
  'after',
  'ifFailed',
]

/** The field of the form that a server's `field` path means; a path inside `input` is the JSON's in the plain form. */
export function fieldOf(path: string | undefined, mode: NewTaskMode): NewTaskField | undefined {
  if (path === undefined) return undefined
  const parts = path.split('.')
  const top = parts[0] === 'input' && mode === 'download' ? parts[1] : parts[0]
  const field = FIELDS.find((known) => known === top)
  if (field === undefined) return undefined
  const elsewhere: readonly NewTaskField[] =
    mode === 'download' ? ['name', 'version', 'input'] : ['url', 'file', 'sha256']
  return elsewhere.includes(field) ? (mode === 'any' ? 'input' : undefined) : field
}

/** A fresh id of the database's form: time, then chance. */
export function freshId(now: number = Date.now()): string {
  const random = crypto.getRandomValues(new Uint8Array(8))
  const seconds = Math.floor(now / 1_000)
    .toString(16)
    .padStart(8, '0')
  return seconds + Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
