import { Types } from 'mongoose'
import sift from 'sift'
import { compareValues } from './compare.ts'

// sift is CommonJS, and Node doesn't see its named exports.
const { $and, $nor, $or, createEqualsOperation, createQueryTester } = sift as unknown as typeof import('sift')

/** Whether a document, as the feed brings it, fits a compiled filter. */
export type Matcher = (doc: Record<string, unknown>) => boolean

type Test = (value: unknown) => boolean

/**
 * Makes the matcher of a compiled filter. sift composes the groups, with an explicit list of operators; the condition
 * on a field is our own, since sift walks arrays and compares types differently from MongoDB.
 */
export function createMatcher(filter: Record<string, unknown>): Matcher {
  const operations = { $and, $or, $nor, $field: createEqualsOperation }
  return createQueryTester(group(filter), { operations }) as Matcher
}

function group(filter: Record<string, unknown>): Record<string, unknown> {
  const parts = Object.entries(filter).map(([key, value]) =>
    key.startsWith('$')
      ? { [key]: (value as Record<string, unknown>[]).map(group) }
      : { $field: fieldMatcher(key.split('.'), value as Record<string, unknown>) },
  )
  return parts.length === 0 ? { $field: () => true } : { $and: parts }
}

function fieldMatcher(path: readonly string[], condition: Record<string, unknown>): Matcher {
  const tests = Object.entries(condition).map(([operator, operand]) => onField(path, operator, operand))
  return (doc) => tests.every((test) => test(doc))
}

function onField(path: readonly string[], operator: string, operand: unknown): Matcher {
  switch (operator) {
    case '$ne':
      return not(onField(path, '$eq', operand))
    case '$nin':
      return not(onField(path, '$in', operand))
    case '$not':
      return not(fieldMatcher(path, operand as Record<string, unknown>))
    case '$all': {
      const each = (operand as unknown[]).map((one) => onField(path, '$eq', one))
      return (doc) => each.every((test) => test(doc))
    }
    case '$exists':
      return (doc) => fieldValues(doc, path).some((value) => value !== undefined) === operand
    case '$size':
      return (doc) => fieldValues(doc, path).some((value) => Array.isArray(value) && value.length === operand)
    case '$elemMatch': {
      const test = elementTest(operand as Record<string, unknown>)
      return (doc) => fieldValues(doc, path).some((value) => Array.isArray(value) && value.some(test))
    }
    default: {
      const test = scalarTest(operator, operand)
      return (doc) => fieldValues(doc, path).some((value) => test(value) || (Array.isArray(value) && value.some(test)))
    }
  }
}

const not =
  (matches: Matcher): Matcher =>
  (doc) =>
    !matches(doc)

/** All conditions of `$elemMatch` on one element. */
function elementTest(condition: Record<string, unknown>): Test {
  const field = fieldMatcher(['element'], condition)
  return (element) => field({ element })
}

function scalarTest(operator: string, operand: unknown): Test {
  switch (operator) {
    case '$eq':
      return (value) => sameValue(value, operand)
    case '$in':
      return (value) => (operand as unknown[]).some((one) => sameValue(value, one))
    case '$regex':
      return (value) => typeof value === 'string' && (operand as RegExp).test(value)
    case '$gt':
      return (value) => sameKind(value, operand) && compareValues(value, operand) > 0
    case '$gte':
      return (value) => sameKind(value, operand) && compareValues(value, operand) >= 0
    case '$lt':
      return (value) => sameKind(value, operand) && compareValues(value, operand) < 0
    case '$lte':
      return (value) => sameKind(value, operand) && compareValues(value, operand) <= 0
    default:
      throw new TypeError(`the matcher has no operator ${operator}`)
  }
}

function kind(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (value instanceof Date) return 'date'
  if (value instanceof Types.ObjectId) return 'id'
  return typeof value
}

const sameKind = (a: unknown, b: unknown): boolean => kind(a) === kind(b)

const sameValue = (value: unknown, operand: unknown): boolean =>
  sameKind(value, operand) && compareValues(value, operand) === 0

/**
 * The values at a path by MongoDB's rules: arrays on the way are searched one level deep, and also by index;
 * `undefined` stands for a document that lacks the field.
 */
function fieldValues(doc: unknown, path: readonly string[], depth = 0): unknown[] {
  if (depth === path.length) return [doc]
  const key = path[depth]!
  if (Array.isArray(doc)) {
    const below = doc.filter(isDocument).flatMap((element) => fieldValues(element, path, depth))
    const byIndex = /^\d+$/.test(key) && Number(key) < doc.length ? fieldValues(doc[Number(key)], path, depth + 1) : []
    return [...below, ...byIndex]
  }
  if (!isDocument(doc) || !Object.hasOwn(doc, key)) return [undefined]
  return fieldValues(doc[key], path, depth + 1)
}

function isDocument(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Date) &&
    !(value instanceof Types.ObjectId)
  )
}
