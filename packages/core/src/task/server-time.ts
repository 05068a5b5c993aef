/**
 * Aggregation expressions that use the database's clock. Dates are compared as numbers, which gives the same result on
 * every server that implements MongoDB's protocol.
 */
export type Expression = unknown

export const NOW = '$$NOW'

/** Values as literals, because a string that starts with `$` would be read as a field's name. `undefined` removes a field. */
export const literals = (fields: object): Record<string, Expression> =>
  Object.fromEntries(
    Object.entries(fields).map(([field, value]) => [field, value === undefined ? '$$REMOVE' : { $literal: value }]),
  )

/**
 * A date in milliseconds; `otherwise` if the value is not a date. A document may have been edited by hand, and one document
 * must not make an update of many fail.
 */
export function millis(value: Expression, otherwise: Expression = null): Expression {
  return { $cond: [{ $eq: [{ $type: value }, 'date'] }, { $toLong: value }, otherwise] }
}

/** The number at `path`; `otherwise` if it is not a number. */
export function amount(path: string, otherwise = 0): Expression {
  return { $cond: [{ $isNumber: path }, path, otherwise] }
}

/** The list at `path`; an empty one if it is not a list. */
export function list(path: string): Expression {
  return { $cond: [{ $isArray: [path] }, path, []] }
}

/** Whether the date at `path` is now or in the past; false if it is not a date. */
export function hasCome(path: string): Expression {
  return { $lte: [millis(path, Number.MAX_SAFE_INTEGER), { $toLong: NOW }] }
}

/** Whether the server's time is at most `date`. */
export function isBefore(date: Date): Expression {
  return { $lte: [{ $toLong: NOW }, { $toLong: { $literal: date } }] }
}

/** The later of two dates. A value that is not a date is ignored. */
export function laterOf(a: Expression, b: Expression): Expression {
  return { $toDate: { $max: [millis(a), millis(b)] } }
}

/** @param ms a constant, in milliseconds */
export function fromNow(ms: number): Expression {
  return { $dateAdd: { startDate: NOW, unit: 'millisecond', amount: Math.round(ms) } }
}

/**
 * The timestamp of a write. `$$NOW` is when the command started, not when it committed, so it can be before the last write's
 * time. The dates of a task never go back.
 */
export const STAMP: Expression = laterOf(NOW, '$updatedAt')
