import { until, Watcher } from '@taskfleet/testkit/live/watcher'
import { randomOf, someQueries, WriteHistory } from '@taskfleet/testkit/live/write-history'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ChangeFeed } from './change-feed.ts'
import type { FeedListener } from './feed.ts'
import type { Change } from './feed-events.ts'
import { LiveQueries } from './live-queries.ts'
import type { LiveQueryOptions } from './live-query.ts'

const held = useDatabase()
let feed: ChangeFeed
beforeAll(async () => {
  feed = new ChangeFeed(held.database)
  await feed.start()
})
afterAll(() => feed.stop())

const tasks = () => held.database.db.collection('tasks')
const queue = (): string => `q-${new Types.ObjectId().toHexString()}`

async function withQueries<T>(
  options: LiveQueryOptions,
  run: (queries: LiveQueries) => Promise<T>,
  from: ChangeFeed = feed,
): Promise<T> {
  const queries = new LiveQueries(held.database, from, options)
  try {
    return await run(queries)
  } finally {
    queries.stop()
  }
}

/** A feed that passes on all changes except those that a test drops. */
function leaky(swallows: (change: Change) => boolean): ChangeFeed {
  const subscribe = (listener: FeedListener): (() => void) =>
    feed.subscribe({
      change: (change) => {
        if (!swallows(change)) listener.change(change)
      },
      lost: (reason) => listener.lost(reason),
    })
  return { subscribe, widen: (scope) => feed.widen(scope) } as ChangeFeed
}

describe('the content of tasks', () => {
  test('comes with every change for a view that reads it, and the feed has it only meanwhile', async () => {
    const scopes: string[] = []
    const recording = { subscribe: (listener: FeedListener) => feed.subscribe(listener) } as ChangeFeed
    recording.widen = async (scope) => {
      scopes.push(`+${scope}`)
      const release = await feed.widen(scope)
      return () => {
        scopes.push(`-${scope}`)
        release()
      }
    }
    await withQueries(
      { coalesceMs: 0, lingerMs: 0 },
      async (queries) => {
        const filter = { queue: queue() }
        const plain = await new Watcher({ filter }).open(queries)
        const watchers = await Promise.all(
          [{ filter, fields: ['input', 'output.sum'] }, { filter: { ...filter, 'input.a': 1 } }].map((request) =>
            new Watcher(request).open(queries),
          ),
        )
        const { insertedId } = await tasks().insertOne({ ...filter, rev: 1, input: { a: 1 } } as never)
        await tasks().updateOne({ _id: insertedId }, { $set: { rev: 2, output: { sum: 3, more: 4 } } })
        await until(() => expect(watchers[0]!.rows).toMatchObject([{ input: { a: 1 }, output: { sum: 3 } }]))
        await until(() => expect(watchers[1]!.rows).toHaveLength(1))
        for (const watcher of [plain, ...watchers]) await watcher.isExact(held.database.db)
        expect(scopes).toEqual(['+all', '+whole'])
        for (const { watch } of watchers) watch.close()
        await until(() => expect(scopes).toEqual(['+all', '+whole', '-whole']))
        plain.watch.close()
        await until(() => expect(scopes).toEqual(['+all', '+whole', '-whole', '-all']))
      },
      recording,
    )
  })
})

