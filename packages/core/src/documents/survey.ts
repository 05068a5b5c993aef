import type { mongo } from 'mongoose'
import { ENDED_STATUSES } from '../task/lifecycle.ts'
import { millis, NOW } from '../task/server-time.ts'
import type { TaskStore } from '../task/task-store.ts'
import type { SetAside } from './set-aside.ts'
import { type Doc, fits, fitsOnServer } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'

/** How often all documents are checked, by one process for the whole fleet. */
const EVERY_MS = 1_800_000
/** How long the check of one collection may take. */
const MAX_MS = 60_000
/** How many documents of a collection are set aside in one check. */
const MOST = 1_000

export interface SurveyDeps {
  db: mongo.Db
  store: TaskStore
  setAside: SetAside
}

/** Checks all documents, unless a process has done so recently. @returns whether it did */
export async function surveyIfDue(deps: SurveyDeps): Promise<boolean> {
  const turns = deps.db.collection<{ _id: string; at?: Date }>('settings')
  const due = { $lte: [{ $add: [millis('$at', 0), EVERY_MS] }, { $toLong: NOW }] }
  const take = async (): Promise<boolean> =>
    (await turns.updateOne({ _id: 'survey', $expr: due }, [{ $set: { at: NOW } }])).matchedCount === 1
  const make = async (): Promise<boolean> =>
    (await turns.updateOne({ _id: 'survey' }, { $setOnInsert: { at: new Date(0) } }, { upsert: true }))
      .upsertedCount === 1
  if (!(await take()) && !((await make()) && (await take()))) return false
  await survey(deps)
  return true
}

/** Checks all documents and sets the malformed ones aside. */
export async function survey({ db, store, setAside }: SurveyDeps): Promise<void> {
  for (const collection of Object.keys(SHAPES) as ShapedCollection[]) {
    const found = await misfitsOf(db, collection, MOST)
    if (collection === 'tasks') await store.endMisfits(found.map(({ _id }) => _id))
    else for (const doc of found) setAside.note(collection, doc)
  }
}

/**
 * The malformed documents of a collection. The server finds them, so that no others are sent. Ended tasks are not checked,
 * since they do no harm.
 */
export async function misfitsOf(db: mongo.Db, collection: ShapedCollection, most: number): Promise<Doc[]> {
  const shape = SHAPES[collection]
  const open = collection === 'tasks' ? { status: { $nin: [...ENDED_STATUSES] } } : {}
  const found = await db
    .collection<Doc>(collection)
    .find({ ...open, $expr: { $not: [fitsOnServer(shape)] } } as mongo.Filter<Doc>, { maxTimeMS: MAX_MS })
    .limit(most)
    .toArray()
  return found.filter((doc) => !fits(shape, doc))
}
