import type { z } from 'zod'
import type { entryProblem } from './shapes/values.ts'

/** An error with a stable `code` for programs. Its message says what is wrong and how to fix it. Browser-safe. */
export class FleetError extends Error {
  readonly code: string
  /** The path of the invalid input, if there is one. */
  readonly field: string | undefined

  constructor(code: string, message: string, options: { field?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.field = options.field
  }
}

/** Thrown by a handler: a retry can't help, so the task fails at once. */
export class UnrecoverableError extends FleetError {}

/**
 * The database did not confirm a write: it was applied or not, or may still be applied. The caller can repeat the request. With
 * the given ids, nothing is applied twice.
 */
export class UnknownOutcome extends FleetError {
  /** The `_id`s to use when the request is repeated, if it creates something. */
  readonly ids: readonly string[]

  constructor(ids: readonly string[] = [], options: { message?: string; cause?: unknown } = {}) {
    const { message = outcomeText(ids), cause } = options
    super('UNKNOWN_OUTCOME', message, { ...(ids.length === 0 ? {} : { field: '_id' }), cause })
    this.ids = ids
  }
}

/** A problem of one entry of a list. */
export interface EntryProblem extends z.output<typeof entryProblem> {}

/** A list was rejected and nothing was stored. It has a problem for every invalid entry. */
export class BatchRefused extends FleetError {
  /** Not called `errors`, because loggers treat that as nested errors. */
  readonly entries: readonly EntryProblem[]

  constructor(errors: readonly EntryProblem[]) {
    const [first] = errors
    const count = errors.length === 1 ? 'one entry' : `${errors.length} entries`
    super(first!.code, `Nothing was stored, because ${count} can't be stored. The first problem: ${first!.title}`, {
      field: `${first!.index}${first!.field === undefined ? '' : `.${first!.field}`}`,
    })
    this.entries = errors
  }
}

/** An error as a gateway has sent it. */
export function receivedError({
  code,
  message,
  field,
  ids,
  errors,
}: {
  code: string
  message: string
  field?: string | undefined
  ids?: readonly string[] | undefined
  errors?: readonly EntryProblem[] | undefined
}): FleetError {
  if (errors !== undefined && errors.length > 0) return new BatchRefused(errors)
  return code === 'UNKNOWN_OUTCOME' ? new UnknownOutcome(ids, { message }) : new FleetError(code, message, { field })
}

const SHOWN_IDS = 3

function outcomeText(ids: readonly string[]): string {
  const what = 'The database did not confirm the write. It may or may not have been applied.'
  if (ids.length === 0) return `${what} Check, and repeat the request if it was not.`
  const shown = `${ids.slice(0, SHOWN_IDS).join(', ')}${ids.length > SHOWN_IDS ? ', …' : ''}`
  return `${what} It is safe to repeat the request with the same _id: ${shown}`
}
