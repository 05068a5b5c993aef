import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import { NOW } from '../task/server-time.ts'
import { idText, problemOf } from './set-aside.ts'
import { type Doc, fitsOnServer, misfits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'
import { misfitsOf, type SurveyDeps } from './survey.ts'

/** A repaired document and what was done, in words. */
export interface Repaired {
  collection: ShapedCollection
  id: string
  /** What was wrong with the document. */
  problem: string
  did: string
}

const MOST = 1_000

/**
 * Repairs malformed documents without losing data. A task ends as failed. A queue loses its malformed limits. Any other
 * document is moved whole to the collection `removedDocuments`. Keys stay, because a fleet without any key would be open to
 * everyone.
 */
export async function repairDocuments(deps: SurveyDeps): Promise<Repaired[]> {
  const repaired: Repaired[] = []
  for (const collection of Object.keys(SHAPES) as ShapedCollection[]) {
    for (const doc of await misfitsOf(deps.db, collection, MOST)) {
      const problem = problemOf(misfits(SHAPES[collection], doc))
      const did = await repairOne(deps, collection, doc, problem)
      repaired.push({ collection, id: idText(doc._id), problem, did })
    }
  }
  return repaired
}

async function repairOne(
  { db, store }: SurveyDeps,
  collection: ShapedCollection,
  doc: Doc,
  problem: string,
): Promise<string> {
  if (collection === 'keys') return 'left unchanged: it gives no access; remove it by hand'
  if (collection === 'tasks' && (await store.endMisfits([doc._id])) > 0) return 'ended as failed with CORRUPT'
  if (collection === 'queues' && typeof doc._id === 'string') return withoutMisfits(db, doc)
  return moved(db, collection, doc, problem)
}

async function withoutMisfits(db: mongo.Db, doc: Doc): Promise<string> {
  const wrong = misfits(SHAPES.queues, doc).map(({ field }) => field)
  await db.collection<Doc>('queues').updateOne({ _id: doc._id } as mongo.Filter<Doc>, {
    $unset: Object.fromEntries(wrong.map((field) => [field, ''])),
  })
  return `removed ${wrong.map((field) => `'${field}'`).join(', ')}: set it again if needed`
}

/** First stores a copy elsewhere, then removes the document if it is still malformed. A crash in between leaves two copies. */
async function moved(db: mongo.Db, collection: ShapedCollection, doc: Doc, problem: string): Promise<string> {
  const _id = new driver.ObjectId()
  try {
    await db.collection('removedDocuments').insertOne({ _id, collection, problem, document: doc })
    await db.collection('removedDocuments').updateOne({ _id }, [{ $set: { at: NOW } }])
  } catch (error) {
    if (!(error instanceof driver.MongoError)) throw error
    return `left unchanged: it can't be moved: ${error.message}`
  }
  const { deletedCount } = await db.collection<Doc>(collection).deleteOne({
    _id: { $eq: doc._id },
    $expr: { $not: [fitsOnServer(SHAPES[collection])] },
  } as mongo.Filter<Doc>)
  if (deletedCount === 1) return `moved to the collection 'removedDocuments' as ${_id.toHexString()}`
  await db.collection('removedDocuments').deleteOne({ _id })
  return 'left unchanged: it was changed in the meantime'
}
