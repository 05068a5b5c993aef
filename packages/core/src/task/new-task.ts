import { FleetError, IF_FAILED, type IfFailed } from '@taskfleet/protocol'
import { durationWithin, given, keepValue, shapes, wholeNumber } from '@taskfleet/protocol/internal'
import { driver } from '../database/driver.ts'
import { type Budget, type BudgetChanges, parseBudget, parseBudgetChanges } from './budget.ts'
import {
  parseBoolean,
  parseDate,
  parseId,
  parseOneOf,
  parsePriority,
  parseQueue,
  parseTaskName,
} from './parse-value.ts'
import type { ObjectId } from './task-document.ts'

const DEFAULT_MAX_ATTEMPTS = 5

/** Short texts by which people search, by their names. */
type Labels = Readonly<Record<string, string>>

/** A request to enqueue, checked and with defaults. The server fills in absent dates. */
export interface NewTask extends Budget {
  _id: ObjectId
  name: string
  version: number
  input: unknown
  title?: string
  labels?: Labels
  queue: string
  priority: number
  runAt?: Date
  deadline?: Date
  position: 'front' | 'back'
  lazy: boolean
  maxAttempts: number
  key?: string
  keyPolicy: 'reject' | 'return' | 'replace'
  debounceMs?: number
  throttleMs?: number
  /** A single id bare, or several as a list, as it is stored. */
  after?: ObjectId | ObjectId[]
  ifFailed?: IfFailed
  replayOf?: ObjectId
  /** The event that the task handles. */
  event?: ObjectId
  /** The name of the schedule that makes the task. */
  schedule?: string
}

/** The checked changes of a waiting task. */
export interface Changes extends BudgetChanges {
  priority?: number
  position?: 'front' | 'back'
  runAt?: Date
  deadline?: Date | null
  queue?: string
  input?: unknown
  title?: string | null
  labels?: Labels | null
  lazy?: boolean
  /** Empty to wait for no task. */
  after?: ObjectId[]
  ifFailed?: IfFailed
}

const READ_ONLY = new Set(
  'attempt attempts attemptsDropped basePriority checkpoint checkpointAttempt claimedAt control createdAt deadlineMissedAt error expireAt failures finishedAt host keyUntil lease lost order output parent predecessors progress publicUrl raiseAt replayOf rev schedule event signature startedAt status updatedAt worker'.split(
    ' ',
  ),
)

/**
 * Checks a request to enqueue a task.
 *
 * @throws {FleetError} `BAD_REQUEST`, `READ_ONLY_FIELD`, `UNKNOWN_FIELD`, `BAD_NAME`, `BAD_ID`, `BAD_INPUT`,
 *   `INPUT_TOO_LARGE`, `OUT_OF_RANGE`, `BAD_DATE`, `BAD_VALUE`; `field` is the path
 */
export function parseNewTask(request: unknown): NewTask {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new FleetError('BAD_REQUEST', 'A task must be an object with at least a name')
  }
  const asked = request as Record<string, unknown>
  for (const field of Object.keys(asked)) {
    if (READ_ONLY.has(field)) throw new FleetError('READ_ONLY_FIELD', `'${field}' is set by the fleet`, { field })
    if (!Object.hasOwn(shapes.newTask.shape, field))
      throw new FleetError('UNKNOWN_FIELD', `A task has no field '${field}'`, { field })
  }
  const { runAt, deadline, key, debounce, throttle } = asked
  const { after, ifFailed } = parseDependencies(asked)
  if (debounce !== undefined && throttle !== undefined) {
    throw new FleetError('BAD_VALUE', "'debounce' and 'throttle' can't be combined", { field: 'throttle' })
  }
  for (const [field, value] of Object.entries({ debounce, throttle })) {
    if (value !== undefined && key === undefined)
      throw new FleetError('BAD_VALUE', `'${field}' needs a 'key'`, { field: 'key' })
  }
  if (debounce !== undefined && runAt !== undefined) {
    throw new FleetError('BAD_VALUE', "'runAt' can't be combined with 'debounce', which sets when the task runs", {
      field: 'runAt',
    })
  }
  return {
    _id: asked._id === undefined ? new driver.ObjectId() : parseId(asked._id, '_id'),
    name: parseTaskName(asked.name),
    version: wholeNumber(asked.version ?? 1, 'version', { least: 1, most: 1_000_000 }),
    input: keepValue(asked.input ?? {}, 'input'),
    ...given({ title: parseTitle(asked.title), labels: parseLabels(asked.labels) }),
    queue: parseQueue(asked.queue ?? 'default'),
    priority: parsePriority(asked.priority ?? 'medium'),
    position: parseOneOf(asked.position ?? 'back', 'position', ['front', 'back']),
    lazy: parseBoolean(asked.lazy ?? false, 'lazy'),
    maxAttempts: DEFAULT_MAX_ATTEMPTS,
    ...parseBudget(asked),
    ...(runAt === undefined ? {} : { runAt: parseDate(runAt, 'runAt') }),
    ...(deadline === undefined ? {} : { deadline: parseDate(deadline, 'deadline') }),
    ...(key === undefined ? {} : { key: parseKey(key) }),
    keyPolicy: parseOneOf(asked.keyPolicy ?? 'reject', 'keyPolicy', ['reject', 'return', 'replace']),
    ...(debounce === undefined ? {} : { debounceMs: parsePeriod(debounce, 'debounce') }),
    ...(throttle === undefined ? {} : { throttleMs: parsePeriod(throttle, 'throttle') }),
    ...given({ after, ifFailed }),
  }
}

