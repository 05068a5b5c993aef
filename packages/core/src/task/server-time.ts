/**
 * Aggregation expressions over the database's own clock. Dates are compared as numbers: the result is the same, and
 * every server that speaks the protocol agrees on it.
 */
export type Expression = unknown

export const NOW = '$$NOW'

/** Values as literals: a bare text that starts with `$` would be read as the name of a field. `undefined` removes a field. */
export const literals = (fields: object): Record<string, Expression> =>
  Object.fromEntries(
    Object.entries(fields).map(([field, value]) => [field, value === undefined ? '$$REMOVE' : { $literal: value }]),
  )

/**
 * A date in milliseconds; `otherwise` where there is none. Somebody may have stored anything there, and one document must
 * not make an update of many fail.
 */
export function millis(value: Expression, otherwise: Expression = null): Expression {
  return { $cond: [{ $eq: [{ $type: value }, 'date'] }, { $toLong: value }, otherwise] }
}

/** A number; `otherwise` where there is none. */
export function amount(path: string, otherwise = 0): Expression {
  return { $cond: [{ $isNumber: path }, path, otherwise] }
}

/** A list; an empty one where there is none. */
export function list(path: string): Expression {
  return { $cond: [{ $isArray: [path] }, path, []] }
}

/** Whether the date at `path` has come; what is no date never comes. */
export function hasCome(path: string): Expression {
  return { $lte: [millis(path, Number.MAX_SAFE_INTEGER), { $toLong: NOW }] }
}

/** Whether it is no later than `date`. */
export function isBefore(date: Date): Expression {
  return { $lte: [{ $toLong: NOW }, { $toLong: { $literal: date } }] }
}

/** The later of two dates; what is none loses. */
export function laterOf(a: Expression, b: Expression): Expression {
  return { $toDate: { $max: [millis(a), millis(b)] } }
}

/** @param ms a constant, in milliseconds */
export function fromNow(ms: number): Expression {
  return { $dateAdd: { startDate: NOW, unit: 'millisecond', amount: Math.round(ms) } }
}

/**
 * The time that a write is stamped with. `$$NOW` is when a command started, not when it committed, so that it can lie
 * before the last write's; a task's own dates never go back.
 */
export const STAMP: Expression = laterOf(NOW, '$updatedAt')
