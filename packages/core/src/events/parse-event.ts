import { FleetError } from '@taskfleet/protocol'
import { keepValue } from '@taskfleet/protocol/internal'
import { driver } from '../database/driver.ts'
import { type NewTask, parseNewTask } from '../task/new-task.ts'
import { parseDate, parseId, parseName, parsePriority, parseTaskName } from '../task/parse-value.ts'
import type { ObjectId } from '../task/task-document.ts'
import type { CallbackDefaults } from './event-document.ts'

export interface NewEvent {
  _id: ObjectId
  name: string
  props: Record<string, unknown>
  scheduledFor?: Date
  priority?: number
}

export interface NewCallback {
  _id: ObjectId
  event: string
  task: string
  version: number
  defaults: CallbackDefaults
}

/**
 * @throws {FleetError} `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_ID`, `BAD_NAME`, `BAD_INPUT`, `INPUT_TOO_LARGE`, `BAD_DATE`,
 *   `OUT_OF_RANGE`
 */
export function parseEvent(request: unknown): NewEvent {
  const {
    _id,
    name,
    props = {},
    scheduledFor,
    priority,
  } = fieldsOf(request, ['_id', 'name', 'props', 'scheduledFor', 'priority'])
  return {
    _id: _id === undefined ? new driver.ObjectId() : parseId(_id, '_id'),
    name: parseTaskName(name),
    props: parseProps(props, 'props'),
    ...parseOnset({ scheduledFor, priority }),
  }
}

function parseOnset(asked: {
  scheduledFor?: unknown
  priority?: unknown
}): Pick<NewEvent, 'scheduledFor' | 'priority'> {
  return {
    ...(asked.scheduledFor === undefined ? {} : { scheduledFor: parseDate(asked.scheduledFor, 'scheduledFor') }),
    ...(asked.priority === undefined ? {} : { priority: parsePriority(asked.priority) }),
  }
}

/** @throws {FleetError} `BAD_REQUEST`, `UNKNOWN_FIELD`, `BAD_DATE`, `OUT_OF_RANGE` */
export function parseEventChanges(request: unknown): Pick<NewEvent, 'scheduledFor' | 'priority'> {
  const { scheduledFor, priority } = fieldsOf(request, ['scheduledFor', 'priority'])
  if (scheduledFor === undefined && priority === undefined) {
    throw new FleetError('BAD_REQUEST', "There is nothing to change. Give 'scheduledFor' or 'priority'")
  }
  return parseOnset({ scheduledFor, priority })
}

/**
 * @throws {FleetError} as `parseEvent`, and `BAD_QUEUE`, `BAD_VALUE`
 */
export function parseCallback(request: unknown): NewCallback {
  const {
    _id,
    event,
    task,
    version = 1,
    defaults = {},
  } = fieldsOf(request, ['_id', 'event', 'task', 'version', 'defaults'])
  const { input, ...options } = fieldsOf(defaults, ['input', ...TASK_OPTIONS])
  const { made, given } = parseTaskOptions({ name: task, version }, options)
  return {
    _id: _id === undefined ? new driver.ObjectId() : parseId(_id, '_id'),
    event: parseName(event, 'event', 'BAD_NAME'),
    task: made.name,
    version: made.version,
    defaults: { ...given, ...(input === undefined ? {} : { input: parseProps(input, 'defaults.input') }) },
  }
}

/** The options of future tasks that a schedule or a callback may set. */
export const TASK_OPTIONS = [
  'queue',
  'priority',
  'lazy',
  'maxAttempts',
  'retry',
  'timeout',
  'totalTimeout',
  'stall',
] as const
type TaskOption = (typeof TASK_OPTIONS)[number]
/** The options for which null means the handler's value. */
const OWN_BUDGET: ReadonlySet<string> = new Set(['retry', 'timeout', 'totalTimeout', 'stall'])

/**
 * Checks the given options, by making a task with them.
 *
 * @throws {FleetError} as `parseNewTask`
 */
export function parseTaskOptions(
  task: { name: unknown; version: unknown; input?: unknown },
  options: Partial<Record<TaskOption, unknown>>,
): { made: NewTask; given: Partial<Pick<NewTask, TaskOption>> } {
  const asked = Object.entries(options).filter(
    ([field, value]) => value !== undefined && !(value === null && OWN_BUDGET.has(field)),
  )
  const made = parseNewTask({ ...task, ...Object.fromEntries(asked) })
  const fields = new Set(asked.map(([field]) => field as TaskOption))
  // A task stores the maximum of attempts in a separate field.
  if ((options.retry as { maxAttempts?: unknown } | undefined)?.maxAttempts !== undefined) fields.add('maxAttempts')
  const given = [...fields].map((field) => [field, made[field]] as const).filter(([, value]) => value !== undefined)
  return { made, given: Object.fromEntries(given) }
}

/** Checked like a task's input, and must be an object. */
function parseProps(value: unknown, field: string): Record<string, unknown> {
  const props = keepValue(value, 'input', field)
  if (props !== null && Object.getPrototypeOf(props) === Object.prototype) return props as Record<string, unknown>
  throw new FleetError('BAD_INPUT', `'${field}' must be an object`, { field })
}

/** @throws {FleetError} `BAD_REQUEST`, `UNKNOWN_FIELD` */
export function fieldsOf<Field extends string>(
  request: unknown,
  allowed: readonly Field[],
): Partial<Record<Field, unknown>> {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new FleetError('BAD_REQUEST', `The request must be an object with ${allowed.join(', ')}`)
  }
  for (const field of Object.keys(request)) {
    if ((allowed as readonly string[]).includes(field)) continue
    throw new FleetError(
      'UNKNOWN_FIELD',
      `There is no field '${field.slice(0, 80)}'; allowed are ${allowed.join(', ')}`,
      { field },
    )
  }
  return request as Partial<Record<Field, unknown>>
}