/**
 * Checks a request to change a waiting task.
 *
 * @throws {FleetError} as `parseNewTask`; `BAD_REQUEST` when there is nothing to change
 */
export function parseChanges(request: unknown): Changes {
  if (typeof request !== 'object' || request === null || Array.isArray(request) || Object.keys(request).length === 0) {
    throw new FleetError('BAD_REQUEST', 'Changes must be an object with at least one field', { field: 'changes' })
  }
  const asked = request as Record<string, unknown>
  for (const field of Object.keys(asked)) {
    if (Object.hasOwn(shapes.changes.shape, field)) continue
    if (READ_ONLY.has(field) || Object.hasOwn(shapes.newTask.shape, field)) {
      throw new FleetError('READ_ONLY_FIELD', `'${field}' can't be changed`, { field })
    }
    throw new FleetError('UNKNOWN_FIELD', `A task has no field '${field}'`, { field })
  }
  const { priority, position, runAt, deadline, queue, input, title, labels, lazy, after, ifFailed } = asked
  return {
    ...(priority === undefined ? {} : { priority: parsePriority(priority) }),
    ...(position === undefined ? {} : { position: parseOneOf(position, 'position', ['front', 'back']) }),
    ...(runAt === undefined ? {} : { runAt: parseDate(runAt, 'runAt') }),
    ...(deadline === undefined ? {} : { deadline: deadline === null ? null : parseDate(deadline, 'deadline') }),
    ...(queue === undefined ? {} : { queue: parseQueue(queue) }),
    ...(input === undefined ? {} : { input: keepValue(input, 'input') }),
    ...given({
      title: title === null ? null : parseTitle(title),
      labels: labels === null ? null : parseLabels(labels),
    }),
    ...(lazy === undefined ? {} : { lazy: parseBoolean(lazy, 'lazy') }),
    ...parseBudgetChanges(asked),
    ...(after === undefined ? {} : { after: after === null ? [] : parseAfter(after) }),
    ...(ifFailed === undefined ? {} : { ifFailed: parseOneOf(ifFailed, 'ifFailed', IF_FAILED) }),
  }
}

/** @throws {FleetError} `BAD_VALUE` */
const parseTitle = (value: unknown): string | undefined => parseNaming('title', value)
/** @throws {FleetError} `BAD_VALUE`; `field` is the label's path */
const parseLabels = (value: unknown): Labels | undefined => parseNaming('labels', value)

function parseNaming<Field extends 'title' | 'labels'>(field: Field, value: unknown): NewTask[Field] | undefined {
  if (value === undefined) return undefined
  const { data, error } = shapes.newTask.shape[field].safeParse(value)
  if (error === undefined) return data as NewTask[Field]
  const { path, message } = error.issues[0]!
  const place = [field, ...path.map(String)].join('.')
  throw new FleetError('BAD_VALUE', `'${place}': ${message}`, { field: place })
}

/** The most tasks that one task may wait for. */
const MOST_PREDECESSORS = 100

/** What a new task waits for. Fields are absent if it waits for none. @throws {FleetError} as `parseAfter`, `BAD_VALUE` */
function parseDependencies(asked: Record<string, unknown>): Pick<NewTask, 'after' | 'ifFailed'> {
  const ids = asked.after === undefined ? [] : parseAfter(asked.after)
  const ifFailed = asked.ifFailed === undefined ? undefined : parseOneOf(asked.ifFailed, 'ifFailed', IF_FAILED)
  if (ids.length === 0) {
    if (ifFailed === undefined) return {}
    throw new FleetError('BAD_VALUE', "'ifFailed' needs 'after': it sets what happens when one of those tasks fails", {
      field: 'ifFailed',
    })
  }
  if (asked.debounce !== undefined || asked.keyPolicy === 'replace') {
    const field = asked.debounce === undefined ? 'keyPolicy' : 'debounce'
    throw new FleetError('BAD_VALUE', "A task with 'after' can't replace a waiting task", { field })
  }
  return { after: ids.length === 1 ? ids[0]! : ids, ...given({ ifFailed }) }
}

/** Parses an id or a list of ids, and removes duplicates. @throws {FleetError} `BAD_ID`, `OUT_OF_RANGE` */
function parseAfter(value: unknown): ObjectId[] {
  if (!Array.isArray(value)) return [parseId(value, 'after')]
  if (value.length > MOST_PREDECESSORS) {
    throw new FleetError('OUT_OF_RANGE', `'after' must have at most ${MOST_PREDECESSORS} ids`, { field: 'after' })
  }
  const ids = value.map((one, index) => parseId(one, `after.${index}`))
  return [...new Map(ids.map((id) => [id.toHexString(), id])).values()]
}

const LONGEST_PERIOD_MS = 30 * 86_400_000

const parsePeriod = (value: unknown, field: string): number =>
  durationWithin(value, field, { least: 1, most: LONGEST_PERIOD_MS })

function parseKey(value: unknown): string {
  // Half a surrogate pair can't be encoded as UTF-8. Different halves would be stored as the same key.
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    throw new FleetError('BAD_STRING', "'key' contains half a surrogate pair, which can't be stored", { field: 'key' })
  }
  if (typeof value === 'string' && value.length > 0 && value.length <= 256) return value
  throw new FleetError('BAD_VALUE', "'key' must be a string of 1 to 256 characters", { field: 'key' })
}
