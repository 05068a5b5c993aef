import { mongo } from 'mongoose'
import { compareValues } from '../live/compare.ts'
import type { Expression } from '../task/server-time.ts'

/** What an expression is evaluated on. A missing value is `undefined` throughout. */
export interface Scope {
  root: mongo.Document
  now: Date
  /** Variables of `$map` and the like, without their `$$`. */
  variables?: Readonly<Record<string, unknown>>
}

type Operator = (operand: unknown, scope: Scope) => unknown

/** The value of an aggregation expression, as the server computes it. @throws {TypeError} for an operator that the fleet doesn't use */
export function evaluate(expression: Expression, scope: Scope): unknown {
  if (typeof expression === 'string') return expression.startsWith('$') ? valueAt(expression, scope) : expression
  if (Array.isArray(expression)) return expression.map((one) => evaluate(one, scope) ?? null)
  if (!isPlain(expression)) return expression
  const [name, ...others] = Object.keys(expression)
  if (name === undefined || !name.startsWith('$') || others.length > 0) return evaluateFields(expression, scope)
  const operator = OPERATORS[name]
  if (operator === undefined) throw new TypeError(`the memory database has no operator ${name}`)
  return operator(expression[name], scope)
}

function evaluateFields(fields: mongo.Document, scope: Scope): mongo.Document {
  const values = Object.entries(fields).map(([field, value]) => [field, evaluate(value, scope)] as const)
  return Object.fromEntries(values.filter(([, value]) => value !== undefined))
}

/** `false`, 0, null and what is missing are false; everything else is true. */
export const isTrue = (value: unknown): boolean => value !== false && value !== 0 && !isNothing(value)

const isNothing = (value: unknown): value is null | undefined => value === null || value === undefined

/** An object with fields of its own; dates, ids and the like are values. */
export function isPlain(value: unknown): value is mongo.Document {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

function valueAt(path: string, { root, now, variables }: Scope): unknown {
  if (!path.startsWith('$$')) return below(root, path.slice(1).split('.'))
  const [name, ...rest] = path.slice(2).split('.') as [string, ...string[]]
  if (name === 'NOW') return now
  if (name === 'REMOVE') return undefined
  return below(name === 'ROOT' ? root : variables?.[name], rest)
}

/** Lists on the way are looked into element by element. */
function below(value: unknown, path: readonly string[]): unknown {
  const [field, ...rest] = path
  if (field === undefined) return value
  if (Array.isArray(value)) return value.map((one) => below(one, path)).filter((one) => one !== undefined)
  return isPlain(value) && Object.hasOwn(value, field) ? below(value[field], rest) : undefined
}

/** The name of a value's type, as `$type` says it. The driver stores whole numbers of 32 bits as `int` and others as `double`. */
export function typeName(value: unknown): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (typeof value === 'number') return Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 'int' : 'double'
  if (typeof value === 'bigint' || value instanceof mongo.Long) return 'long'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'string'
  if (Array.isArray(value)) return 'array'
  if (value instanceof Date) return 'date'
  if (value instanceof mongo.ObjectId) return 'objectId'
  if (value instanceof mongo.Decimal128) return 'decimal'
  return isPlain(value) ? 'object' : 'other'
}

/** What is missing and null are two values here, and the missing one is the lesser. */
function compared(a: unknown, b: unknown): number {
  if (a === undefined || b === undefined) return Number(b === undefined) - Number(a === undefined)
  return compareValues(a, b)
}

const each = (operands: unknown, scope: Scope): unknown[] =>
  Array.isArray(operands) ? operands.map((one) => evaluate(one, scope)) : [evaluate(operands, scope)]

const one = (operand: unknown, scope: Scope): unknown => each(operand, scope)[0]

const comparison =
  (holds: (order: number) => boolean): Operator =>
  (operands, scope) => {
    const [a, b] = each(operands, scope)
    return holds(compared(a, b))
  }

/** Null where anything is nothing. */
const arithmetic =
  (compute: (numbers: number[], values: unknown[]) => unknown): Operator =>
  (operands, scope) => {
    const values = each(operands, scope)
    return values.some(isNothing) ? null : compute(values.map(Number), values)
  }

/** The first or last of values by their order; a list by itself is of its elements. */
const extreme =
  (way: 1 | -1): Operator =>
  (operands, scope) => {
    const values = each(operands, scope)
    const [only] = values
    const all = values.length === 1 && Array.isArray(only) ? only : values
    const present = all.filter((value: unknown) => !isNothing(value))
    if (present.length === 0) return null
    return present.reduce<unknown>((best, value) => (compareValues(value, best) * way > 0 ? value : best), present[0])
  }

const withVariable = (scope: Scope, name: string, value: unknown): Scope => ({
  ...scope,
  variables: { ...scope.variables, [name]: value },
})

const ifDate = (values: readonly unknown[], ms: number): unknown =>
  values.some((value) => value instanceof Date) ? new Date(ms) : ms

const lists = (operands: unknown, scope: Scope): unknown[][] => each(operands, scope) as unknown[][]

