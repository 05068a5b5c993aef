import { RetryAfterError } from '@taskfleet/protocol'

/** What these say is about the client or the server, and not about one file (RFC 6585, 4 and RFC 9110, 15.6.4). */
const CLOSING = new Set([429, 503])

/** Which origins have asked to be left alone, and for how long: a request of another download would only make it longer. */
export class OriginGate {
  readonly #closed = new Map<string, { until: number; status: number }>()

  /** @throws {RetryAfterError} `ORIGIN_CLOSED` */
  check(origin: string): void {
    const closed = this.#closed.get(origin)
    if (closed === undefined) return
    const delayMs = closed.until - performance.now()
    if (delayMs > 0) {
      const message = `${origin} answered ${closed.status} to another download here and wants to be left alone for now`
      throw new RetryAfterError('ORIGIN_CLOSED', message, Math.ceil(delayMs))
    }
    this.#closed.delete(origin)
  }

  /** Closes an origin that has named a delay, for that long. */
  refused(origin: string, status: number, failure: Error): void {
    if (!CLOSING.has(status) || !(failure instanceof RetryAfterError) || !(failure.delayMs > 0)) return
    const until = Math.max(performance.now() + failure.delayMs, this.#closed.get(origin)?.until ?? 0)
    this.#closed.set(origin, { until, status })
  }
}
