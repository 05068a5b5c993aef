import { asError } from '@taskfleet/core'
import { type ErrorReport, type Failure, toRow } from '@taskfleet/core/internal'
import { type Duration, type ErrorRow, FleetError, milliseconds } from '@taskfleet/protocol'
import type { Logger } from 'pino'
import { sendWebhook, type Webhook } from './webhook.ts'

export interface RecurringErrors {
  /** From how many failed attempts on an error is a recurring one; 3 by default. */
  threshold?: number
  /** The developer is told of an error at most once in this time, whichever worker had it; an hour by default. */
  period?: Duration
  /** Told in the worker that had the error. */
  onRecurringError?: (error: ErrorRow) => unknown
  /** Where it is posted to, signed. */
  webhook?: Webhook
}

/** Counts failures in the report on errors, and tells the developer once per error and period. */
export class ErrorNotice {
  readonly #report: ErrorReport
  readonly #options: RecurringErrors
  readonly #threshold: number
  readonly #periodMs: number
  readonly #log: Logger

  /** @throws {FleetError} `CONFIG_RANGE`, `BAD_DURATION` */
  constructor(report: ErrorReport, options: RecurringErrors, log: Logger) {
    this.#report = report
    this.#options = options
    this.#threshold = options.threshold ?? 3
    this.#periodMs = milliseconds(options.period ?? '1h')
    this.#log = log
    if (!(Number.isInteger(this.#threshold) && this.#threshold >= 1)) {
      throw new FleetError('CONFIG_RANGE', "'recurringErrors.threshold' is a whole number from 1", {
        field: 'recurringErrors.threshold',
      })
    }
  }

  /** Never throws: what can't be counted or told must not harm the task. */
  async record(failure: Failure): Promise<void> {
    try {
      const group = await this.#report.record(failure)
      const { onRecurringError, webhook } = this.#options
      if (onRecurringError === undefined && webhook === undefined) return
      if (group === null || group.state !== 'open' || group.count < this.#threshold) return
      const taken = await this.#report.takeNotice(group._id, this.#threshold, this.#periodMs)
      if (taken === null) return
      const row = toRow<ErrorRow>('errors', taken as never)
      await Promise.all([
        Promise.resolve(row).then(onRecurringError),
        webhook === undefined ? undefined : sendWebhook(webhook, { event: 'recurringError', error: row }),
      ])
    } catch (error) {
      this.#log.error({ err: asError(error), fingerprint: failure.error.fingerprint }, 'an error could not be reported')
    }
  }
}
