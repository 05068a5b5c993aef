import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import type { IndexSpec } from '../database/index-specs.ts'
import { isPlainObject } from '../documents/plain.ts'
import { compareBy, compareValues } from '../live/compare.ts'
import { filterMatcher } from './filters.ts'
import type { MemorySession } from './memory-session.ts'
import { piped, projected } from './pipelines.ts'
import { updated } from './updates.ts'

type Doc = mongo.Document
type Filter = Record<string, unknown>

interface FindOptions {
  projection?: Doc
  sort?: Record<string, 1 | -1>
  limit?: number
  session?: MemorySession
}
interface UpdateOptions extends FindOptions {
  upsert?: boolean
  returnDocument?: 'before' | 'after'
}
type Change = (id: unknown, doc: Doc | null) => void

/** The maximum size of a document. */
const LARGEST = 16 * 1024 * 1024
const keyOf = (id: unknown): string => (typeof id === 'string' ? id : driver.BSON.EJSON.stringify({ id }))
/** A copy as a server would return it: it shares no object with the store, and its values have gone through BSON. */
const copied = (doc: Doc): Doc => driver.BSON.deserialize(driver.BSON.serialize(doc))

/** A collection in memory, with the driver's methods that a fleet uses. Each one runs at once. */
export class MemoryCollection {
  readonly collectionName: string
  readonly #docs = new Map<string, Doc>()
  readonly #unique: readonly IndexSpec[]
  readonly #now: () => Date
  readonly #onChange: Change

  constructor(name: string, parts: { unique: readonly IndexSpec[]; now: () => Date; onChange: Change }) {
    this.collectionName = name
    this.#unique = parts.unique
    this.#now = parts.now
    this.#onChange = parts.onChange
  }

