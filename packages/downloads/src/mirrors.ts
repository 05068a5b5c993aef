import { AttemptAborted, UnrecoverableError } from '@taskfleet/protocol'
import type { Reply } from './http-exchange.ts'
import type { Source } from './http-source.ts'
import type { RangeRequest } from './resume-plan.ts'

/** The addresses of one file, of which one is used at a time. Each is left once in an attempt, so that it ends. */
export class Mirrors implements Source {
  readonly #urls: readonly URL[]
  readonly #sourceOf: (url: URL, signal?: AbortSignal) => Source
  readonly #failures: Error[] = []

  /**
   * @param urls in the order in which they are used
   * @param sourceOf with a signal, for connections beside the first one
   */
  constructor(urls: readonly URL[], sourceOf: (url: URL, signal?: AbortSignal) => Source) {
    this.#urls = urls
    this.#sourceOf = sourceOf
  }

  get url(): URL {
    return this.#urls[this.#failures.length]!
  }

  /** Whether there is more than one address. */
  get several(): boolean {
    return this.#urls.length > 1
  }

  open(range?: RangeRequest): Promise<Reply> {
    return this.#sourceOf(this.url).open(range)
  }

  /** The same address, until the signal ends. */
  until(signal: AbortSignal): Source {
    return this.#sourceOf(this.url, signal)
  }

  /**
   * Goes on to the next address.
   *
   * @throws what the task fails with when there is none: of all failures, rather one that may pass
   */
  leave(failure: unknown): void {
    if (!(failure instanceof Error) || failure instanceof AttemptAborted) throw failure
    if (this.#failures.length === this.#urls.length - 1) {
      const all = [...this.#failures, failure]
      throw all.find((one) => !(one instanceof UnrecoverableError)) ?? failure
    }
    this.#failures.push(failure)
  }
}
