import type { EnqueueRequest, PriorityName } from '@taskfleet/protocol'
import { type AfterForm, afterError, afterIdsIn } from './after-form.ts'
import { jsonProblem } from './edit-task.ts'

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
export type NewTaskField = keyof NewTaskForm
export type FieldErrors = Partial<Record<NewTaskField, string>>

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
export function formErrors(form: NewTaskForm): FieldErrors {
  const errors: FieldErrors = {}
  if (form.mode === 'download') {
    const url = form.url.trim()
    if (url === '') errors.url = 'The address of the file is needed.'
    else if (!isHttpUrl(url)) errors.url = 'Give a whole http or https address.'
    const file = form.file.trim()
    // biome-ignore lint/suspicious/noControlCharactersInRegex: controls are what it refuses
    if (/[/\\\u0000-\u001f\u007f]/.test(file) || file === '.' || file === '..') {
      errors.file = 'A name without folders or control characters.'
    } else if (new TextEncoder().encode(file).length > 255) errors.file = 'Too long for a file name.'
    const sha256 = form.sha256.trim()
    if (sha256 !== '' && !/^[0-9a-f]{64}$/i.test(sha256)) errors.sha256 = 'A SHA-256 has 64 hexadecimal digits.'
  } else {
    if (form.name.trim() === '') errors.name = 'Which handler shall run it?'
    if (!/^[1-9]\d{0,8}$/.test(form.version.trim())) errors.version = 'A whole number from 1.'
    if (form.input.trim() !== '') {
      const wrong = jsonProblem(form.input)
      if (wrong !== undefined) errors.input = wrong
    }
  }
  if (form.runAt !== '' && Number.isNaN(new Date(form.runAt).getTime())) errors.runAt = 'Not a date and time.'
  if (form.queue.trim().length > 100) errors.queue = 'At most 100 characters.'
  const wrongAfter = afterError(form.after)
  if (wrongAfter !== undefined) errors.after = wrongAfter
  return errors
}

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
