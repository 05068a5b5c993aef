import { LONGEST_MS, readDuration, shortDuration, shownValue } from './duration.ts'
import { FleetError } from './fleet-error.ts'

/** The allowed range of a number, both ends included, and the error code for other values. */
export interface NumberRange {
  least: number
  most: number
  /** `OUT_OF_RANGE` by default. */
  code?: string
}

/**
 * Checks a whole number from a caller.
 *
 * @param field the path for the error
 * @throws {FleetError} the range's code
 */
export function wholeNumber(
  value: unknown,
  field: string,
  { least, most, code = 'OUT_OF_RANGE' }: NumberRange,
): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new FleetError(code, `'${field}' must be a whole number from ${least} to ${most}, not ${shownValue(value)}`, {
    field,
  })
}

/**
 * Checks a duration and returns whole milliseconds; a hundred years at most.
 *
 * @param field the path for the error
 * @throws {FleetError} the range's code
 */
export function durationWithin(
  value: unknown,
  field: string,
  { least, most = LONGEST_MS, code = 'OUT_OF_RANGE' }: Omit<NumberRange, 'most'> & { most?: number },
): number {
  const ms = readDuration(value)
  if (ms >= least && ms <= most) return ms
  const range = `from ${shortDuration(least)} to ${shortDuration(most)}`
  throw new FleetError(
    code,
    `'${field}' must be a duration ${range}, such as 90s, 5m or 2h, not ${shownValue(value)}`,
    {
      field,
    },
  )
}
