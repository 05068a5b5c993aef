import { until, Watcher } from '@taskfleet/testkit/live/watcher'
import { useDatabase } from '@taskfleet/testkit/use-database'
import fc from 'fast-check'
import { Types } from 'mongoose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { MOST_BYTES } from './bounded-read.ts'
import { ChangeFeed } from './change-feed.ts'
import { LiveQueries } from './live-queries.ts'
import { LiveQuery, type LiveQueryListener, type LiveQueryOptions } from './live-query.ts'
import { compileQuery } from './query.ts'

const held = useDatabase()
let feed: ChangeFeed
beforeAll(async () => {
  feed = new ChangeFeed(held.database)
  await feed.start()
})
afterAll(() => feed.stop())

interface Stored {
  _id: Types.ObjectId
  rev: number
  name?: string
}
const tasks = () => held.database.db.collection<Stored>('tasks')
const queue = (): string => `q-${new Types.ObjectId().toHexString()}`
const stored = (over: Record<string, unknown>): Stored => ({ _id: new Types.ObjectId(), rev: 1, ...over })

async function withQueries<T>(options: LiveQueryOptions, run: (queries: LiveQueries) => Promise<T>): Promise<T> {
  const queries = new LiveQueries(held.database, feed, options)
  try {
    return await run(queries)
  } finally {
    queries.stop()
  }
}

describe('watchers of the same query', () => {
  test('share one view, which closes some time after the last one has left', () =>
    withQueries({ lingerMs: 50 }, async (queries) => {
      const filter = { queue: queue() }
      const [one, other] = await Promise.all([1, 2].map(() => new Watcher({ filter }).open(queries)))
      expect(other!.watch.live).toBe(one!.watch.live)
      expect(queries.size).toBe(1)
      one!.watch.close()
      one!.watch.close()
      expect(other!.watch.live.idle).toBe(false)
      other!.watch.close()
      expect(queries.size).toBe(1)
      // A watcher that comes back in time gets the same view.
      const back = await new Watcher({ filter }).open(queries)
      expect(back.watch.live).toBe(one!.watch.live)
      back.watch.close()
      await until(() => expect(queries.size).toBe(0))
      const late = await new Watcher({ filter }).open(queries)
      expect(late.watch.live).not.toBe(one!.watch.live)
    }))

  test('linger up to a number and a size for each owner; the oldest go first', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      const leave = async (limit: number, owner: string): Promise<void> => {
        const listener: LiveQueryListener = { delta: () => undefined, reset: () => undefined }
        const { close } = await queries.watch(compileQuery({ filter, fields: ['input'], limit }), listener, { owner })
        close()
      }
      await leave(200, 'other')
      for (let limit = 1; limit <= 103; limit += 1) await leave(limit, 'one')
      expect(queries.size).toBe(101)
      await tasks().insertMany(Array.from({ length: 3 }, () => stored({ ...filter, input: 'x'.repeat(1_000_000) })))
      for (let limit = 301; limit <= 304; limit += 1) await leave(limit, 'heavy')
      // One of three megabytes fits into four.
      expect(queries.size).toBe(102)
    }))

  test('do not share where only the text of a pattern differs', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      await tasks().insertMany([stored({ ...filter, name: 'ape' }), stored({ ...filter, name: 'bee' })])
      const watchers = await Promise.all(
        ['ape', 'bee'].map((name) => new Watcher({ filter: { ...filter, name: { $contains: name } } }).open(queries)),
      )
      expect(watchers.map(({ rows }) => rows.map(({ name }) => name))).toEqual([['ape'], ['bee']])
      expect(queries.size).toBe(2)
    }))

  test('a failing watcher does not affect the others', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      const bad: LiveQueryListener = {
        delta: () => {
          throw new Error('mine')
        },
        reset: () => {
          throw new Error('mine')
        },
      }
      await queries.watch(compileQuery({ filter }), bad)
      const good = await new Watcher({ filter }).open(queries)
      await tasks().insertOne(stored(filter))
      await until(() => expect(good.rows).toHaveLength(1))
      await good.watch.live.reset('AUDIT')
      expect(good.resets).toEqual(['AUDIT'])
    }))

  test('come and go a thousand times without leaving anything', () =>
    withQueries({ lingerMs: 0 }, async (queries) => {
      for (let round = 0; round < 20; round += 1) {
        const watches = await Promise.all(
          Array.from({ length: 50 }, (_, index) =>
            queries.watch(compileQuery({ limit: 1 + (index % 5) }), new Watcher({})),
          ),
        )
        for (const { close } of watches) close()
      }
      await until(() => expect(queries.size).toBe(0))
    }))

  test('get the error if the first read fails, and nothing is left open', () =>
    withQueries({}, async (queries) => {
      const query = compileQuery({ filter: { queue: queue() } })
      const broken = { ...query, dbFilter: { $noSuchOperator: 1 } }
      await expect(queries.watch(broken, new Watcher({}))).rejects.toThrow()
      expect(queries.size).toBe(0)
      await queries.watch(query, new Watcher({}))
      expect(queries.size).toBe(1)
    }))
})

