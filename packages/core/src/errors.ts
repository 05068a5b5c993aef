import { milliseconds } from './duration.ts'
import { FleetError, UnrecoverableError } from './fleet-error.ts'
import type { Duration } from './protocol.ts'

export { FleetError, UnrecoverableError }

/** Thrown by a handler: the attempt failed, and the next one starts after `delayMs` instead of the usual back-off. */
export class RetryAfterError extends FleetError {
  readonly delayMs: number

  constructor(code: string, message: string, delayMs: number, options: { cause?: unknown } = {}) {
    super(code, message, options)
    this.delayMs = delayMs
  }
}

/** Thrown by a handler: not now; the task waits again for `delayMs`, and the attempt counts as no failure. */
export class SnoozeError extends FleetError {
  readonly delayMs: number

  constructor(delay: Duration, message = 'The handler asked for later') {
    super('SNOOZED', message)
    this.delayMs = milliseconds(delay)
  }
}

export type AbortCode =
  | 'CANCELLED'
  | 'PAUSED'
  | 'TIMED_OUT'
  | 'TASK_TIMED_OUT'
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
