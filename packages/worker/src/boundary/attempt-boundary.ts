import { asError } from '@taskfleet/core'
import { AttemptAborted } from '@taskfleet/protocol'
import { type Culprit, processGuard } from './process-guard.js'

export interface AttemptBoundaryOptions {
  /** Called with the first uncaught error of the running attempt: its failure. */
  onLeak(failure: AttemptAborted): void
  /** Called with an uncaught error after the first one, or after the attempt's end. */
  onLate(error: Error): void
}

/**
 * Surrounds all code of one attempt. An uncaught error fails this attempt, whether it was thrown in a timer, an event or a
 * promise that is not awaited. The process and its other attempts go on.
 */
export class AttemptBoundary implements Culprit {
  #options: AttemptBoundaryOptions
  /** The first uncaught error of the running attempt. */
  failure: AttemptAborted | undefined
  #ended = false

  constructor(options: AttemptBoundaryOptions) {
    this.#options = options
  }

  /** Runs the handler. An uncaught error in its last turn of the event loop still counts. */
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

  /** Calls other code of the attempt, such as a listener of its signal. */
  within<T>(act: () => T): T {
    return processGuard.run(this, act)
  }

  /** The attempt to which the running code belongs, if any. */
  static get current(): AttemptBoundary | undefined {
    const culprit = processGuard.current
    return culprit instanceof AttemptBoundary ? culprit : undefined
  }

  leaked(thrown: unknown): void {
    const error = readable(thrown)
    // The first one counts. It may be thrown again further up.
    if (error === this.failure) return
    if (this.#ended || this.failure !== undefined) {
      this.#options.onLate(error)
      return
    }
    this.failure = failureOf(error)
    this.#options.onLeak(this.failure)
  }

  /** The outcome is decided: errors from now on are only logged. */
  end(): void {
    this.#ended = true
  }
}

function failureOf(error: Error): AttemptAborted {
  if (error instanceof AttemptAborted && error.code === 'UNHANDLED_IN_HANDLER') return error
  const message = `Uncaught error of the handler: ${error.name}: ${error.message}`
  const failure = new AttemptAborted('UNHANDLED_IN_HANDLER', message, { cause: error })
  // The error's own stack says where it happened.
  if (typeof error.stack === 'string') failure.stack = error.stack
  return failure
}

/** Handlers may throw anything, and reading it must not throw again. */
function readable(thrown: unknown): Error {
  try {
    const error = asError(thrown)
    if (typeof error.message === 'string' && typeof error.name === 'string') return error
  } catch {
    // A getter threw, for example of a proxy.
  }
  return new Error('a value that can not be read')
}
