/** An error with a stable `code` for programs; its message names the thing and the remedy. Browser-safe. */
export class FleetError extends Error {
  readonly code: string
  /** The path of the input that is wrong, where one is. */
  readonly field: string | undefined

  constructor(code: string, message: string, options: { field?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.field = options.field
  }
}

/** Thrown by a handler: trying again can't help, so the task fails at once. */
export class UnrecoverableError extends FleetError {}