describe('many live queries at once', () => {
  test('each ends equal to its query after every kind of write', () =>
    withQueries({ coalesceMs: 5 }, async (queries) => {
      const seed = Date.now() % 2 ** 31
      const random = randomOf(seed)
      const where = queue()
      const history = new WriteHistory(held.database.db, { queue: where, random })
      await history.step()
      const watchers: Watcher[] = []
      const join = async (count: number): Promise<void> => {
        for (const request of someQueries(where, count, random)) {
          watchers.push(await new Watcher(request, history.reborn).open(queries))
        }
      }
      await join(25)
      // First each kind alone, because other kinds could hide what it breaks.
      for (const [turn, kind] of history.kinds.entries()) {
        await history.step('insert')
        await history.step(kind)
        const some = watchers.filter((_, n) => n % 5 === turn % 5)
        for (const watcher of some) await watcher.isExact(held.database.db)
      }
      // Then all together, with more writes at the same time.
      const write = async (): Promise<void> => {
        for (let n = 0; n < 12; n += 1) await history.step()
      }
      await Promise.all([write(), write(), write(), join(6)])
      for (const watcher of watchers) {
        await watcher.isExact(held.database.db)
        expect(watcher.resets, `seed ${seed}`).toEqual([])
      }
      expect(queries.mended).toBe(0)
    }))

  test('writes of a transaction are seen when it commits, and not when it aborts', () =>
    withQueries({ coalesceMs: 0 }, async (queries) => {
      const filter = { queue: queue() }
      const watcher = await new Watcher({ filter, sort: { _id: 1 } }).open(queries)
      const write = async (end: 'commit' | 'abort'): Promise<void> => {
        const session = held.database.connection.getClient().startSession()
        session.startTransaction()
        for (let n = 0; n < 5; n += 1) await tasks().insertOne({ ...filter, rev: 1, name: end }, { session })
        await (end === 'commit' ? session.commitTransaction() : session.abortTransaction())
        await session.endSession()
      }
      await write('abort')
      await write('commit')
      await watcher.isExact(held.database.db)
      expect(watcher.rows.map(({ name }) => name)).toEqual(Array(5).fill('commit'))
    }))

  test('an id that was deleted and used again is the new document, in every state', () =>
    withQueries({ coalesceMs: 0 }, async (queries) => {
      const filter = { queue: queue() }
      const docs = Array.from({ length: 6 }, (_, n) => ({
        _id: new Types.ObjectId(),
        ...filter,
        rev: 50,
        priority: n,
        status: n < 3 ? 'pending' : 'failed',
      }))
      await tasks().insertMany(docs)
      const reborn = new Set(docs.map(({ _id }) => _id.toHexString()))
      const watchers = await Promise.all(
        [{ limit: 2 }, { limit: 3 }, { limit: 100 }].flatMap((window) =>
          [{ status: 'pending' }, { priority: { $lt: 4 } }, {}].map((also) =>
            new Watcher({ filter: { ...filter, ...also }, sort: { priority: 1 }, ...window }, reborn).open(queries),
          ),
        ),
      )
      // One in the window, one behind it, one that doesn't fit; once immediately, once after its removal was seen.
      for (const [round, at] of [0, 2, 4, 1, 3, 5].entries()) {
        const { _id, ...content } = docs[at]!
        await tasks().deleteOne({ _id })
        if (round % 2 === 1) for (const watcher of watchers) await watcher.isExact(held.database.db)
        await tasks().insertOne({ ...content, _id, rev: 1, status: 'pending', name: 'again' })
        await tasks().updateOne({ _id }, { $set: { priority: 5 - at }, $inc: { rev: 1 } })
        for (const watcher of watchers) await watcher.isExact(held.database.db)
      }
    }))

  test('a document that ceases to fit the looked-up condition leaves its view, and enters another', () =>
    withQueries({ coalesceMs: 0 }, async (queries) => {
      const where = queue()
      const _id = new Types.ObjectId()
      await tasks().insertOne({ _id, queue: where, rev: 1, worker: 'w1', input: { customer: ['c1', 'c2'] } })
      const [w1, w2, c1, c3, none] = await Promise.all(
        [
          { worker: 'w1' },
          { worker: 'w2' },
          { 'input.customer': 'c1' },
          { 'input.customer': { $in: ['c3', 'c4'] } },
          { worker: null },
        ].map((filter) => new Watcher({ filter: { queue: where, ...filter } }).open(queries)),
      )
      const all = [w1!, w2!, c1!, c3!, none!]
      const holding = async (update: object): Promise<number[]> => {
        await tasks().updateOne({ _id }, { ...update, $inc: { rev: 1 } })
        for (const watcher of all) await watcher.isExact(held.database.db)
        return all.map(({ rows }) => rows.length)
      }
      expect(all.map(({ rows }) => rows.length)).toEqual([1, 0, 1, 0, 0])
      expect(await holding({ $set: { worker: 'w2' } })).toEqual([0, 1, 1, 0, 0])
      expect(await holding({ $set: { 'input.customer.0': 'c3' } })).toEqual([0, 1, 0, 1, 0])
      expect(await holding({ $unset: { worker: 1, input: 1 } })).toEqual([0, 0, 0, 0, 1])
      expect(await holding({ $set: { worker: 'w1', input: { customer: 'c4' } } })).toEqual([1, 0, 0, 1, 0])
      expect(await holding({ $set: { queue: 'elsewhere' } })).toEqual([0, 0, 0, 0, 0])
      expect(await holding({ $set: { queue: where } })).toEqual([1, 0, 0, 1, 0])
    }))
})

