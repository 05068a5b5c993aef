import { readDuration } from './duration.ts'
import { BatchRefused, FleetError, receivedError, UnknownOutcome, UnrecoverableError } from './fleet-error.ts'
import type { Duration } from './protocol.ts'

export type { EntryProblem } from './fleet-error.ts'
export { BatchRefused, FleetError, receivedError, UnknownOutcome, UnrecoverableError }

/** The longest delay of `RetryAfterError`: a day. A longer delay is cut to this. */
export const LONGEST_RETRY_AFTER_MS = 86_400_000
/** The longest delay of `SnoozeError`: a year. A longer delay fails the attempt with `BAD_DELAY`. */
export const LONGEST_SNOOZE_MS = 366 * 86_400_000

/**
 * Thrown by a handler that can't run now for an external reason, such as a server that responds with `Retry-After`. The task
 * waits for `delay`, at most a day. The attempt costs nothing: it doesn't count as a failure or lower the priority.
 */
export class RetryAfterError extends FleetError {
  /** In milliseconds; NaN for a delay that is no duration, which fails the attempt with `BAD_DELAY`. */
  readonly delayMs: number

  constructor(code: string, message: string, delay: Duration, options: { cause?: unknown } = {}) {
    super(code, message, options)
    this.delayMs = readDuration(delay)
  }
}

/** Thrown by a handler that should run later: the task waits for `delay`, and the attempt doesn't count as a failure. */
export class SnoozeError extends FleetError {
  /** In milliseconds; NaN for an invalid duration, which fails the attempt with `BAD_DELAY`. */
  readonly delayMs: number

  constructor(delay: Duration, message = 'The handler asked to run later') {
    super('SNOOZED', message)
    this.delayMs = readDuration(delay)
  }
}

export type AbortCode =
  | 'CANCELLED'
  | 'PAUSED'
  | 'TIMED_OUT'
  | 'TASK_TIMED_OUT'
  | 'STALLED'
  | 'SHUTDOWN'
  | 'LEASE_LOST'
  | 'IN_DOUBT'
  | 'UNHANDLED_IN_HANDLER'

/** The reason of a handler's `AbortSignal`. */
export class AttemptAborted extends FleetError {
  override readonly code: AbortCode

  constructor(code: AbortCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, options)
    this.code = code
  }
}
