import { update as change } from 'mingo/updater'
import type { mongo } from 'mongoose'
import { piped } from './pipelines.ts'

/** A document after an update, by its operators or by the stages of a pipeline. The one that is given may be changed. */
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
