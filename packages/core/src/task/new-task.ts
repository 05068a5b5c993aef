import { mongo, Types } from 'mongoose'
import { milliseconds } from '../duration.ts'
import { FleetError } from '../errors.ts'
import { type Duration, type EnqueueRequest, PRIORITY_NAMES, type Priority, type TaskChanges } from '../protocol.ts'
import type { ObjectId } from './task-document.ts'

export const INPUT_LIMIT = 256 * 1024
const DEPTH_LIMIT = 64
const NAME = /^[A-Za-z][A-Za-z0-9_.:-]{0,127}$/
/** Keys that a reader's language or the database's driver takes for something else. */
const UNSAFE = new Set(['__proto__', '_bsontype'])
const LATEST_DATE = Date.UTC(9999, 11, 31)

/** A request to enqueue, checked and with its defaults filled in. Absent dates are the server's to fill. */
export interface NewTask {
  _id: ObjectId
  name: string
  version: number
  input: unknown
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
  after?: ObjectId
  replayOf?: ObjectId
  /** The event that it is for. */
  event?: ObjectId
  /** The name of the schedule that makes it. */
  schedule?: string
}

/** What is to change of a task that waits, checked. */
export interface Changes {
  priority?: number
  position?: 'front' | 'back'
  runAt?: Date
  deadline?: Date | null
  queue?: string
  input?: unknown
  lazy?: boolean
  maxAttempts?: number
}

const FIELDS: Record<keyof EnqueueRequest, true> = {
  _id: true,
  name: true,
  version: true,
  input: true,
  priority: true,
  runAt: true,
  deadline: true,
  position: true,
  lazy: true,
  key: true,
  keyPolicy: true,
  debounce: true,
  throttle: true,
  queue: true,
  after: true,
  maxAttempts: true,
}

const READ_ONLY = new Set(
  'attempt attempts attemptsDropped basePriority checkpoint claimedAt control createdAt deadlineMissedAt error expireAt failures finishedAt keyUntil lease lost order output parent progress publicUrl raiseAt replayOf rev schedule event signature startedAt status updatedAt worker'.split(
    ' ',
  ),
)

/**
 * Checks what a caller asked to enqueue.
 *
 * @throws {FleetError} `BAD_REQUEST`, `READ_ONLY_FIELD`, `UNKNOWN_FIELD`, `BAD_NAME`, `BAD_ID`, `BAD_INPUT`,
 *   `INPUT_TOO_LARGE`, `OUT_OF_RANGE`, `BAD_DATE`, `BAD_VALUE`; `field` names the place
 */
export function parseNewTask(request: unknown): NewTask {
  if (typeof request !== 'object' || request === null || Array.isArray(request)) {
    throw new FleetError('BAD_REQUEST', 'A task is an object with at least a name')
  }
  const asked = request as Record<string, unknown>
  for (const field of Object.keys(asked)) {
    if (READ_ONLY.has(field)) throw new FleetError('READ_ONLY_FIELD', `'${field}' is set by the fleet`, { field })
    if (!Object.hasOwn(FIELDS, field))
      throw new FleetError('UNKNOWN_FIELD', `A task has no field '${field}'`, { field })
  }
  const { runAt, deadline, key, after, debounce, throttle } = asked
  if (debounce !== undefined && throttle !== undefined) {
    throw new FleetError('BAD_VALUE', 'A task is debounced or throttled, not both', { field: 'throttle' })
  }
  for (const [field, value] of Object.entries({ debounce, throttle })) {
    if (value !== undefined && key === undefined)
      throw new FleetError('BAD_VALUE', `'${field}' needs a 'key'`, { field: 'key' })
  }
  if (debounce !== undefined && runAt !== undefined) {
    throw new FleetError('BAD_VALUE', "'debounce' says when it runs, so 'runAt' can't", { field: 'runAt' })
  }
  return {
    _id: asked._id === undefined ? new Types.ObjectId() : parseId(asked._id, '_id'),
    name: parseTaskName(asked.name),
    version: parseInteger(asked.version ?? 1, 'version', 1, 1_000_000),
    input: parseInput(asked.input ?? {}),
    queue: parseQueue(asked.queue ?? 'default'),
    priority: parsePriority(asked.priority ?? 'medium'),
    position: parseOneOf(asked.position ?? 'back', 'position', ['front', 'back']),
    lazy: parseBoolean(asked.lazy ?? false, 'lazy'),
    maxAttempts: parseInteger(asked.maxAttempts ?? 5, 'maxAttempts', 1, 50),
    ...(runAt === undefined ? {} : { runAt: parseDate(runAt, 'runAt') }),
    ...(deadline === undefined ? {} : { deadline: parseDate(deadline, 'deadline') }),
    ...(key === undefined ? {} : { key: parseKey(key) }),
    keyPolicy: parseOneOf(asked.keyPolicy ?? 'reject', 'keyPolicy', ['reject', 'return', 'replace']),
    ...(debounce === undefined ? {} : { debounceMs: parsePeriod(debounce, 'debounce') }),
    ...(throttle === undefined ? {} : { throttleMs: parsePeriod(throttle, 'throttle') }),
    ...(after === undefined ? {} : { after: parseId(after, 'after') }),
  }
}