const OPERATORS: Readonly<Record<string, Operator>> = {
  $literal: (value) => value,
  $eq: comparison((order) => order === 0),
  $ne: comparison((order) => order !== 0),
  $gt: comparison((order) => order > 0),
  $gte: comparison((order) => order >= 0),
  $lt: comparison((order) => order < 0),
  $lte: comparison((order) => order <= 0),
  $and: (operands, scope) => (operands as unknown[]).every((operand) => isTrue(evaluate(operand, scope))),
  $or: (operands, scope) => (operands as unknown[]).some((operand) => isTrue(evaluate(operand, scope))),
  $not: (operand, scope) => !isTrue(one(operand, scope)),
  $cond: (operand, scope) => {
    const parts = operand as unknown[] & { if: unknown; then: unknown; else: unknown }
    const [test, yes, no] = Array.isArray(operand) ? parts : [parts.if, parts.then, parts.else]
    return evaluate(isTrue(evaluate(test, scope)) ? yes : no, scope)
  },
  $switch: (operand, scope) => {
    const { branches, default: otherwise } = operand as {
      branches: { case: unknown; then: unknown }[]
      default: unknown
    }
    const branch = branches.find((candidate) => isTrue(evaluate(candidate.case, scope)))
    return evaluate(branch === undefined ? otherwise : branch.then, scope)
  },
  $ifNull: (operands, scope) => {
    const parts = operands as unknown[]
    for (const part of parts.slice(0, -1)) {
      const value = evaluate(part, scope)
      if (!isNothing(value)) return value
    }
    return evaluate(parts.at(-1), scope)
  },
  $type: (operand, scope) => typeName(one(operand, scope)),
  $isNumber: (operand, scope) => /^(int|long|double|decimal)$/.test(typeName(one(operand, scope))),
  $isArray: (operand, scope) => Array.isArray(one(operand, scope)),
  $toLong: (operand, scope) => {
    const value = one(operand, scope)
    return isNothing(value) ? null : Math.trunc(Number(value))
  },
  $toDate: (operand, scope) => {
    const value = one(operand, scope)
    return isNothing(value) ? null : new Date(Number(value))
  },
  $toString: (operand, scope) => {
    const value = one(operand, scope)
    return isNothing(value) ? null : value instanceof Date ? value.toISOString() : String(value)
  },
  $add: arithmetic((numbers, values) =>
    ifDate(
      values,
      numbers.reduce((sum, number) => sum + number, 0),
    ),
  ),
  $subtract: arithmetic(([a, b], [from, by]) =>
    from instanceof Date && !(by instanceof Date) ? new Date(a! - b!) : a! - b!,
  ),
  $multiply: arithmetic((numbers) => numbers.reduce((product, number) => product * number, 1)),
  $divide: arithmetic(([a, b]) => a! / b!),
  $mod: arithmetic(([a, b]) => a! % b!),
  $pow: arithmetic(([a, b]) => a! ** b!),
  $floor: arithmetic(([a]) => Math.floor(a!)),
  $max: extreme(1),
  $min: extreme(-1),
  $sum: (operands, scope) => {
    const numbers = each(operands, scope)
      .flat()
      .filter((value) => typeof value === 'number')
    return numbers.reduce((sum, number) => sum + number, 0)
  },
  $dateAdd: (operand, scope) => {
    const { startDate, unit, amount } = operand as mongo.Document
    if (unit !== 'millisecond') throw new TypeError(`the memory database adds no ${unit}s`)
    const [start, ms] = [evaluate(startDate, scope), evaluate(amount, scope)]
    return isNothing(start) || isNothing(ms) ? null : new Date(Number(start) + Number(ms))
  },
  $concat: (operands, scope) => {
    const texts = each(operands, scope)
    return texts.some(isNothing) ? null : texts.join('')
  },
  $regexMatch: (operand, scope) => {
    const { input, regex } = operand as { input: unknown; regex: string }
    const text = evaluate(input, scope)
    return typeof text === 'string' && new RegExp(regex).test(text)
  },
  $concatArrays: (operands, scope) => {
    const parts = each(operands, scope)
    return parts.some(isNothing) ? null : (parts as unknown[][]).flat(1)
  },
  $arrayElemAt: (operands, scope) => {
    const [list, index] = each(operands, scope) as [unknown[] | null, number]
    return list?.at(index)
  },
  $indexOfArray: (operands, scope) => {
    const [list, wanted] = each(operands, scope) as [unknown[], unknown]
    return list.findIndex((value) => compared(value, wanted) === 0)
  },
  $slice: (operands, scope) => {
    const [list, first, count] = each(operands, scope) as [unknown[] | null, number, number?]
    if (isNothing(list)) return null
    if (count !== undefined) return list.slice(first, (first < 0 ? list.length : 0) + first + count)
    return first < 0 ? list.slice(first) : list.slice(0, first)
  },
  $size: (operand, scope) => (one(operand, scope) as unknown[]).length,
  $in: (operands, scope) => {
    const [value, list] = each(operands, scope) as [unknown, unknown[]]
    return list.some((candidate) => compared(candidate, value) === 0)
  },
  $setUnion: (operands, scope) => {
    const union: unknown[] = []
    for (const value of lists(operands, scope).flat(1)) {
      if (!union.some((there) => compared(there, value) === 0)) union.push(value)
    }
    return union
  },
  $allElementsTrue: (operands, scope) => (one(operands, scope) as unknown[]).every(isTrue),
  $map: (operand, scope) => {
    const { input, as = 'this', in: result } = operand as { input: unknown; as?: string; in: unknown }
    const list = evaluate(input, scope)
    if (isNothing(list)) return null
    return (list as unknown[]).map((value) => evaluate(result, withVariable(scope, as, value)) ?? null)
  },
  $filter: (operand, scope) => {
    const { input, as = 'this', cond } = operand as { input: unknown; as?: string; cond: unknown }
    const list = evaluate(input, scope)
    if (isNothing(list)) return null
    return (list as unknown[]).filter((value) => isTrue(evaluate(cond, withVariable(scope, as, value))))
  },
  $mergeObjects: (operands, scope) => Object.assign({}, ...each(operands, scope)),
}
