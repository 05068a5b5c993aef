import type { CallbackRequest, CallbackRow, EventRequest } from '@taskfleet/protocol'
import { attemptsError, type Errors, found, nameError, objectError, timeError, versionError } from './checks.ts'
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

export const eventErrors = ({ name, props, scheduledFor }: EventForm): Errors<EventForm> =>
  found<EventForm>({ name: nameError(name), props: objectError(props), scheduledFor: timeError(scheduledFor) })

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

export const callbackErrors = ({ event, task, version, input, maxAttempts }: CallbackForm): Errors<CallbackForm> =>
  found<CallbackForm>({
    event: nameError(event),
    task: task.trim() === '' ? 'Which task shall run?' : undefined,
    version: versionError(version),
    input: objectError(input),
    maxAttempts: attemptsError(maxAttempts),
  })

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

const objectOf = (text: string): Record<string, unknown> => (text.trim() === '' ? {} : JSON.parse(text))
