import { asError } from '@taskfleet/core'
import { AttemptAborted } from '@taskfleet/protocol'
import { type Culprit, processGuard } from './process-guard.js'

export interface AttemptBoundaryOptions {
  /** The first error that nobody caught came out while the attempt ran: it is the attempt's failure. */
  onLeak(failure: AttemptAborted): void
  /** An error came out that changes nothing any more: after the attempt's end, or after the first. */
  onLate(error: Error): void
}

/**
 * Around all code of one attempt: what it throws where nobody catches it is the attempt's own failure, be it in a timer, in an
 * emitter, in a library's event or in a promise that nobody awaits. The process and its other attempts go on.
 */
export class AttemptBoundary implements Culprit {
  #options: AttemptBoundaryOptions
  #failure: AttemptAborted | undefined
  #ended = false

  constructor(options: AttemptBoundaryOptions) {
    this.#options = options
  }

  /** What came out of it first, while the attempt ran. */
  get failure(): AttemptAborted | undefined {
    return this.#failure
  }

  /** Runs the handler. What it let go in its last turn still counts. */
  async run<T>(act: () => T | Promise<T>): Promise<T> {
    const release = processGuard.hold()
    try {
      const result = await this.within(async () => act())
      await new Promise((resolve) => setImmediate(resolve))
      return result
    } finally {
      release()
    }
  }

  /** Calls something else that belongs to the attempt, such as a listener of its signal. */
  within<T>(act: () => T): T {
    return processGuard.run(this, act)
  }

  /** Whether the code that asks belongs to an attempt, and to which. */
  static get current(): AttemptBoundary | undefined {
    const culprit = processGuard.current
    return culprit instanceof AttemptBoundary ? culprit : undefined
  }

  leaked(thrown: unknown): void {
    const error = readable(thrown)
    // The first counts, and may come out again further up.
    if (error === this.#failure) return
    if (this.#ended || this.#failure !== undefined) {
      this.#options.onLate(error)
      return
    }
    this.#failure = failureOf(error)
    this.#options.onLeak(this.#failure)
  }

  /** How the attempt ends is decided: what comes out from now on is only logged. */
  end(): void {
    this.#ended = true
  }
}

function failureOf(error: Error): AttemptAborted {
  if (error instanceof AttemptAborted && error.code === 'UNHANDLED_IN_HANDLER') return error
  const message = `The handler let an error go that nobody caught: ${error.name}: ${error.message}`
  const failure = new AttemptAborted('UNHANDLED_IN_HANDLER', message, { cause: error })
  // Where it happened is there; here is nothing to see.
  if (typeof error.stack === 'string') failure.stack = error.stack
  return failure
}

/** Handlers throw anything; reading it must not throw once more. */
function readable(thrown: unknown): Error {
  try {
    const error = asError(thrown)
    if (typeof error.message === 'string' && typeof error.name === 'string') return error
  } catch {
    // It is told of as far as it can be.
  }
  return new Error('a value that can not be read')
}
