import type { mongo } from 'mongoose'
import { compareBy } from '../live/compare.ts'
import { evaluate, isPlain } from './expressions.ts'
import { filterMatcher } from './filters.ts'

/** The documents that come out of a pipeline's stages. @throws {TypeError} for a stage that the fleet doesn't use */
export function aggregated(docs: mongo.Document[], pipeline: readonly mongo.Document[], now: Date): mongo.Document[] {
  return pipeline.reduce<mongo.Document[]>((current, stage) => {
    const [name, operand] = Object.entries(stage)[0]!
    switch (name) {
      case '$match':
        return current.filter(filterMatcher(operand, now))
      case '$sort':
        return current.toSorted(compareBy(operand))
      case '$limit':
        return current.slice(0, operand)
      case '$project':
        return current.map((doc) => projected(doc, operand, now))
      case '$unwind':
        return current.flatMap((doc) => unwound(doc, operand.slice(1)))
      case '$group':
        return grouped(current, operand, now)
      case '$count':
        return current.length === 0 ? [] : [{ [operand]: current.length }]
      default:
        throw new TypeError(`the memory database has no stage ${name}`)
    }
  }, docs)
}

function unwound(doc: mongo.Document, field: string): mongo.Document[] {
  const value: unknown = doc[field]
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value.map((one: unknown) => ({ ...doc, [field]: one })) : [doc]
}

function grouped(docs: readonly mongo.Document[], { _id, ...fields }: mongo.Document, now: Date): mongo.Document[] {
  const groups = new Map<string, { id: unknown; docs: mongo.Document[] }>()
  for (const doc of docs) {
    const id = evaluate(_id, { root: doc, now }) ?? null
    const key = JSON.stringify(id)
    const group = groups.get(key) ?? { id, docs: [] }
    group.docs.push(doc)
    groups.set(key, group)
  }
  return [...groups.values()].map((group) => ({
    _id: group.id,
    ...Object.fromEntries(Object.entries(fields).map(([field, by]) => [field, accumulated(group.docs, by, now)])),
  }))
}

function accumulated(docs: readonly mongo.Document[], by: mongo.Document, now: Date): unknown {
  const [name, expression] = Object.entries(by)[0]!
  const values = docs.map((root) => evaluate(expression, { root, now }))
  if (name === '$first') return values[0] ?? null
  return evaluate({ [name]: [{ $literal: values }] }, { root: {}, now })
}

/** What a projection leaves of a document: the fields that it names, or all but those. */
export function projected(doc: mongo.Document, projection: mongo.Document | undefined, now: Date): mongo.Document {
  const entries = Object.entries(projection ?? {})
  const isExcluding = entries.every(([path, value]) => value === 0 || path === '_id')
  if (isExcluding)
    return entries.filter(([, value]) => value === 0).reduce((rest, [path]) => without(rest, path.split('.')), doc)
  const picked = entries
    .filter(([, value]) => value !== 0)
    .reduce<mongo.Document>((shown, [path, value]) => {
      if (value !== 1 && value !== true) return merged(shown, { [path]: evaluate(value, { root: doc, now }) })
      return merged(shown, only(doc, path.split('.')))
    }, {})
  return projection?._id === 0 || doc._id === undefined ? picked : { _id: doc._id, ...picked }
}

function without(value: unknown, [field, ...rest]: readonly string[]): mongo.Document {
  if (Array.isArray(value)) return value.map((one) => without(one, [field!, ...rest]))
  if (!isPlain(value) || !Object.hasOwn(value, field!)) return value as mongo.Document
  const { [field!]: inner, ...others } = value
  return rest.length === 0 ? others : { ...value, [field!]: without(inner, rest) }
}

function only(doc: mongo.Document, [field, ...rest]: readonly string[]): mongo.Document {
  const inner: unknown = doc[field!]
  if (inner === undefined) return {}
  if (rest.length === 0) return { [field!]: inner }
  if (Array.isArray(inner)) return { [field!]: inner.filter(isPlain).map((one) => only(one, rest)) }
  return isPlain(inner) ? { [field!]: only(inner, rest) } : {}
}

function merged(one: mongo.Document, other: mongo.Document): mongo.Document {
  const both = Object.entries(other).map(([field, value]) => {
    const there: unknown = one[field]
    return [field, isPlain(there) && isPlain(value) ? merged(there, value) : value]
  })
  return { ...one, ...Object.fromEntries(both) }
}
