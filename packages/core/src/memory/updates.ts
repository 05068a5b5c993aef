import { update as change } from 'mingo/updater'
import type { mongo } from 'mongoose'
import { piped } from './pipelines.ts'

/** A document after an update with operators or a pipeline. May change the given document. */
export function updated(
  doc: mongo.Document,
  update: mongo.Document | mongo.Document[],
  now: Date,
  isNew = false,
): mongo.Document {
  if (Array.isArray(update)) return piped([doc], update, now)[0]!
  const { $setOnInsert, ...operators } = update
  change(doc, isNew ? { ...operators, $set: { ...$setOnInsert, ...operators.$set } } : operators)
  return doc
}
