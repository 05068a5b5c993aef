import { FleetError, PRIORITY_NAMES, type Priority } from '@taskfleet/protocol'
import { shownValue, TASK_NAME, wholeNumber } from '@taskfleet/protocol/internal'
import { driver } from '../database/driver.ts'
import type { ObjectId } from './task-document.ts'

const LATEST_DATE = Date.UTC(9999, 11, 31)

/** @throws {FleetError} `BAD_ID` */
export function parseId(value: unknown, field = 'id'): ObjectId {
  if (value instanceof driver.ObjectId) return value
  if (typeof value === 'string' && /^[0-9a-f]{24}$/i.test(value)) return new driver.ObjectId(value)
  throw new FleetError('BAD_ID', `'${field}' must be an id of 24 hexadecimal digits`, { field })
}

/** @throws {FleetError} `BAD_QUEUE` */
export function parseQueue(value: unknown): string {
  return parseName(value, 'queue', 'BAD_QUEUE')
}

/** @throws {FleetError} `BAD_NAME` */
export function parseTaskName(value: unknown): string {
  return parseName(value, 'name', 'BAD_NAME')
}

/** @throws {FleetError} `code` */
export function parseName(value: unknown, field: string, code: string): string {
  if (typeof value === 'string' && TASK_NAME.test(value)) return value
  throw new FleetError(
    code,
    `'${field}' must start with a letter, then letters, digits and _ . : - up to 128 characters`,
    { field },
  )
}

/** @throws {FleetError} `OUT_OF_RANGE` */
export function parsePriority(value: Priority | unknown): number {
  if (typeof value === 'string' && Object.hasOwn(PRIORITY_NAMES, value)) {
    return PRIORITY_NAMES[value as keyof typeof PRIORITY_NAMES]
  }
  return wholeNumber(value, 'priority', { least: 1, most: 10 })
}

/** @throws {FleetError} `BAD_DATE` */
export function parseDate(value: unknown, field: string): Date {
  const date = typeof value === 'string' || value instanceof Date ? new Date(value) : undefined
  const time = date?.getTime() ?? Number.NaN
  if (date === undefined || !(time >= 0 && time <= LATEST_DATE)) {
    throw new FleetError('BAD_DATE', `'${field}' must be an ISO 8601 date up to the year 9999`, { field })
  }
  return date
}

/** @throws {FleetError} `BAD_VALUE` */
export function parseBoolean(value: unknown, field: string): boolean {
  if (typeof value === 'boolean') return value
  throw new FleetError('BAD_VALUE', `'${field}' must be true or false`, { field })
}

/** @throws {FleetError} `BAD_VALUE` */
export function parseOneOf<T extends string>(value: unknown, field: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value)
  if (found !== undefined) return found
  throw new FleetError('BAD_VALUE', `'${field}' must be one of ${allowed.join(', ')}`, { field })
}

/** @throws {FleetError} `BAD_VALUE`, `UNKNOWN_FIELD` */
export function parseFields<Field extends string>(
  value: unknown,
  path: string,
  allowed: readonly Field[],
): Partial<Record<Field, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FleetError('BAD_VALUE', `'${path}' must be an object with ${allowed.join(', ')}`, { field: path })
  }
  const unknown = Object.keys(value).find((key) => !(allowed as readonly string[]).includes(key))
  if (unknown === undefined) return value as Partial<Record<Field, unknown>>
  const message = `'${path}' has no field ${shownValue(unknown)}; allowed are ${allowed.join(', ')}`
  throw new FleetError('UNKNOWN_FIELD', message, { field: `${path}.${unknown}` })
}
