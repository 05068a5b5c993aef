import { Context, evalExpr } from 'mingo/core'
import { $first, $push, $sum } from 'mingo/operators/accumulator'
import * as expressions from 'mingo/operators/expression'
import type { Options } from 'mingo/types'
import { driver } from '../database/driver.ts'
import { isPlainObject } from '../documents/plain.ts'
import { compareValues } from '../live/compare.ts'
import type { Expression } from '../task/server-time.ts'

/** The name of a value's type, as `$type` returns it. The driver stores whole numbers of 32 bits as `int`, others as `double`. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'int' : 'double'
  if (typeof value === 'bigint' || value instanceof driver.Long) return 'long'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'string'
  if (Array.isArray(value)) return 'array'
  if (value instanceof Date) return 'date'
  if (value instanceof driver.ObjectId) return 'objectId'
  if (value instanceof driver.Decimal128) return 'decimal'
  return isPlainObject(value) ? 'object' : 'other'
}

const isNothing = (value: unknown): boolean => value === null || value === undefined

/** In expressions, a missing value differs from null and comes before it. */
function compared(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return Number(b === undefined) - Number(a === undefined)
  return compareValues(a, b)
}

type Compute = (...values: unknown[]) => unknown
const operator =
  (compute: Compute) =>
  (doc: unknown, operands: unknown, options: Options): unknown =>
    compute(...[operands].flat(1).map((operand) => evalExpr(doc, operand, options)))

/** `$min` or `$max`, over the documents of a group or over operands; a single list stands for its elements. */
const extreme =
  (way: 1 | -1) =>
  (doc: unknown, operands: unknown, options: Options): unknown => {
    const values = Array.isArray(doc) ? $push(doc, operands, options) : [evalExpr(doc, operands, options)].flat(1)
    const present = values.filter((value) => !isNothing(value))
    return present.reduce((best, value) => (compareValues(value, best) * way > 0 ? value : best), present[0]) ?? null
  }

/** mingo uses JavaScript's types and its own order. These operators use MongoDB's. */
export const context = Context.init({
  expression: {
    ...expressions,
    $eq: operator((a, b) => compared(a, b) === 0),
    $ne: operator((a, b) => compared(a, b) !== 0),
    $gt: operator((a, b) => compared(a, b) > 0),
    $gte: operator((a, b) => compared(a, b) >= 0),
    $lt: operator((a, b) => compared(a, b) < 0),
    $lte: operator((a, b) => compared(a, b) <= 0),
    $max: extreme(1),
    $min: extreme(-1),
    $type: operator(typeName),
    $toString: operator((value) =>
      value instanceof Date ? value.toISOString() : isNothing(value) ? null : String(value),
    ),
  },
  accumulator: { $first, $push, $sum },
})

/** The value of an aggregation expression, as the server computes it. */
export const evaluate = (expression: Expression, doc: unknown): unknown =>
  evalExpr(doc, expression, { context } as Options)

/** Replaces `$$NOW` by a date, so that it is the same for all documents of a write. */
export function atTime(expression: Expression, now: Date): Expression {
  if (expression === '$$NOW') return now
  if (Array.isArray(expression)) return expression.map((one) => atTime(one, now))
  if (!isPlainObject(expression) || Object.hasOwn(expression, '$literal')) return expression
  return Object.fromEntries(Object.entries(expression).map(([name, value]) => [name, atTime(value, now)]))
}
