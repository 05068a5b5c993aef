import { Aggregator } from 'mingo/aggregator'
import { Context, evalExpr } from 'mingo/core'
import { type Iterator, Lazy } from 'mingo/lazy'
import { $count, $group, $limit, $project, $replaceWith, $unset, $unwind } from 'mingo/operators/pipeline'
import type { Options } from 'mingo/types'
import type { mongo } from 'mongoose'
import { isPlainObject } from '../documents/plain.ts'
import { compareBy } from '../live/compare.ts'
import { atTime, context } from './expressions.ts'
import { filterMatcher } from './filters.ts'

type Fields = Record<string, unknown>

const stages = (now: Date) => ({
  ...{ $count, $group, $limit, $project, $replaceWith, $unset, $unwind },
  $match: (docs: Iterator, filter: Fields) => docs.filter(filterMatcher(filter, now) as never),
  $sort: (docs: Iterator, sort: Record<string, 1 | -1>) =>
    docs.transform((all) => Lazy((all as Fields[]).toSorted(compareBy(sort)))),
  $set: (docs: Iterator, fields: Fields, options: Options) =>
    docs.map((doc) => withFields(doc as Fields, fields, (value) => evalExpr(doc, value, options))),
})

/** The result of a pipeline. May change the given documents. */
export function piped(
  docs: readonly mongo.Document[],
  pipeline: readonly mongo.Document[],
  now: Date,
): mongo.Document[] {
  const own = Context.from(context, Context.init({ pipeline: stages(now) as never }))
  const timed = pipeline.map((stage) => ('$match' in stage ? stage : atTime(stage, now)))
  return new Aggregator(timed as mongo.Document[], { context: own }).run(docs as mongo.Document[]) as mongo.Document[]
}

/** A document after a projection. May change the given document. */
export const projected = (doc: mongo.Document, projection: mongo.Document = {}): mongo.Document =>
  Object.keys(projection).length === 0 ? doc : piped([doc], [{ $project: projection }], new Date())[0]!

/** A stage doesn't see its own results. An object without operators sets each of its fields and keeps the existing ones. */
function withFields(doc: Fields, fields: Fields, valueFor: (value: unknown) => unknown): Fields {
  return Object.entries(fields).reduce((current, [path, value]) => {
    const parts = path.split('.')
    const isNested =
      isPlainObject(value) && Object.keys(value).length > 0 && Object.keys(value).every((key) => !key.startsWith('$'))
    if (!isNested) return withValue(current, parts, valueFor(value))
    const there = parts.reduce<unknown>((inner, part) => (isPlainObject(inner) ? inner[part] : undefined), doc)
    return withValue(current, parts, withFields(isPlainObject(there) ? there : {}, value, valueFor))
  }, doc)
}

/** A copy with a value at a path; `undefined` removes the field. */
function withValue(doc: Fields, [field, ...rest]: readonly string[], value: unknown): Fields {
  const inner = doc[field!]
  if (rest.length > 0 && value === undefined && !isPlainObject(inner)) return doc
  const next = rest.length === 0 ? value : withValue(isPlainObject(inner) ? inner : {}, rest, value)
  if (next !== undefined) return { ...doc, [field!]: next }
  const { [field!]: _, ...others } = doc
  return others
}
