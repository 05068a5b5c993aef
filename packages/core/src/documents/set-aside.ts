import { createHash } from 'node:crypto'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { driver } from '../database/driver.ts'
import { fromNow, literals, NOW } from '../task/server-time.ts'
import { asError } from '../thrown.ts'
import { type Doc, fits, type Misfit, misfits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'

/** How a malformed document was handled: a task has ended as `failed`, any other document is skipped. */
export type SetAsideHow = 'failed' | 'skipped'

/** A malformed document as it is shown to people. */
export interface SetAsideDocument {
  collection: ShapedCollection
  /** The document's id as text. */
  id: string
  how: SetAsideHow
  /** What is wrong with it, in words. */
  problem: string
  /** When it was first seen. */
  at: Date
}

interface StoredSetAside {
  _id: string
  collection: ShapedCollection
  /** As it is stored, of any type. */
  document: unknown
  how: SetAsideHow
  problem: string
  /** For a document with the right types: the revision whose content could not be used. */
  rev?: unknown
  at: Date
  expireAt: Date
}

const KEPT_MS = 90 * 86_400_000
const MOST_LISTED = 1_000
const LOGGED_AGAIN_MS = 600_000
const MOST_REMEMBERED = 10_000
const PROBLEM_LIMIT = 500

/**
 * The malformed documents of the whole fleet. Each has one small entry, written by the process that finds it. When the list is
 * read, entries of documents that are gone or well-formed by now are removed.
 */
export class SetAside {
  readonly #db: mongo.Db
  readonly #entries: mongo.Collection<StoredSetAside>
  readonly #log: Logger | undefined
  /** What this process has logged recently, and when. */
  readonly #logged = new Map<string, number>()

  constructor(db: mongo.Db, { log }: { log?: Logger | undefined } = {}) {
    this.#db = db
    this.#entries = db.collection('setAside')
    this.#log = log
  }

  /** Records a malformed document. Returns at once and never fails. */
  note(collection: ShapedCollection, doc: Doc, how: SetAsideHow = 'skipped', because?: string): void {
    const problem = because ?? problemOf(misfits(SHAPES[collection], doc))
    const key = keyOf(collection, doc._id)
    const now = performance.now()
    if (now - (this.#logged.get(`${key} ${how}`) ?? Number.NEGATIVE_INFINITY) < LOGGED_AGAIN_MS) return
    this.#logged.set(`${key} ${how}`, now)
    if (this.#logged.size > MOST_REMEMBERED) this.#logged.delete(this.#logged.keys().next().value!)
    this.#log?.error({ collection, id: idText(doc._id), code: 'CORRUPT', problem }, 'a malformed document is set aside')
    const rev = because === undefined || how === 'failed' ? {} : { rev: doc.rev ?? null }
    this.#write(key, { collection, document: doc._id, how, problem: problem.slice(0, PROBLEM_LIMIT), ...rev }).catch(
      (error: unknown) => {
        this.#logged.delete(`${key} ${how}`)
        this.#log?.warn({ err: asError(error) }, 'a malformed document could not be recorded as set aside')
      },
    )
  }

  async #write(_id: string, set: Omit<StoredSetAside, '_id' | 'at' | 'expireAt'>): Promise<void> {
    await this.#entries.updateOne(
      { _id },
      [
        {
          $set: {
            rev: '$$REMOVE',
            ...literals(set),
            at: { $ifNull: ['$at', NOW] },
            expireAt: fromNow(KEPT_MS),
          },
        },
      ],
      { upsert: true },
    )
  }

  /** The documents that are still malformed, the oldest first; at most a thousand. */
  async list(): Promise<SetAsideDocument[]> {
    const entries = await this.#entries.find().sort({ at: 1 }).limit(MOST_LISTED).toArray()
    const still = new Set<StoredSetAside>()
    for (const collection of Object.keys(SHAPES) as ShapedCollection[]) {
      const own = entries.filter((entry) => entry.collection === collection)
      for (const entry of await this.#stillSo(collection, own)) still.add(entry)
    }
    const over = entries.filter((entry) => !still.has(entry)).map(({ _id }) => _id)
    if (over.length > 0) await this.#entries.deleteMany({ _id: { $in: over } })
    for (const key of over) for (const how of ['failed', 'skipped']) this.#logged.delete(`${key} ${how}`)
    return entries
      .filter((entry) => still.has(entry))
      .map(({ collection, document, how, problem, at }) => ({ collection, id: idText(document), how, problem, at }))
  }

  /** How many there are in each collection. Collections without any are left out. */
  async count(): Promise<Partial<Record<ShapedCollection, number>>> {
    const counts: Partial<Record<ShapedCollection, number>> = {}
    for (const { collection } of await this.list()) counts[collection] = (counts[collection] ?? 0) + 1
    return counts
  }

  async #stillSo(collection: ShapedCollection, entries: readonly StoredSetAside[]): Promise<StoredSetAside[]> {
    if (entries.length === 0) return []
    const docs = await this.#db
      .collection<Doc>(collection)
      .find({ _id: { $in: entries.map(({ document }) => document) } } as mongo.Filter<Doc>, {
        projection: { input: 0, output: 0, checkpoint: 0, props: 0 },
      })
      .toArray()
    const byKey = new Map(docs.map((doc) => [keyOf(collection, doc._id), doc]))
    return entries.filter((entry) => {
      const doc = byKey.get(entry._id)
      if (doc === undefined) return false
      if (entry.how === 'failed') {
        return doc.status === 'failed' && (doc.error as { code?: unknown } | undefined)?.code === 'CORRUPT'
      }
      return entry.rev === (doc.rev ?? null) || !fits(SHAPES[collection], doc)
    })
  }
}

/** What is wrong with a document, in one sentence. */
export function problemOf(wrong: readonly Misfit[]): string {
  return wrong.map(({ problem }) => problem).join('; ') || "it can't be used"
}

/** A document's id as people read it. */
export function idText(id: unknown): string {
  if (typeof id === 'string') return id
  return id instanceof driver.ObjectId ? id.toHexString() : driver.BSON.EJSON.stringify(id)
}

/** An id may have any type and any length. */
function keyOf(collection: string, id: unknown): string {
  return `${collection}:${createHash('sha256').update(driver.BSON.serialize({ id })).digest('hex').slice(0, 24)}`
}
