import { isPlainObject } from '../documents/plain.ts'
import { createMatcher, leaves, type Matcher } from '../live/matcher.ts'
import { atTime, evaluate, typeName } from './expressions.ts'

type Filter = Record<string, unknown>

/** Tests documents against a filter. It uses the matcher of live queries and adds the operators that only the fleet itself uses. */
export function filterMatcher(filter: Filter, now: Date): Matcher {
  const tests = Object.entries(filter).map(([key, value]) => part(key, value, now))
  return (doc) => tests.every((test) => test(doc))
}

function part(key: string, value: unknown, now: Date): Matcher {
  switch (key) {
    case '$and':
    case '$or':
    case '$nor': {
      const tests = (value as Filter[]).map((one) => filterMatcher(one, now))
      if (key === '$and') return (doc) => tests.every((test) => test(doc))
      return (doc) => tests.some((test) => test(doc)) === (key === '$or')
    }
    case '$expr': {
      const holds = { $and: [atTime(value, now)] }
      return (doc) => evaluate(holds, doc) === true
    }
    default:
      return field(key, value, now)
  }
}

function field(path: string, condition: unknown, now: Date): Matcher {
  if (!isPlainObject(condition)) return createMatcher({ [path]: condition })
  const { $type: type, $not: not, $elemMatch: element, ...others } = condition
  const isOfDocument = isPlainObject(element) && Object.keys(element).every((key) => !key.startsWith('$'))
  const known = element === undefined || isOfDocument ? others : { ...others, $elemMatch: element }
  const rest = createMatcher(Object.keys(known).length > 0 ? { [path]: known } : {})
  const fitsElement = isOfDocument ? filterMatcher(element, now) : undefined
  const hasElement: Matcher = (doc) =>
    fitsElement === undefined ||
    leaves(doc, path.split('.'), 'arrays whole').some(
      (value) => Array.isArray(value) && value.some((one) => isPlainObject(one) && fitsElement(one)),
    )
  const types = type === undefined ? undefined : [type].flat()
  const isOfType: Matcher = (doc) =>
    types === undefined || leaves(doc, path.split('.')).some((value) => types.includes(typeName(value)))
  const negated = not === undefined ? undefined : field(path, not, now)
  return (doc) => rest(doc) && hasElement(doc) && isOfType(doc) && negated?.(doc) !== true
}
