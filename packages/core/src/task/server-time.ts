/**
 * Aggregation expressions over the database's own clock. Dates are compared as numbers: the result is the same, and
 * every server that speaks the protocol agrees on it.
 */
export type Expression = unknown

export const NOW = '$$NOW'

/** Whether the date at `path` has come. */
export function hasCome(path: string): Expression {
  return { $lte: [{ $toLong: path }, { $toLong: NOW }] }
}

/** Whether it is no later than `date`. */
export function isBefore(date: Date): Expression {
  return { $lte: [{ $toLong: NOW }, { $toLong: { $literal: date } }] }
}

/** The later of two dates; a missing one loses. */
export function laterOf(a: Expression, b: Expression): Expression {
  return { $toDate: { $max: [{ $toLong: a }, { $toLong: b }] } }
}

/**
 * @param ms a constant, in milliseconds
 */
export function fromNow(ms: number): Expression {
  return { $dateAdd: { startDate: NOW, unit: 'millisecond', amount: Math.round(ms) } }
}

/**
 * The time that a write is stamped with. `$$NOW` is when a command started, not when it committed, so that it can lie
 * before the last write's; a task's own dates never go back.
 */
export const STAMP: Expression = laterOf(NOW, '$updatedAt')
