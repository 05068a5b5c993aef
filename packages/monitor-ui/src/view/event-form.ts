import type { CallbackRequest, CallbackRow, EventRequest } from '@taskfleet/protocol'
import { jsonProblem } from './edit-task.ts'
import { editableJson } from './text.ts'

/** What the form for an event holds, all as it was typed. */
export interface EventForm {
  name: string
  props: string
  /** As `<input type="datetime-local">` has it; at once when empty. */
  scheduledFor: string
  /** Empty: what the callbacks say. */
  priority: string
}

/** What the form for a callback holds, all as it was typed. */
export interface CallbackForm {
  event: string
  task: string
  version: string
  input: string
  queue: string
  priority: string
  maxAttempts: string
  lazy: boolean
}

export type Errors<Form> = Partial<Record<keyof Form, string>>

export const EMPTY_EVENT: EventForm = { name: '', props: '{}', scheduledFor: '', priority: '' }
const EMPTY_CALLBACK: CallbackForm = {
  event: '',
  task: '',
  version: '1',
  input: '',
  queue: '',
  priority: '',
  maxAttempts: '',
  lazy: false,
}

export const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/
export const NAME_RULE = 'A letter, then letters, digits and _ . : - up to 128 in all.'

export function eventErrors({ name, props, scheduledFor }: EventForm): Errors<EventForm> {
  const errors: Errors<EventForm> = {}
  if (!NAME.test(name.trim())) errors.name = NAME_RULE
  const wrong = objectError(props)
  if (wrong !== undefined) errors.props = wrong
  if (scheduledFor !== '' && Number.isNaN(new Date(scheduledFor).getTime())) {
    errors.scheduledFor = 'Not a date and time.'
  }
  return errors
}

/** The event that a form without errors means. */
export function eventRequest({ name, props, scheduledFor, priority }: EventForm): EventRequest {
  return {
    name: name.trim(),
    props: objectOf(props),
    ...(scheduledFor !== '' && { scheduledFor: new Date(scheduledFor).toISOString() }),
    ...(priority !== '' && { priority: Number(priority) }),
  }
}

/** The form as it is for a new callback, or for one that is to be changed. */
export function callbackForm(callback?: CallbackRow): CallbackForm {
  if (callback === undefined) return EMPTY_CALLBACK
  const { event, task, version, defaults } = callback
  const { input, queue = '', priority, maxAttempts, lazy = false } = defaults
  return {
    event,
    task,
    version: String(version),
    input: input === undefined ? '' : editableJson(input),
    queue,
    priority: priority === undefined ? '' : String(priority),
    maxAttempts: maxAttempts === undefined ? '' : String(maxAttempts),
    lazy,
  }
}

export function callbackErrors({ event, task, version, input, maxAttempts }: CallbackForm): Errors<CallbackForm> {
  const errors: Errors<CallbackForm> = {}
  if (!NAME.test(event.trim())) errors.event = NAME_RULE
  if (task.trim() === '') errors.task = 'Which task shall run?'
  if (!/^[1-9]\d{0,8}$/.test(version.trim())) errors.version = 'A whole number from 1.'
  const wrong = objectError(input)
  if (wrong !== undefined) errors.input = wrong
  const attempts = maxAttempts.trim()
  if (attempts !== '' && !/^([1-9]|[1-4]\d|50)$/.test(attempts)) errors.maxAttempts = 'A whole number from 1 to 50.'
  return errors
}

/** The callback that a form without errors means. */
export function callbackRequest(form: CallbackForm): CallbackRequest {
  const queue = form.queue.trim()
  const maxAttempts = form.maxAttempts.trim()
  return {
    event: form.event.trim(),
    task: form.task.trim(),
    version: Number(form.version),
    defaults: {
      ...(form.input.trim() !== '' && { input: objectOf(form.input) }),
      ...(queue !== '' && { queue }),
      ...(form.priority !== '' && { priority: Number(form.priority) }),
      ...(maxAttempts !== '' && { maxAttempts: Number(maxAttempts) }),
      ...(form.lazy && { lazy: true }),
    },
  }
}

/** The field of a form that a server's `field` path means: `defaults.input.a` is the input's. */
export function formField<Form extends object>(path: string | undefined, form: Form): keyof Form | undefined {
  const [first, second] = (path ?? '').split('.')
  // A callback is checked as the task that it would make, whose name is its task's.
  const inner = first === 'defaults' || first === 'options'
  const named = inner ? second : first === 'name' && !('name' in form) ? 'task' : first === '_id' ? 'name' : first
  return named !== undefined && Object.hasOwn(form, named) ? (named as keyof Form) : undefined
}

function objectError(text: string): string | undefined {
  if (text.trim() === '') return undefined
  const wrong = jsonProblem(text)
  if (wrong !== undefined) return wrong
  const value: unknown = JSON.parse(text)
  const object = typeof value === 'object' && value !== null && !Array.isArray(value)
  return object ? undefined : 'An object is wanted, like { "a": 1 }.'
}

const objectOf = (text: string): Record<string, unknown> => (text.trim() === '' ? {} : JSON.parse(text))
