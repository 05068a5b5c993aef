import { LONGEST_MS, readDuration, shortDuration, shownValue } from './duration.ts'
import { FleetError } from './fleet-error.ts'

/** What a number may be, both ends included, and the code of the error when it is not. */
export interface NumberRange {
  least: number
  most: number
  /** `OUT_OF_RANGE` by default. */
  code?: string
}

/**
 * A whole number within a range, from a caller who may send anything.
 *
 * @param field the path that the error names
 * @throws {FleetError} the range's code
 */
export function wholeNumber(
  value: unknown,
  field: string,
  { least, most, code = 'OUT_OF_RANGE' }: NumberRange,
): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw new FleetError(code, `'${field}' is a whole number from ${least} to ${most}, not ${shownValue(value)}`, {
    field,
  })
}

/**
 * A duration in whole milliseconds within a range, a hundred years at most.
 *
 * @param field the path that the error names
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
  throw new FleetError(code, `'${field}' is a duration ${range}, such as 90s, 5m or 2h, not ${shownValue(value)}`, {
    field,
  })
}