const CHANGES: Record<keyof TaskChanges, true> = {
  priority: true,
  position: true,
  runAt: true,
  deadline: true,
  queue: true,
  input: true,
  lazy: true,
  maxAttempts: true,
}

/**
 * Checks what a caller wants changed of a task that waits.
 *
 * @throws {FleetError} as `parseNewTask`; `BAD_REQUEST` when there is nothing to change
 */
export function parseChanges(request: unknown): Changes {
  if (typeof request !== 'object' || request === null || Array.isArray(request) || Object.keys(request).length === 0) {
    throw new FleetError('BAD_REQUEST', 'Changes are an object with at least one field', { field: 'changes' })
  }
  const asked = request as Record<string, unknown>
  for (const field of Object.keys(asked)) {
    if (Object.hasOwn(CHANGES, field)) continue
    if (READ_ONLY.has(field) || Object.hasOwn(FIELDS, field)) {
      throw new FleetError('READ_ONLY_FIELD', `'${field}' can't be changed`, { field })
    }
    throw new FleetError('UNKNOWN_FIELD', `A task has no field '${field}'`, { field })
  }
  const { priority, position, runAt, deadline, queue, input, lazy, maxAttempts } = asked
  return {
    ...(priority === undefined ? {} : { priority: parsePriority(priority) }),
    ...(position === undefined ? {} : { position: parseOneOf(position, 'position', ['front', 'back']) }),
    ...(runAt === undefined ? {} : { runAt: parseDate(runAt, 'runAt') }),
    ...(deadline === undefined ? {} : { deadline: deadline === null ? null : parseDate(deadline, 'deadline') }),
    ...(queue === undefined ? {} : { queue: parseQueue(queue) }),
    ...(input === undefined ? {} : { input: parseInput(input) }),
    ...(lazy === undefined ? {} : { lazy: parseBoolean(lazy, 'lazy') }),
    ...(maxAttempts === undefined ? {} : { maxAttempts: parseInteger(maxAttempts, 'maxAttempts', 1, 50) }),
  }
}

/** @throws {FleetError} `BAD_QUEUE` */
export function parseQueue(value: unknown): string {
  return parseName(value, 'queue', 'BAD_QUEUE')
}

/** @throws {FleetError} `BAD_NAME` */
export function parseTaskName(value: unknown): string {
  return parseName(value, 'name', 'BAD_NAME')
}

const LONGEST_PERIOD_MS = 30 * 86_400_000

function parsePeriod(value: unknown, field: string): number {
  let ms = Number.NaN
  try {
    ms = milliseconds(value as Duration)
  } catch {
    // Told below, with the field's name.
  }
  if (ms >= 1 && ms <= LONGEST_PERIOD_MS) return Math.round(ms)
  throw new FleetError('OUT_OF_RANGE', `'${field}' is a duration from 1 ms to 30 d`, { field })
}

/** @throws {FleetError} `BAD_ID` */
export function parseId(value: unknown, field = 'id'): ObjectId {
  if (value instanceof Types.ObjectId) return value
  if (typeof value === 'string' && /^[0-9a-f]{24}$/i.test(value)) return new Types.ObjectId(value)
  throw new FleetError('BAD_ID', `'${field}' is not an id: 24 hexadecimal digits are`, { field })
}

