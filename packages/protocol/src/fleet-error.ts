import type { z } from 'zod'
import type { entryProblem } from './shapes/values.ts'

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

/**
 * The database did not confirm a write: it may have been applied or not, or may still be. Whoever asked can repeat the request;
 * with the ids given, what was applied already is not applied twice.
 */
export class UnknownOutcome extends FleetError {
  /** The `_id`s to repeat the request under, where it creates something. */
  readonly ids: readonly string[]

  constructor(ids: readonly string[] = [], options: { message?: string; cause?: unknown } = {}) {
    const { message = outcomeText(ids), cause } = options
    super('UNKNOWN_OUTCOME', message, { ...(ids.length === 0 ? {} : { field: '_id' }), cause })
    this.ids = ids
  }
}

/** What is wrong with one entry of a list. */
export interface EntryProblem extends z.output<typeof entryProblem> {}

/** A list of which nothing was stored: every entry that is wrong is named. */
export class BatchRefused extends FleetError {
  /** Not `errors`, which loggers take for nested errors. */
  readonly entries: readonly EntryProblem[]

  constructor(errors: readonly EntryProblem[]) {
    const [first] = errors
    const count = errors.length === 1 ? 'One entry' : `${errors.length} entries`
    super(first!.code, `${count} can't be stored, so that none was; the first: ${first!.title}`, {
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
  const what = 'The database did not confirm the write: it may have been applied or not.'
  if (ids.length === 0) return `${what} Look, then repeat the request if it was not.`
  const shown = `${ids.slice(0, SHOWN_IDS).join(', ')}${ids.length > SHOWN_IDS ? ', …' : ''}`
  return `${what} Repeat the request with the same _id, which is harmless: ${shown}`
}