describe('the window of a live query', () => {
  test('is filled up again after removals, from its reserve and from the database', () =>
    withQueries({ coalesceMs: 0 }, async (queries) => {
      const filter = { queue: queue() }
      const docs = Array.from({ length: 30 }, (_, priority) => stored({ ...filter, priority }))
      await tasks().insertMany(docs)
      const watcher = await new Watcher({ filter, sort: { priority: 1 }, limit: 3 }).open(queries)
      for (const doc of docs.slice(0, 28)) {
        await tasks().deleteOne({ _id: doc._id })
      }
      await watcher.isExact(held.database.db)
      expect(watcher.rows.map(({ priority }) => priority)).toEqual([28, 29])
      // No delta showed an incomplete window.
      let size = 3
      for (const delta of watcher.deltas.slice(0, -1)) {
        size += delta.added.length - delta.removed.length
        expect(size).toBe(3)
      }
    }))

  test('a view over documents of hostile shapes stays alive', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      const watcher = await new Watcher({ filter, fields: ['attempts', 'input', 'error'] }).open(queries)
      const input = JSON.parse('{"__proto__": {"x": 1}, "hasOwnProperty": 1, "toJSON": 2}')
      await tasks().insertOne(stored({ ...filter, attempts: [null, 5, { n: 1, lease: 'secret' }], input }))
      await tasks().insertOne(
        stored({ ...filter, attempts: 5, error: { message: '<img onerror>' }, lease: { id: 's' } }),
      )
      await until(() => expect(watcher.rows).toHaveLength(2))
      await watcher.isExact(held.database.db)
      expect(JSON.stringify(watcher.rows)).not.toContain('secret')
      const hostile = watcher.rows.find((row) => Array.isArray(row.attempts))!
      expect(Object.keys(hostile.input as object)).toEqual(['__proto__', 'hasOwnProperty', 'toJSON'])
      expect(Object.getPrototypeOf(hostile.input)).toBe(Object.prototype)
    }))

  test('rows are the same whether they were read or came from the feed', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      const fields = ['name', 'input.files.name', 'input.a.b', 'input.map.0']
      const inputs = [
        { files: [{ name: 'x', size: 1 }, 5, { size: 2 }], a: 5, map: { 0: 'zero', 1: 'one' } },
        { files: { name: 'x', size: 1 }, a: { c: 1 }, map: ['zero', { 0: 'inner' }] },
        { files: [[{ name: 'x', size: 1 }]], a: [1] },
        5,
      ]
      const live = await new Watcher({ filter, fields }).open(queries)
      await tasks().insertMany(inputs.map((input) => stored({ ...filter, name: 'n', input })))
      await until(() => expect(live.rows).toHaveLength(inputs.length))
      const read = await new Watcher({ filter, fields, limit: 99 }).open(queries)
      expect(live.rows).toEqual(read.rows)
    }))

  test('a thousand quick updates of one row give far fewer deltas, and the last one is right', () =>
    withQueries({ coalesceMs: 50 }, async (queries) => {
      const doc = stored({ queue: queue() })
      await tasks().insertOne(doc)
      const watcher = await new Watcher({ filter: { _id: doc._id.toHexString() } }).open(queries)
      await tasks().bulkWrite(
        Array.from({ length: 1_000 }, () => ({
          updateOne: { filter: { _id: doc._id }, update: { $inc: { rev: 1 } } },
        })),
      )
      await until(() => expect(watcher.rows[0]?.rev).toBe(1_001))
      expect(watcher.deltas.length).toBeLessThan(200)
      await watcher.isExact(held.database.db)
    }))
})