/** @throws {FleetError} `OUT_OF_RANGE` */
export function parsePriority(value: Priority | unknown): number {
  if (typeof value === 'string' && Object.hasOwn(PRIORITY_NAMES, value)) {
    return PRIORITY_NAMES[value as keyof typeof PRIORITY_NAMES]
  }
  return parseInteger(value, 'priority', 1, 10)
}

/** @throws {FleetError} `BAD_DATE` */
export function parseDate(value: unknown, field: string): Date {
  const date = typeof value === 'string' || value instanceof Date ? new Date(value) : undefined
  const time = date?.getTime() ?? Number.NaN
  if (date === undefined || !(time >= 0 && time <= LATEST_DATE)) {
    throw new FleetError('BAD_DATE', `'${field}' is not a date: an ISO 8601 text is, up to the year 9999`, { field })
  }
  return date
}

/** @throws {FleetError} `code` */
export function parseName(value: unknown, field: string, code: string): string {
  if (typeof value === 'string' && NAME.test(value)) return value
  throw new FleetError(code, `'${field}' is a letter, then letters, digits and _ . : - up to 128 in all`, { field })
}

function parseKey(value: unknown): string {
  // Half a surrogate pair has no UTF-8: all of them would be stored as the same key.
  if (typeof value === 'string' && /\p{Surrogate}/u.test(value)) {
    throw new FleetError('BAD_STRING', "'key' holds half a surrogate pair, which can't be stored", { field: 'key' })
  }
  if (typeof value === 'string' && value.length > 0 && value.length <= 256) return value
  throw new FleetError('BAD_VALUE', "'key' is a text of 1 to 256 characters", { field: 'key' })
}

function parseInteger(value: unknown, field: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new FleetError('OUT_OF_RANGE', `'${field}' is a whole number from ${least} to ${most}`, { field })
}

/** @throws {FleetError} `BAD_VALUE` */
export function parseBoolean(value: unknown, field: string): boolean {
  if (typeof value === 'boolean') return value
  throw new FleetError('BAD_VALUE', `'${field}' is true or false`, { field })
}

/** @throws {FleetError} `BAD_VALUE` */
export function parseOneOf<T extends string>(value: unknown, field: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value)
  if (found !== undefined) return found
  throw new FleetError('BAD_VALUE', `'${field}' is one of ${allowed.join(', ')}`, { field })
}

/** What a caller or a handler wants stored: plain values with keys that every reader can address. */
function parseInput(input: unknown): unknown {
  checkKeys(input, 'input', 0)
  checkSize(input, 'INPUT_TOO_LARGE', 'input')
  return input
}

/** @throws {FleetError} `code` above 256 KiB */
export function checkSize(value: unknown, code: string, field: string): void {
  const size = mongo.BSON.calculateObjectSize({ value })
  if (size > INPUT_LIMIT) {
    throw new FleetError(code, `'${field}' takes ${size} bytes; at most ${INPUT_LIMIT} are allowed`, { field })
  }
}

function checkKeys(value: unknown, path: string, depth: number): void {
  if (depth > DEPTH_LIMIT) throw new FleetError('BAD_INPUT', `Nested deeper than ${DEPTH_LIMIT}`, { field: path })
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') {
    throw new FleetError('BAD_INPUT', `A ${typeof value} can't be stored`, { field: path })
  }
  if (typeof value !== 'object' || value === null || value instanceof Date || value instanceof Types.ObjectId) return
  if (Array.isArray(value)) {
    value.forEach((item, index) => {
      checkKeys(item, `${path}.${index}`, depth + 1)
    })
    return
  }
  for (const [key, inner] of Object.entries(value)) {
    if (key === '' || key.startsWith('$') || key.includes('.') || key.includes('\0') || UNSAFE.has(key)) {
      throw new FleetError('BAD_INPUT', `'${key}' can't be a key: it may not be empty, start with $ or hold a dot`, {
        field: `${path}.${key}`,
      })
    }
    checkKeys(inner, `${path}.${key}`, depth + 1)
  }
}