describe('the audit', () => {
  const missing: [string, (change: Change) => boolean, (id: Types.ObjectId) => Promise<unknown>][] = [
    ['a new document', ({ doc }) => doc?.name === 'missed', (id) => put(id, 'missed', 9)],
    ['an update', ({ doc }) => doc?.name === 'missed', (id) => put(id, 'missed', 2)],
    ['a delete', ({ doc }) => doc === null, (id) => tasks().deleteOne({ _id: id })],
  ]
  let where = ''
  const put = (_id: Types.ObjectId, name: string, rev: number): Promise<unknown> =>
    tasks().updateOne({ _id }, { $set: { queue: where, name, rev } }, { upsert: true })

  test.each(missing)('repairs a view whose feed did not report %s', async (what, swallows, write) => {
    where = queue()
    await withQueries(
      { coalesceMs: 0, auditMs: 100 },
      async (queries) => {
        const id = new Types.ObjectId()
        const filter = { queue: where }
        if (what !== 'a new document') await put(id, 'first', 1)
        const watcher = await new Watcher({ filter }).open(queries)
        const other = await new Watcher({ filter: { queue: `${where}-other` } }).open(queries)
        const before = watcher.epoch
        await write(id)
        await until(() => expect(watcher.resets).toEqual(['AUDIT']))
        await watcher.isExact(held.database.db)
        expect(watcher.epoch).not.toBe(before)
        expect(queries.mended).toBe(1)
        expect(other.resets).toEqual([])
        // Later changes are reported as usual.
        await put(new Types.ObjectId(), 'later', 1)
        await watcher.isExact(held.database.db)
        expect(watcher.resets).toEqual(['AUDIT'])
        expect(watcher.seq).toBe(1)
      },
      leaky(swallows),
    )
  })

  test('repairs a view of a document whose rev another program lowered', () =>
    withQueries({ coalesceMs: 0, auditMs: 100 }, async (queries) => {
      const filter = { queue: queue() }
      const { insertedId } = await tasks().insertOne({ ...filter, rev: 5, name: 'first' })
      const watcher = await new Watcher({ filter }).open(queries)
      // Reported by the feed, but treated as a state from before the read.
      await tasks().replaceOne({ _id: insertedId }, { ...filter, name: 'second' })
      await until(() => expect(watcher.resets).toEqual(['AUDIT']))
      await watcher.isExact(held.database.db)
      expect(watcher.rows).toMatchObject([{ name: 'second' }])
    }))

  test('does not report a view that was closed during the comparison', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      await tasks().insertOne({ ...filter, rev: 1 })
      const { watch } = await new Watcher({ filter }).open(queries)
      const audit = watch.live.audit()
      watch.live.close()
      expect(await audit).toBe(true)
    }))

  test('does not report a difference that is only on its way', () =>
    withQueries({ coalesceMs: 5, auditMs: 20 }, async (queries) => {
      const random = randomOf(7)
      const where = queue()
      const history = new WriteHistory(held.database.db, { queue: where, random })
      const watchers = await Promise.all(
        someQueries(where, 8, random).map((request) => new Watcher(request, history.reborn).open(queries)),
      )
      let audits = 0
      for (const { watch } of watchers) {
        const { live } = watch
        const audit = live.audit.bind(live)
        live.audit = async () => {
          audits += 1
          return audit()
        }
      }
      let writing = true
      const writers = [1, 2].map(async () => {
        while (writing) await history.step()
      })
      await until(() => expect(audits).toBeGreaterThan(25))
      writing = false
      await Promise.all(writers)
      for (const watcher of watchers) await watcher.isExact(held.database.db)
      const after = audits
      await until(() => expect(audits).toBeGreaterThan(after + 5))
      expect(watchers.flatMap(({ resets }) => resets)).toEqual([])
      expect(queries.mended).toBe(0)
    }))
})
