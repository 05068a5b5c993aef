import type { QueryRequest, QuerySort } from '@taskfleet/protocol'
import { mongo, Types } from 'mongoose'

type Doc = mongo.BSON.Document & { _id: Types.ObjectId }

/** Numbers from 0 to 1 that the seed determines, so that a failure can be repeated (mulberry32, by Tommy Ettinger). */
export function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const PARENTS = ['65f000000000000000000001', '65f000000000000000000002'] as const
const LONG_AGO = new Date(0)

/** Random changes of a queue's tasks, of every kind that a program can make, also against our own rules. */
export class WriteHistory {
  /** Ids that were deleted and used again: their `rev` starts again. */
  readonly reborn = new Set<string>()
  readonly #client: mongo.MongoClient
  readonly #tasks: mongo.Collection<Doc>
  readonly #queue: string
  readonly #random: () => number
  readonly #most: number
  readonly #ids: Types.ObjectId[] = []
  readonly #gone: Types.ObjectId[] = []
  #replaced = 0
  /** The stand-ins block when a write meets an open transaction, so a transaction runs alone. */
  #lastAlone: Promise<unknown> = Promise.resolve()
  readonly #writing = new Set<Promise<unknown>>()

  /** @param most about how many tasks there are at a time */
  constructor(db: mongo.Db, { queue, random, most = 60 }: { queue: string; random: () => number; most?: number }) {
    this.#client = db.client
    this.#tasks = db.collection<Doc>('tasks')
    this.#queue = queue
    this.#random = random
    this.#most = most
  }

