import { type BudgetRow, FAILURE_COUNTS, FleetError } from '@taskfleet/protocol'
import { durationWithin, LONGEST_MS, type NumberRange, shownValue, wholeNumber } from '@taskfleet/protocol/internal'
import { type BackoffPolicy, DEFAULT_BACKOFF } from './backoff.ts'
import { parseBoolean, parseFields, parseOneOf } from './parse-value.ts'

/** The most failed attempts that a task may be given. */
const FAILED_ATTEMPTS: NumberRange = { least: 1, most: 50 }
/** The range of the time limits: of an attempt, of a task, and of the time without progress. */
export const LIMIT_RANGE: NumberRange = { least: 1, most: LONGEST_MS }
const DELAY_RANGE: NumberRange = { least: 0, most: 366 * 86_400_000 }
const LARGEST_FACTOR = 1_000
const RETRY_FIELDS = ['maxAttempts', 'backoff', 'decay', 'counts'] as const
const BACKOFF_FIELDS = ['kind', 'base', 'factor', 'cap', 'jitter'] as const

/** The retry options of a task or a handler, in milliseconds. A fixed delay has the factor 1. */
export type StoredRetry = NonNullable<BudgetRow['retry']>

/** A task's own limits, in place of its handler's. Times are in milliseconds. */
export interface Budget extends BudgetRow {}

/** As the caller requested it; `null` removes a limit. */
export type BudgetChanges = {
  [Field in keyof Budget]?: Budget[Field] | (Field extends 'maxAttempts' ? never : null)
}

const LIMITS = ['timeout', 'totalTimeout', 'stall'] as const
export const BUDGET_FIELDS = ['retry', ...LIMITS] as const

/** @throws {FleetError} `OUT_OF_RANGE`, `BAD_VALUE`, `UNKNOWN_FIELD` */
export function parseBudget(asked: Record<string, unknown>): Budget {
  const budget = parseBudgetChanges({ ...asked, maxAttempts: asked.maxAttempts ?? undefined })
  const empty = BUDGET_FIELDS.find((field) => budget[field] === null)
  if (empty !== undefined) {
    throw new FleetError('BAD_VALUE', `'${empty}' can't be null. Leave it out to use the handler's value`, {
      field: empty,
    })
  }
  return budget as Budget
}

/** @throws {FleetError} as `parseBudget` */
export function parseBudgetChanges(asked: Record<string, unknown>): BudgetChanges {
  const { maxAttempts, retry } = asked
  const changes: BudgetChanges = {}
  if (maxAttempts !== undefined) changes.maxAttempts = wholeNumber(maxAttempts, 'maxAttempts', FAILED_ATTEMPTS)
  if (retry === null) changes.retry = null
  else if (retry !== undefined) {
    const { maxAttempts: most, ...rest } = parseRetry(retry)
    if (most !== undefined) changes.maxAttempts = most
    // A `retry` with only the number of attempts is stored in `maxAttempts` alone.
    if (Object.keys(rest).length > 0 || most === undefined) changes.retry = rest
  }
  for (const limit of LIMITS) {
    const value = asked[limit]
    if (value === undefined) continue
    changes[limit] = value === null ? null : durationWithin(value, limit, LIMIT_RANGE)
  }
  return changes
}

/**
 * @param asked unchecked, since the caller may be any program; a function in `backoff.delay` is checked with the handler
 * @throws {FleetError} `OUT_OF_RANGE`, `BAD_VALUE`, `UNKNOWN_FIELD`
 */
export function parseRetry(asked: unknown): StoredRetry & Pick<Budget, 'maxAttempts'> {
  const { maxAttempts, backoff, decay, counts } = parseFields(asked, 'retry', RETRY_FIELDS)
  return {
    ...(maxAttempts === undefined
      ? {}
      : { maxAttempts: wholeNumber(maxAttempts, 'retry.maxAttempts', FAILED_ATTEMPTS) }),
    ...(backoff === undefined ? {} : { backoff: parseBackoff(backoff) }),
    ...(decay === undefined ? {} : { decay: parseBoolean(decay, 'retry.decay') }),
    ...(counts === undefined ? {} : { counts: parseOneOf(counts, 'retry.counts', FAILURE_COUNTS) }),
  }
}

function parseBackoff(asked: unknown): NonNullable<StoredRetry['backoff']> {
  const { kind, base, factor, cap, jitter } = parseFields(asked, 'retry.backoff', BACKOFF_FIELDS)
  const fixed = kind !== undefined && parseOneOf(kind, 'retry.backoff.kind', ['fixed', 'exponential']) === 'fixed'
  const given = factor === undefined ? undefined : parseFactor(factor)
  return {
    ...(base === undefined ? {} : { base: durationWithin(base, 'retry.backoff.base', DELAY_RANGE) }),
    ...(fixed ? { factor: 1 } : given === undefined ? {} : { factor: given }),
    ...(cap === undefined ? {} : { cap: durationWithin(cap, 'retry.backoff.cap', DELAY_RANGE) }),
    ...(jitter === undefined ? {} : { jitter: parseBoolean(jitter, 'retry.backoff.jitter') }),
  }
}

function parseFactor(value: unknown): number {
  if (typeof value === 'number' && value >= 1 && value <= LARGEST_FACTOR) return value
  const message = `'retry.backoff.factor' must be a number from 1 to ${LARGEST_FACTOR}, not ${shownValue(value)}`
  throw new FleetError('OUT_OF_RANGE', message, { field: 'retry.backoff.factor' })
}

/** The whole policy, with defaults for missing fields. */
export function backoffPolicy(backoff: StoredRetry['backoff'] = {}): BackoffPolicy {
  return { ...DEFAULT_BACKOFF, ...backoff }
}
