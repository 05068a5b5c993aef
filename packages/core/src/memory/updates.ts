import type { mongo } from 'mongoose'
import { evaluate, isPlain } from './expressions.ts'

type Stage = Record<string, unknown>

/** A document after an update, by its operators or by the stages of a pipeline. The one before is left alone. */
export function updated(
  doc: mongo.Document,
  update: mongo.Document | mongo.Document[],
  now: Date,
  isNew = false,
): mongo.Document {
  return Array.isArray(update)
    ? update.reduce<mongo.Document>((current, stage) => afterStage(current, stage, now), doc)
    : afterOperators(doc, update, isNew)
}

/** A stage sees what the stages before it have made, and nothing of what it makes itself. */
function afterStage(doc: mongo.Document, stage: Stage, now: Date): mongo.Document {
  const scope = { root: doc, now }
  const [name, ...others] = Object.keys(stage)
  if (others.length === 0 && name === '$set')
    return withFields(doc, stage.$set as Stage, (value) => evaluate(value, scope))
  if (others.length === 0 && name === '$unset') {
    return [stage.$unset as string | string[]]
      .flat()
      .reduce((current, path) => withValue(current, path.split('.'), undefined), doc)
  }
  if (others.length === 0 && name === '$replaceWith') return evaluate(stage.$replaceWith, scope) as mongo.Document
  throw new TypeError(`the memory database has no stage ${Object.keys(stage).join()}`)
}

/** An object without operators sets each of its fields, beside those that are there. */
function withFields(doc: mongo.Document, fields: Stage, valueFor: (value: unknown) => unknown): mongo.Document {
  return Object.entries(fields).reduce((current, [path, value]) => {
    const parts = path.split('.')
    const isNested =
      isPlain(value) && Object.keys(value).length > 0 && Object.keys(value).every((key) => !key.startsWith('$'))
    if (!isNested) return withValue(current, parts, valueFor(value))
    const there = parts.reduce<unknown>((inner, part) => (isPlain(inner) ? inner[part] : undefined), doc)
    return withValue(current, parts, withFields(isPlain(there) ? there : {}, value, valueFor))
  }, doc)
}

/** A copy with a value at a path; `undefined` takes the field away. */
function withValue(doc: mongo.Document, [field, ...rest]: readonly string[], value: unknown): mongo.Document {
  const inner = doc[field!]
  if (rest.length > 0 && value === undefined && !isPlain(inner)) return doc
  const next = rest.length === 0 ? value : withValue(isPlain(inner) ? inner : {}, rest, value)
  if (next !== undefined) return { ...doc, [field!]: next }
  const { [field!]: _, ...others } = doc
  return others
}

function afterOperators(doc: mongo.Document, update: mongo.Document, isNew: boolean): mongo.Document {
  const numberAt = (current: mongo.Document, path: string): number =>
    (path.split('.').reduce<unknown>((inner, part) => (isPlain(inner) ? inner[part] : undefined), current) as number) ??
    0
  return Object.entries(update).reduce<mongo.Document>((before, [operator, fields]) => {
    const set = (valueFor: (path: string, value: unknown) => unknown): mongo.Document =>
      Object.entries(fields as Stage).reduce(
        (current, [path, value]) => withValue(current, path.split('.'), valueFor(path, value)),
        before,
      )
    switch (operator) {
      case '$set':
        return set((_, value) => value)
      case '$setOnInsert':
        return isNew ? set((_, value) => value) : before
      case '$unset':
        return set(() => undefined)
      case '$inc':
        return set((path, by) => numberAt(before, path) + Number(by))
      default:
        throw new TypeError(`the memory database has no update ${operator}`)
    }
  }, doc)
}