describe('a watcher that comes back', () => {
  test('gets what it missed and nothing else', () =>
    withQueries({ coalesceMs: 0 }, async (queries) => {
      const filter = { queue: queue() }
      const watcher = await new Watcher({ filter }).open(queries)
      const { epoch, seq } = watcher
      for (let n = 1; n <= 5; n += 1) {
        await tasks().insertOne(stored(filter))
        await until(() => expect(watcher.rows).toHaveLength(n))
      }
      const { live } = watcher.watch
      expect(live.replay({ epoch, seq })).toEqual(watcher.deltas)
      expect(live.replay({ epoch, seq: seq + 3 })).toEqual(watcher.deltas.slice(3))
      expect(live.replay({ epoch, seq: live.seq })).toEqual([])
    }))

  test('gets all rows if its position is too old, ahead, of another epoch, or not a number', () =>
    withQueries({ coalesceMs: 0, ring: 2 }, async (queries) => {
      const filter = { queue: queue() }
      const watcher = await new Watcher({ filter }).open(queries)
      const { live } = watcher.watch
      const { epoch, seq } = watcher
      for (let n = 1; n <= 3; n += 1) {
        await tasks().insertOne(stored(filter))
        await until(() => expect(watcher.rows).toHaveLength(n))
      }
      expect(live.replay({ epoch, seq })).toBeNull()
      expect(live.replay({ epoch, seq: seq + 1 })).toHaveLength(2)
      expect(live.replay({ epoch, seq: live.seq + 1 })).toBeNull()
      expect(live.replay({ epoch, seq: -1 })).toBeNull()
      expect(live.replay({ epoch, seq: Number.NaN })).toBeNull()
      expect(live.replay({ epoch, seq: live.seq - 0.5 })).toBeNull()
      expect(live.replay({ epoch: 'another', seq: live.seq })).toBeNull()
    }))
})

describe('a live query that may have missed changes', () => {
  test('starts a new epoch from the state of the database', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      const doc = stored({ ...filter, rev: 5 })
      await tasks().insertOne(doc)
      const watcher = await new Watcher({ filter }).open(queries)
      const before = watcher.epoch
      await watcher.watch.live.reset('HISTORY_LOST')
      expect(watcher.resets).toEqual(['HISTORY_LOST'])
      expect(watcher.epoch).not.toBe(before)
      expect(watcher.seq).toBe(0)
      expect(watcher.watch.live.replay({ epoch: before, seq: 0 })).toBeNull()
      await tasks().updateOne({ _id: doc._id }, { $inc: { rev: 1 } })
      await until(() => expect(watcher.rows[0]?.rev).toBe(6))
      expect(watcher.seq).toBe(1)
    }))

  test('accepts an id that began again with a lower rev in the meantime', () =>
    withQueries({}, async (queries) => {
      const collection = held.database.db.collection<Stored>('events')
      const doc = stored({ name: 'first', rev: 9 })
      await collection.insertOne(doc)
      const watcher = await new Watcher({ collection: 'events' }).open(queries)
      await collection.drop()
      await until(() => expect(watcher.rows).toEqual([]))
      expect(watcher.resets).toContain('COLLECTION_GONE')
      await collection.insertOne({ ...doc, name: 'second', rev: 1 })
      await until(() => expect(watcher.rows).toMatchObject([{ name: 'second', rev: 1 }]))
      await collection.drop()
    }))

  test('is exact after several resets at the same time', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      await tasks().insertOne(stored(filter))
      const watcher = await new Watcher({ filter }).open(queries)
      const { live } = watcher.watch
      await Promise.all([live.reset('HISTORY_LOST'), tasks().insertOne(stored(filter)), live.reset('AUDIT')])
      expect(watcher.resets).toEqual(['HISTORY_LOST', 'AUDIT'])
      await until(() => expect(watcher.rows).toHaveLength(2))
      await watcher.isExact(held.database.db)
    }))
})

describe('under concurrent writes', () => {
  const random = (below: number): number => Math.floor(Math.random() * below)

  test('there is no gap between the read and the stream', () =>
    withQueries({ coalesceMs: 5 }, async (queries) => {
      const filter = { queue: queue() }
      let writing = true
      const writer = (async () => {
        for (let n = 0; writing; n += 1) await tasks().insertOne(stored({ ...filter, priority: n }))
      })()
      const watchers: Watcher[] = []
      // Each limit has its own view, opened during the writes.
      for (let limit = 1; limit <= 12; limit += 1) {
        watchers.push(await new Watcher({ filter, sort: { priority: -1 }, limit: limit * 5 }).open(queries))
      }
      writing = false
      await writer
      for (const watcher of watchers) await watcher.isExact(held.database.db)
    }))

  test('every window ends equal to its query, after any history', () =>
    withQueries({ coalesceMs: 5 }, async (queries) => {
      const shape = fc.record({
        limit: fc.constantFrom(1, 2, 3, 5, 20, 100),
        by: fc.constantFrom('priority', 'name', 'runAt', '_id', 'rev'),
        direction: fc.constantFrom(1 as const, -1 as const),
        narrow: fc.constantFrom<Record<string, unknown>>(
          {},
          { status: 'pending' },
          { status: { $in: ['running', 'failed'] } },
          { priority: { $gte: 5 } },
          { $or: [{ status: 'failed' }, { 'input.tags': 'red' }] },
          { name: { $not: { $contains: 'a' } } },
        ),
      })
      const where = queue()
      const ids: Types.ObjectId[] = []
      const some = (): Record<string, unknown> => ({
        status: ['pending', 'running', 'failed', 'completed'][random(4)],
        priority: random(10),
        ...(random(4) === 0 ? {} : { name: ['a', 'Ab', '😀', '\uffee', 'c'][random(5)] }),
        runAt: new Date(random(5)),
        input: { tags: [['red'], ['red', 'blue'], 'red', []][random(4)] },
      })
      const write = async (): Promise<void> => {
        const id = ids[random(ids.length)]
        const kind = random(10)
        if (kind < 3 || id === undefined) {
          const doc = stored({ queue: where, ...some() })
          ids.push(doc._id)
          await tasks().insertOne(doc)
        } else if (kind < 5) await tasks().deleteOne({ _id: id })
        else await tasks().updateOne({ _id: id }, { $set: some(), $inc: { rev: 1 } })
      }
      const watchers: Watcher[] = []
      const join = async (): Promise<void> => {
        for (const { limit, by, direction, narrow } of fc.sample(shape, 5)) {
          const request = { filter: { queue: where, ...narrow }, sort: { [by]: direction }, limit }
          watchers.push(await new Watcher(request).open(queries))
        }
      }
      const writer = async (): Promise<void> => {
        for (let n = 0; n < 120; n += 1) await write()
      }
      await Promise.all([writer(), writer(), writer(), writer(), join().then(join).then(join)])
      for (const watcher of watchers) await watcher.isExact(held.database.db)
    }))
})

