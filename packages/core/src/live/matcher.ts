import sift from 'sift'
import { isPlainObject } from '../documents/plain.ts'
import { compareValues, isNaNumber, typeRank } from './compare.ts'

// sift is CommonJS, and Node doesn't detect its named exports.
const { $and, $nor, $or, createEqualsOperation, createQueryTester } = sift as unknown as typeof import('sift')

/** Tests whether a document from the feed fits a compiled filter. */
export type Matcher = (doc: Record<string, unknown>) => boolean

type Test = (value: unknown) => boolean

/**
 * Makes the matcher of a compiled filter. sift combines the groups, with an explicit list of operators. Conditions on fields
 * are our own, because sift walks arrays and compares types differently from MongoDB.
 */
export function createMatcher(filter: Record<string, unknown>): Matcher {
  const operations = { $and, $or, $nor, $field: createEqualsOperation }
  return createQueryTester(group(filter), { operations }) as Matcher
}

function group(filter: Record<string, unknown>): Record<string, unknown> {
  const parts = Object.entries(filter).map(([key, value]) =>
    key.startsWith('$')
      ? { [key]: (value as Record<string, unknown>[]).map(group) }
      : { $field: fieldMatcher(key.split('.'), isPlainObject(value) ? value : { $eq: value }) },
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
    case '$nin':
    case '$not': {
      const positive = onPositive(path, operator, operand)
      return (doc) => !positive(doc)
    }
    case '$all': {
      const each = (operand as unknown[]).map((one) => onField(path, '$eq', one))
      return (doc) => each.every((test) => test(doc))
    }
    case '$exists':
      return (doc) => leaves(doc, path).some((value) => value !== undefined) === operand
    case '$size':
    case '$elemMatch': {
      const test = elementTest(operator, operand)
      return (doc) => leaves(doc, path, 'arrays whole').some(test)
    }
    default: {
      const test = elementTest(operator, operand)
      return (doc) => leaves(doc, path).some(test)
    }
  }
}

/** A negation applies to the whole condition: no value at the path may fit. */
function onPositive(path: readonly string[], operator: '$ne' | '$nin' | '$not', operand: unknown): Matcher {
  if (operator === '$not') return fieldMatcher(path, operand as Record<string, unknown>)
  return onField(path, operator === '$ne' ? '$eq' : '$in', operand)
}

/** A condition on the value itself: within `$elemMatch`, MongoDB doesn't search arrays again. */
function elementTest(operator: string, operand: unknown): Test {
  switch (operator) {
    case '$eq':
      return (value) => sameValue(value, operand)
    case '$in':
      return (value) => (operand as unknown[]).some((one) => sameValue(value, one))
    case '$regex':
      return (value) => typeof value === 'string' && (operand as RegExp).test(value)
    case '$gt':
      return (value) => comparable(value, operand) && compareValues(value, operand) > 0
    case '$gte':
      return (value) => comparable(value, operand) && compareValues(value, operand) >= 0
    case '$lt':
      return (value) => comparable(value, operand) && compareValues(value, operand) < 0
    case '$lte':
      return (value) => comparable(value, operand) && compareValues(value, operand) <= 0
    case '$size':
      return (value) => Array.isArray(value) && value.length === operand
    case '$elemMatch': {
      const each = elementTests(operand as Record<string, unknown>)
      return (value) => Array.isArray(value) && value.some((element) => each.every((test) => test(element)))
    }
    case '$all': {
      const each = (operand as unknown[]).map((one) => elementTest('$eq', one))
      return (value) => each.every((test) => test(value))
    }
    case '$exists':
      return () => operand === true
    case '$ne':
      return (value) => !sameValue(value, operand)
    case '$nin':
      return (value) => !(operand as unknown[]).some((one) => sameValue(value, one))
    case '$not': {
      const each = elementTests(operand as Record<string, unknown>)
      return (value) => !each.every((test) => test(value))
    }
    default:
      throw new TypeError(`the matcher has no operator ${operator}`)
  }
}

const elementTests = (condition: Record<string, unknown>): Test[] =>
  Object.entries(condition).map(([operator, operand]) => elementTest(operator, operand))

/** Ranges match only values of the same type, and never NaN. */
const comparable = (value: unknown, operand: unknown): boolean =>
  typeRank(value) === typeRank(operand) && !isNaNumber(value)

const sameValue = (value: unknown, operand: unknown): boolean => compareValues(value, operand) === 0

/**
 * The values that a condition on a path tests, by MongoDB's rules (`BSONElementIterator` in its `db/matcher/path.cpp`).
 * Arrays within the path are searched one level deep, and also by index. An array at the end stands for its elements and
 * itself, except if the path ends with an index. `undefined` stands for a document without the field.
 */
export function leaves(doc: unknown, path: readonly string[], at: 'arrays whole' | 'elements' = 'elements'): unknown[] {
  const found: unknown[] = []
  const walk = (value: unknown, depth: number): void => {
    if (depth === path.length) {
      if (at === 'elements' && Array.isArray(value)) found.push(...value)
      found.push(value)
      return
    }
    const key = path[depth]!
    if (Array.isArray(value)) {
      value.forEach((element: unknown, index) => {
        if (isPlainObject(element)) walk(element, depth)
        // Compared as text, since '01' is not an index.
        if (String(index) !== key) return
        if (depth + 1 === path.length) found.push(element)
        else if (isPlainObject(element) || Array.isArray(element)) walk(element, depth + 1)
      })
    } else if (isPlainObject(value) && Object.hasOwn(value, key)) walk(value[key], depth + 1)
    else found.push(undefined)
  }
  walk(doc, 0)
  return found
}
