import { asError } from '@taskfleet/core'
import { type ErrorReport, type Failure, toRow } from '@taskfleet/core/internal'
import { type Duration, type ErrorRow, milliseconds } from '@taskfleet/protocol'
import { wholeNumber } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import { sendWebhook, type Webhook } from './webhook.ts'

export interface RecurringErrors {
  /** How many failed attempts make an error a recurring one; 3 by default. */
  threshold?: number
  /** An error is reported at most once in this time, whichever worker had it; an hour by default. */
  period?: Duration
  /** Called in the worker that had the error. */
  onRecurringError?: (error: ErrorRow) => unknown
  /** Where the report is posted, signed. */
  webhook?: Webhook
}

/** Counts failures by error, and reports each recurring error once in a period. */
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
    const range = { least: 1, most: Number.MAX_SAFE_INTEGER, code: 'CONFIG_RANGE' }
    this.#threshold = wholeNumber(options.threshold ?? 3, 'recurringErrors.threshold', range)
    this.#periodMs = milliseconds(options.period ?? '1h')
    this.#log = log
  }

  /** Never throws: a failure to count or report must not harm the task. */
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