describe('a view that would hold too many bytes', () => {
  const kilobytes = (count: number): string => 'x'.repeat(count * 1024)
  const heavy = (filter: { queue: string }, count: number): Stored[] =>
    Array.from({ length: count }, () => stored({ ...filter, input: kilobytes(900) }))

  test('is rejected before all rows are read, with a remedy', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      await tasks().insertMany(heavy(filter, 12))
      const opened = new Watcher({ filter, fields: ['input'] }).open(queries)
      await expect(opened).rejects.toMatchObject({ code: 'TOO_BIG', message: expect.stringContaining('fewer fields') })
      expect(queries.size).toBe(0)
      const light = await new Watcher({ filter, fields: ['status'] }).open(queries)
      expect(light.rows).toHaveLength(12)
    }))

  test('is open if its window fits, and reads more when rows leave it', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      await tasks().insertMany(heavy(filter, 12))
      const watcher = await new Watcher({ filter, fields: ['input'], limit: 8, sort: { _id: 1 } }).open(queries)
      expect(watcher.watch.live.bytes).toBeLessThan(MOST_BYTES)
      const [first] = watcher.rows
      await tasks().deleteOne({ _id: new Types.ObjectId(first!._id) })
      await until(() => expect(watcher.rows.map(({ _id }) => _id)).not.toContain(first!._id))
      await watcher.isExact(held.database.db)
    }))

  test('is closed when it has grown too big', () =>
    withQueries({}, async (queries) => {
      const filter = { queue: queue() }
      let outgrown = false
      const listener = { delta: () => undefined, reset: () => undefined, outgrown: () => (outgrown = true) }
      await queries.watch(compileQuery({ filter, fields: ['input'] }), listener as unknown as LiveQueryListener)
      await tasks().insertMany(heavy(filter, 12))
      await until(() => expect(outgrown).toBe(true))
      expect(queries.size).toBe(0)
    }))

  test('keeps few past deltas if each is large', () =>
    withQueries({ coalesceMs: 0 }, async (queries) => {
      const filter = { queue: queue() }
      const watcher = await new Watcher({ filter, fields: ['input'] }).open(queries)
      const begin = { epoch: watcher.watch.live.epoch, seq: 0 }
      for (let n = 1; n <= 3; n += 1) {
        await tasks().insertMany(heavy(filter, 1))
        await until(() => expect(watcher.rows).toHaveLength(n))
      }
      expect(watcher.watch.live.replay(begin)).toBeNull()
      expect(watcher.watch.live.replay({ ...begin, seq: 2 })).toHaveLength(1)
    }))
})

describe('a result of the database that can not be used', () => {
  const poison = new Proxy({} as Stored, {
    get: () => {
      throw new Error('poison')
    },
  })

  /** A live query whose reads return these results in turn, and then always the last one. */
  function answering(...answers: Stored[][]): LiveQuery {
    const next = (): Stored[] => (answers.length > 1 ? answers.shift()! : answers[0]!)
    const collection = { find: () => ({ sort: () => ({ limit: next }) }) }
    return new LiveQuery(compileQuery({}), collection as never)
  }

  test('fails the opening', async () => {
    const live = answering([poison])
    await expect(live.open()).rejects.toThrow('poison')
    live.close()
  })

  test('is queried again later', async () => {
    const live = answering([], [poison], [stored({})])
    await live.open()
    const resets: number[] = []
    live.subscribe({ delta: () => undefined, reset: ({ rows }) => resets.push(rows.length) })
    await live.reset('AUDIT')
    expect(resets).toEqual([1])
    live.close()
  })
})