  /** The actions of `step`, by name. */
  readonly #steps: Record<string, () => Promise<unknown>> = {
    insert: () => this.#tasks.insertMany([this.#task(), this.#task()]),
    update: () => this.#tasks.updateOne(this.#one(), { $set: this.#content(), $inc: { rev: 1 } }),
    // Programs that don't know our rules leave `rev` unchanged.
    'update without rev': () => this.#tasks.updateOne(this.#one(), { $set: this.#content() }),
    'update of a nested path': () =>
      this.#tasks.updateOne(this.#one(), {
        $set: { 'input.size.w': this.#pick(6), 'input.parts.1.n': this.#pick(3) },
        $inc: { rev: 1 },
      }),
    unset: () =>
      this.#tasks.updateOne(this.#one(), { $unset: { name: 1, worker: 1, 'input.customer': 1 }, $inc: { rev: 1 } }),
    'update by a pipeline': () =>
      this.#tasks.updateOne(this.#one(), [
        { $set: { rev: { $add: ['$rev', 1] }, priority: { $add: [{ $ifNull: ['$priority', 0] }, 1] } } },
      ]),
    'update of many': () =>
      this.#tasks.updateMany(
        { queue: this.#queue, priority: this.#pick(10) },
        { $set: { status: this.#status() }, $inc: { rev: 1 } },
      ),
    replace: () => {
      const { _id } = this.#one()
      // Higher than any before, since a lower one counts as late.
      this.#replaced += 1_000
      return this.#tasks.replaceOne({ _id }, { ...this.#content(), queue: this.#queue, rev: this.#replaced })
    },
    delete: () => this.#delete([this.#one()._id]),
    // Like a retention index, several at a time.
    expire: async () => {
      const due = { queue: this.#queue, expireAt: LONG_AGO }
      await this.#tasks.updateMany({ _id: { $in: [this.#one()._id, this.#one()._id] } }, { $set: due })
      const docs = await this.#tasks.find(due, { projection: { _id: 1 } }).toArray()
      await this.#delete(docs.map(({ _id }) => _id))
    },
    'take an id again': async () => {
      const _id = this.#gone[this.#pick(this.#gone.length)] ?? this.#one()._id
      this.reborn.add(_id.toHexString())
      await this.#delete([_id])
      await this.#tasks.insertOne({ ...this.#task(), _id })
      this.#ids.push(_id)
    },
    'leave the queue and come back': async () => {
      const { _id } = this.#one()
      await this.#tasks.updateOne({ _id }, { $set: { queue: `${this.#queue}-other` }, $inc: { rev: 1 } })
      await this.#tasks.updateOne({ _id }, { $set: { queue: this.#queue }, $inc: { rev: 1 } })
    },
    bulk: () =>
      this.#tasks.bulkWrite(
        [
          { insertOne: { document: this.#task() } },
          { updateOne: { filter: this.#one(), update: { $set: this.#content(), $inc: { rev: 1 } } } },
          { updateOne: { filter: this.#one(), update: { $inc: { rev: 1 } } } },
          { deleteOne: { filter: this.#one() } },
          { updateMany: { filter: { queue: this.#queue, lazy: true }, update: { $inc: { rev: 1 } } } },
        ],
        { ordered: this.#random() < 0.5 },
      ),
    transaction: () => this.#inTransaction((session) => session.commitTransaction()),
    'transaction that is given up': () => this.#inTransaction((session) => session.abortTransaction()),
  }

  /** The names of all actions of `step`. */
  get kinds(): string[] {
    return Object.keys(this.#steps)
  }

  /** Makes a random write and returns its name. A write that fails, for example while the database is away, is no error of the history. */
  async step(kind = this.#kind()): Promise<string> {
    const alone = kind.startsWith('transaction')
    const before = alone ? Promise.all([this.#lastAlone, ...this.#writing]) : this.#lastAlone
    const turn = before.then(() => this.#steps[kind]!()).catch(() => undefined)
    if (alone) this.#lastAlone = turn
    else this.#writing.add(turn)
    await turn
    this.#writing.delete(turn)
    return kind
  }

  #kind(): string {
    if (this.#ids.length < 3) return 'insert'
    if (this.#ids.length > this.#most) return 'delete'
    return this.kinds[this.#pick(this.kinds.length)]!
  }

  async #inTransaction(end: (session: mongo.ClientSession) => Promise<unknown>): Promise<void> {
    const session = this.#client.startSession()
    try {
      session.startTransaction()
      await this.#tasks.insertOne(this.#task(), { session })
      await this.#tasks.updateOne(this.#one(), { $set: this.#content(), $inc: { rev: 1 } }, { session })
      await this.#tasks.updateOne(this.#one(), { $set: this.#content(), $inc: { rev: 1 } }, { session })
      await this.#tasks.deleteOne(this.#one(), { session })
      await end(session)
    } finally {
      if (session.inTransaction()) await session.abortTransaction().catch(() => undefined)
      await session.endSession()
    }
  }

  async #delete(ids: Types.ObjectId[]): Promise<void> {
    await this.#tasks.deleteMany({ _id: { $in: ids } })
    for (const id of ids) {
      const at = this.#ids.findIndex((one) => one.equals(id))
      if (at >= 0) this.#gone.push(...this.#ids.splice(at, 1))
    }
  }

  #pick(below: number): number {
    return Math.floor(this.#random() * below)
  }

  #one(): { _id: Types.ObjectId } {
    return { _id: this.#ids[this.#pick(this.#ids.length)] ?? new Types.ObjectId() }
  }

  #task(): Doc {
    const _id = new Types.ObjectId()
    this.#ids.push(_id)
    return { _id, queue: this.#queue, rev: 1, ...this.#content() }
  }

  #status(): string {
    return ['pending', 'running', 'failed', 'completed'][this.#pick(4)]!
  }

  /** Few different values, so that there are ties, and conditions that become true and false. */
  #content(): Record<string, unknown> {
    const among = <T>(values: readonly T[]): T => values[this.#pick(values.length)]!
    const sometimes = (fields: Record<string, unknown>): Record<string, unknown> => (this.#random() < 0.7 ? fields : {})
    return {
      status: this.#status(),
      runAt: new Date(this.#pick(5)),
      lazy: this.#random() < 0.3,
      ...sometimes({ priority: among([this.#pick(10), mongo.Long.fromNumber(this.#pick(10)), 4.5]) }),
      ...sometimes({ name: among(['a', 'Ab', 'b', '😀', '\uffee', 'c', null]) }),
      ...sometimes({ worker: `w${this.#pick(5)}` }),
      ...sometimes({ parent: new Types.ObjectId(among(PARENTS)) }),
      ...sometimes({ error: { code: `E${this.#pick(3)}` } }),
      input: {
        customer: among(['c1', 'c2', 'c3', 1, mongo.Long.fromNumber(1), new mongo.Double(1), ['c1', 'c4'], null]),
        tags: among([['red'], ['red', 'blue'], 'red', [], [['red']]]),
        size: among([{ w: this.#pick(6) }, 7, [{ w: 1 }, { w: 5 }]]),
        parts: [{ n: this.#pick(3) }, { n: this.#pick(3) }],
      },
    }
  }
}

const FILTERS: readonly Record<string, unknown>[] = [
  {},
  { status: 'pending' },
  { status: { $in: ['running', 'failed'] } },
  { worker: 'w1' },
  { worker: { $in: ['w1', 'w2'] } },
  { worker: null },
  { worker: 'w3', priority: { $gte: 5 } },
  { parent: PARENTS[0] },
  { 'input.customer': 'c1' },
  { 'input.customer': 1 },
  { 'input.customer': { $ne: 'c1' } },
  { 'input.tags': 'red' },
  { 'input.tags': { $all: ['red', 'blue'] } },
  { 'input.tags': { $size: 2 } },
  { 'input.size.w': { $gte: 3 } },
  { 'input.size': { $elemMatch: { $exists: true } } },
  { 'input.parts.1.n': 2 },
  { 'input.parts.n': 2, status: 'running' },
  { name: { $contains: 'a' } },
  { name: { $not: { $prefix: 'A' } } },
  { $or: [{ status: 'failed' }, { 'input.tags': 'red' }] },
  { $and: [{ 'error.code': 'E1' }, { lazy: false }] },
  { $nor: [{ status: 'pending' }, { worker: 'w1' }] },
  { priority: { $exists: false } },
  { priority: 4 },
]
const SORTS: readonly QuerySort[] = [
  { priority: -1 },
  { priority: 1, name: -1 },
  { name: 1 },
  { runAt: -1 },
  { _id: -1 },
  { rev: 1 },
  { status: 1, priority: -1 },
  { lazy: -1, runAt: 1, _id: -1 },
]
const LIMITS = [1, 2, 3, 5, 20, 100]

/** Queries over that history: with and without equality conditions, with full and with large windows. */
export function someQueries(queue: string, count: number, random: () => number): QueryRequest[] {
  return Array.from({ length: count }, (_, n) => ({
    // Each filter is used before one is repeated.
    filter: { queue, ...FILTERS[n % FILTERS.length] },
    sort: SORTS[Math.floor(random() * SORTS.length)]!,
    limit: LIMITS[Math.floor(random() * LIMITS.length)]!,
    ...(random() < 0.3 ? { fields: ['status', 'priority', 'input.customer', 'input.size.w'] } : {}),
  }))
}
