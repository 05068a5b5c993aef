import { mongo } from 'mongoose'
import { NOW } from '../task/server-time.ts'
import { idText, problemOf } from './set-aside.ts'
import { type Doc, fitsOnServer, misfits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'
import { misfitsOf, type SurveyDeps } from './survey.ts'

/** What was done about one document, in words. */
export interface Repaired {
  collection: ShapedCollection
  id: string
  /** What was wrong with it. */
  problem: string
  did: string
}

const MOST = 1_000

/**
 * Does about documents that don't fit what can be done without losing anything: a task ends as failed, a queue goes on without
 * the limits that can't be understood, anything else is moved whole to the collection `removedDocuments`. Keys stay: a fleet
 * whose last key is gone would be open.
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
  if (collection === 'keys') return 'left as it is: it opens nothing; remove it by hand'
  if (collection === 'tasks' && (await store.endMisfits([doc._id])) > 0) return 'ended as failed with CORRUPT'
  if (collection === 'queues' && typeof doc._id === 'string') return withoutMisfits(db, doc)
  return moved(db, collection, doc, problem)
}

async function withoutMisfits(db: mongo.Db, doc: Doc): Promise<string> {
  const wrong = misfits(SHAPES.queues, doc).map(({ field }) => field)
  await db.collection<Doc>('queues').updateOne({ _id: doc._id } as mongo.Filter<Doc>, {
    $unset: Object.fromEntries(wrong.map((field) => [field, ''])),
  })
  return `took ${wrong.map((field) => `'${field}'`).join(', ')} away: set it again if it is wanted`
}

/** Stored elsewhere first, and then removed if it still doesn't fit: whoever dies in between leaves two copies, never none. */
async function moved(db: mongo.Db, collection: ShapedCollection, doc: Doc, problem: string): Promise<string> {
  const _id = new mongo.ObjectId()
  try {
    await db.collection('removedDocuments').insertOne({ _id, collection, problem, document: doc })
    await db.collection('removedDocuments').updateOne({ _id }, [{ $set: { at: NOW } }])
  } catch (error) {
    if (!(error instanceof mongo.MongoError)) throw error
    return `left as it is: it can't be moved: ${error.message}`
  }
  const { deletedCount } = await db.collection<Doc>(collection).deleteOne({
    _id: { $eq: doc._id },
    $expr: { $not: [fitsOnServer(SHAPES[collection])] },
  } as mongo.Filter<Doc>)
  if (deletedCount === 1) return `moved to the collection 'removedDocuments' as ${_id.toHexString()}`
  await db.collection('removedDocuments').deleteOne({ _id })
  return 'left as it is: somebody has changed it meanwhile'
}
