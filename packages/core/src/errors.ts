import { inspect } from 'node:util'
import { milliseconds } from './duration.ts'
import { FleetError, receivedError, UnknownOutcome } from './fleet-error.ts'
import type { Duration } from './protocol.ts'

export { FleetError, receivedError, UnknownOutcome }

/** Thrown by a handler: trying again can't help, so the task fails at once. */
export class UnrecoverableError extends FleetError {}

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

export type AbortCode = 'CANCELLED' | 'PAUSED' | 'TIMED_OUT' | 'TASK_TIMED_OUT' | 'SHUTDOWN' | 'LEASE_LOST'

/** The reason of a handler's `AbortSignal`. */
export class AttemptAborted extends FleetError {
  override readonly code: AbortCode

  constructor(code: AbortCode, message: string, options: { cause?: unknown } = {}) {
    super(code, message, options)
    this.code = code
  }
}

/** A value thrown by foreign code, as an `Error`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error(typeof thrown === 'string' ? thrown : inspect(thrown, { depth: 2 }))
}