  find(filter: Filter = {}, options: FindOptions = {}): MemoryCursor {
    return new MemoryCursor((asked) => this.#find(filter, asked), options)
  }

  async findOne(filter: Filter = {}, options: FindOptions = {}): Promise<Doc | null> {
    return this.#find(filter, { ...options, limit: 1 })[0] ?? null
  }

  aggregate(pipeline: readonly Doc[]): MemoryCursor {
    return new MemoryCursor(() => piped([...this.#docs.values()].map(copied), pipeline, this.#now()), {})
  }

  async countDocuments(
    filter: Filter = {},
    { limit = Number.POSITIVE_INFINITY }: { limit?: number } = {},
  ): Promise<number> {
    return Math.min(limit, this.#matching(filter).length)
  }

  async distinct(field: string, filter: Filter = {}): Promise<unknown[]> {
    return [...new Set(this.#matching(filter).map((doc) => doc[field] as unknown))]
  }

  async estimatedDocumentCount(): Promise<number> {
    return this.#docs.size
  }

  async insertOne(doc: Doc, { session }: { session?: MemorySession } = {}): Promise<{ insertedId: unknown }> {
    const whole = { _id: doc._id ?? new driver.ObjectId(), ...doc }
    this.#insert(whole, session)
    return { insertedId: whole._id }
  }

  async insertMany(docs: readonly Doc[], options: { session?: MemorySession; ordered?: boolean } = {}): Promise<void> {
    const inserts = docs.map((document) => ({ insertOne: { document } }))
    await this.bulkWrite(inserts, options)
  }

  async updateOne(filter: Filter, update: Doc | Doc[], options: UpdateOptions = {}): Promise<mongo.UpdateResult> {
    return this.#update(filter, update, options).result
  }

  async updateMany(filter: Filter, update: Doc | Doc[], { session }: UpdateOptions = {}): Promise<mongo.UpdateResult> {
    const found = this.#matching(filter)
    const changed = found.filter((doc) => this.#change(doc, updated(copied(doc), update, this.#now()), session))
    return resultOf(found.length, changed.length)
  }

  async findOneAndUpdate(filter: Filter, update: Doc | Doc[], options: UpdateOptions = {}): Promise<Doc | null> {
    const { before, after } = this.#update(filter, update, options)
    const doc = options.returnDocument === 'after' ? after : before
    return doc === undefined ? null : projected(copied(doc), options.projection)
  }

  async deleteOne(filter: Filter, { session }: { session?: MemorySession } = {}): Promise<{ deletedCount: number }> {
    return { deletedCount: this.#delete(this.#matching(filter).slice(0, 1), session) }
  }

  async deleteMany(
    filter: Filter = {},
    { session }: { session?: MemorySession } = {},
  ): Promise<{ deletedCount: number }> {
    return { deletedCount: this.#delete(this.#matching(filter), session) }
  }

  /** Unordered: an operation that fails doesn't stop the others. @throws {mongo.MongoBulkWriteError} */
  async bulkWrite(operations: readonly Doc[], { session }: { session?: MemorySession } = {}): Promise<Doc> {
    const totals = { matchedCount: 0, modifiedCount: 0, upsertedCount: 0, insertedCount: 0, deletedCount: 0 }
    const writeErrors: { index: number; code: unknown; errmsg: string }[] = []
    for (const [index, operation] of operations.entries()) {
      const [name, one] = Object.entries(operation)[0] as [string, Doc]
      try {
        const within = session === undefined ? {} : { session }
        const done = await this.#bulkPart(name, one, within)
        for (const [count, value] of Object.entries(done)) {
          if (count in totals) totals[count as keyof typeof totals] += value as number
        }
      } catch (error) {
        if (!(error instanceof driver.MongoServerError)) throw error
        writeErrors.push({ index, code: error.code, errmsg: error.message })
      }
    }
    const result = { ...totals, getWriteConcernError: () => undefined }
    const [first] = writeErrors
    if (first === undefined) return result
    throw new driver.MongoBulkWriteError(
      { message: first.errmsg, code: first.code as number, writeErrors: writeErrors as never },
      result as never,
    )
  }

  #bulkPart(name: string, one: Doc, within: { session?: MemorySession }): Promise<object> {
    switch (name) {
      case 'updateOne':
        return this.updateOne(one.filter, one.update, { ...within, upsert: one.upsert === true })
      case 'insertOne':
        return this.insertOne(one.document, within).then(() => ({ insertedCount: 1 }))
      case 'deleteOne':
        return this.deleteOne(one.filter, within)
      default:
        throw new TypeError(`the memory database has no ${name} in a bulk`)
    }
  }

  #find(filter: Filter, { projection, sort, limit }: FindOptions): Doc[] {
    const found = this.#matching(filter)
    const sorted = sort === undefined || Object.keys(sort).length === 0 ? found : found.toSorted(compareBy(sort))
    const some = limit === undefined || limit === 0 ? sorted : sorted.slice(0, limit)
    return some.map((doc) => projected(copied(doc), projection))
  }

  #matching(filter: Filter): Doc[] {
    return [...this.#candidates(filter._id)].filter(filterMatcher(filter, this.#now()))
  }

  /** The documents with the ids of a filter, or all. */
  #candidates(id: unknown): Iterable<Doc> {
    if (id === undefined || id instanceof RegExp) return this.#docs.values()
    const named = isPlainObject(id) ? id.$in : [id]
    if (!Array.isArray(named)) return this.#docs.values()
    const keys = new Set(named.map(keyOf))
    return [...keys].flatMap((key) => this.#docs.get(key) ?? [])
  }

  #update(filter: Filter, update: Doc | Doc[], { upsert, sort, session }: UpdateOptions) {
    const found = this.#matching(filter)
    const before = sort === undefined ? found[0] : found.toSorted(compareBy(sort))[0]
    if (before !== undefined) {
      const after = updated(copied(before), update, this.#now())
      const isChanged = this.#change(before, after, session)
      return { before, after, result: resultOf(1, isChanged ? 1 : 0) }
    }
    if (upsert !== true) return { before, after: undefined, result: resultOf(0, 0) }
    const equal = Object.entries(filter).filter(([key, value]) => !key.startsWith('$') && !isPlainObject(value))
    const after = updated({ _id: new driver.ObjectId(), ...Object.fromEntries(equal) }, update, this.#now(), true)
    this.#insert(after, session)
    return { before, after, result: { ...resultOf(0, 0), upsertedCount: 1, upsertedId: after._id } }
  }

  #insert(doc: Doc, session: MemorySession | undefined): void {
    if (this.#docs.has(keyOf(doc._id))) throw duplicate(`${this.collectionName}._id`)
    this.#put(doc, undefined, session)
  }

  /** @returns whether anything has changed */
  #change(before: Doc, after: Doc, session: MemorySession | undefined): boolean {
    if (compareValues(before, after) === 0) return false
    this.#put(after, before, session)
    return true
  }

  #put(doc: Doc, before: Doc | undefined, session: MemorySession | undefined): void {
    const size = driver.BSON.calculateObjectSize(doc)
    if (size > LARGEST) throw new driver.MongoServerError({ message: `a document of ${size} bytes`, code: 10_334 })
    for (const index of this.#unique) this.#requireUnique(index, doc)
    const stored = copied(doc)
    this.#docs.set(keyOf(doc._id), stored)
    this.#done(doc._id, stored, before, session)
  }

  #delete(docs: readonly Doc[], session: MemorySession | undefined): number {
    for (const doc of docs) {
      this.#docs.delete(keyOf(doc._id))
      this.#done(doc._id, null, doc, session)
    }
    return docs.length
  }

  /** Reports the change when it is committed, and undoes it when its transaction fails. */
  #done(id: unknown, doc: Doc | null, before: Doc | undefined, session: MemorySession | undefined): void {
    const tell = (): void => this.#onChange(id, doc)
    if (session?.inTransaction() !== true) {
      tell()
      return
    }
    session.wrote(tell, () => {
      if (before === undefined) this.#docs.delete(keyOf(id))
      else this.#docs.set(keyOf(id), before)
    })
  }

  #requireUnique({ name, key, sparse, partialFilterExpression }: IndexSpec, doc: Doc): void {
    const fields = Object.keys(key)
    const filter = { ...partialFilterExpression }
    const isIndexed = (one: Doc): boolean =>
      (sparse !== true || fields.some((field) => one[field] !== undefined)) && filterMatcher(filter, this.#now())(one)
    if (!isIndexed(doc)) return
    const isSame = (one: Doc): boolean =>
      keyOf(one._id) !== keyOf(doc._id) && fields.every((field) => compareValues(one[field], doc[field]) === 0)
    for (const one of this.#docs.values())
      if (isSame(one) && isIndexed(one)) throw duplicate(`${this.collectionName}.${name}`)
  }
}

const resultOf = (matchedCount: number, modifiedCount: number): mongo.UpdateResult => ({
  acknowledged: true,
  ...{ matchedCount, modifiedCount, upsertedCount: 0, upsertedId: null },
})

const duplicate = (index: string): mongo.MongoServerError =>
  new driver.MongoServerError({ message: `E11000 duplicate key error: ${index}`, code: 11_000 })

/** Finds documents when they are read. */
export class MemoryCursor implements AsyncIterable<Doc> {
  readonly #find: (options: FindOptions) => Doc[]
  #options: FindOptions

  constructor(find: (options: FindOptions) => Doc[], options: FindOptions) {
    this.#find = find
    this.#options = options
  }

  sort(sort: Record<string, 1 | -1>): this {
    return this.#with({ sort })
  }

  limit(limit: number): this {
    return this.#with({ limit })
  }

  project(projection: Doc): this {
    return this.#with({ projection })
  }

  batchSize(): this {
    return this
  }

  async toArray(): Promise<Doc[]> {
    return this.#find(this.#options)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Doc> {
    yield* await this.toArray()
  }

  #with(options: FindOptions): this {
    this.#options = { ...this.#options, ...options }
    return this
  }
}
