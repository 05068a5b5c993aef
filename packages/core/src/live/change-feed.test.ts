import { createServer, connect as dial, type Server, type Socket } from 'node:net'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { mongo, Types } from 'mongoose'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { FleetDatabase } from '../database/fleet-database.ts'
import { ChangeFeed, type ChangeFeedOptions } from './change-feed.ts'
import type { FeedListener } from './feed.ts'
import type { Change } from './feed-events.ts'

const held = useDatabase()

interface Heard extends FeedListener {
  changes: Change[]
  losses: string[]
}

function listen(): Heard {
  const changes: Change[] = []
  const losses: string[] = []
  return { changes, losses, change: (change) => changes.push(change), lost: (reason) => losses.push(reason) }
}

const until = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 5 })
const tasks = (): mongo.Collection => held.database.db.collection('tasks')

let feed: ChangeFeed
let heard: Heard
let undo: () => void
const feeds: ChangeFeed[] = []

async function startFeed(database = held.database, options: ChangeFeedOptions = {}): Promise<void> {
  feed = new ChangeFeed(database, options)
  feeds.push(feed)
  heard = listen()
  undo = feed.subscribe(heard)
  await feed.start()
}

afterEach(async () => {
  await Promise.all(feeds.splice(0).map((one) => one.stop()))
})

/** The reports about one document: `+rev` for a state and `-` for its removal. */
const story = (id: Types.ObjectId): string[] =>
  heard.changes
    .filter((change) => id.equals(change.id as Types.ObjectId))
    .map(({ doc }) => (doc === null ? '-' : `+${doc.rev}`))

/** When this write is reported, all earlier writes are too. */
async function settled(): Promise<void> {
  const last = new Types.ObjectId()
  await tasks().insertOne({ _id: last, rev: 0 })
  await until(() => expect(story(last)).toEqual(['+0']))
}

describe('the change feed', () => {
  test('is open when it has started: every later write is reported, in order', async () => {
    await startFeed()
    const ids = Array.from({ length: 20 }, () => new Types.ObjectId())
    for (const id of ids) {
      await tasks().insertOne({ _id: id, rev: 1 })
      await tasks().updateOne({ _id: id }, { $inc: { rev: 1 } })
      await tasks().deleteOne({ _id: id })
    }
    await settled()
    // A reported document may be newer than its change, and missing once it is gone. Its removal is always reported.
    for (const id of ids) {
      const revs = story(id).slice(0, -1)
      expect(story(id).at(-1)).toBe('-')
      expect(revs).toEqual([...revs].sort())
    }
    const ends = heard.changes.filter(({ doc }) => doc === null).map(({ id }) => String(id))
    expect(ends).toEqual(ids.map(String))
    expect(heard.losses).toEqual([])
  })

  test('brings the document, its collection and its id', async () => {
    await startFeed()
    await held.database.db.collection<{ _id: string }>('workers').insertOne({ _id: 'w1' })
    await held.database.db.collection<{ _id: string }>('elsewhere').insertOne({ _id: 'x' })
    await settled()
    expect(heard.changes[0]).toEqual({ collection: 'workers', id: 'w1', doc: { _id: 'w1' } })
    expect(heard.changes.map(({ collection }) => collection)).toEqual(['workers', 'tasks'])
  })

  test('does not report renewed leases and its own canaries', async () => {
    await startFeed(held.database, { canaryMs: 20 })
    const id = new Types.ObjectId()
    await tasks().insertOne({ _id: id, rev: 1, lease: { id: 'l', expiresAt: new Date(0) } })
    await tasks().updateOne({ _id: id }, { $set: { 'lease.expiresAt': new Date(1) } })
    await tasks().updateOne({ _id: id }, [{ $set: { 'lease.expiresAt': '$$NOW' } }])
    await tasks().updateOne({ _id: id }, { $set: { 'lease.expiresAt': new Date(2), rev: 2 } })
    await tasks().updateOne({ _id: id }, { $unset: { lease: 1 } })
    await settled()
    expect(story(id)).toHaveLength(3)
    expect(new Set(heard.changes.map(({ collection }) => collection))).toEqual(new Set(['tasks']))
  })

  test('a failing listener does not affect the others, and can unsubscribe', async () => {
    await startFeed()
    feed.subscribe({
      change: () => {
        throw new Error('mine')
      },
      lost: () => undefined,
    })
    const after = listen()
    feed.subscribe(after)
    await settled()
    await until(() => expect(after.changes).toHaveLength(1))
    undo()
    await tasks().insertOne({ rev: 1 })
    await until(() => expect(after.changes).toHaveLength(2))
    expect(heard.changes).toHaveLength(1)
  })

  test('may be started twice and stopped twice, stopped before it started, and started again', async () => {
    await startFeed()
    await Promise.all([feed.start(), feed.start()])
    await settled()
    expect(heard.changes).toHaveLength(1)
    await Promise.all([feed.stop(), feed.stop()])
    await feed.stop()
    await tasks().insertOne({ rev: 1 })
    await feed.start()
    await settled()
    // The last write before it opened may be reported too, but no writes from while it was closed.
    expect(heard.changes.length).toBeLessThanOrEqual(3)
    await new ChangeFeed(held.database).stop()
  })

  test('a stop while it starts leaves nothing open', async () => {
    const early = new ChangeFeed(held.database, { canaryMs: 10 })
    const starting = early.start()
    await early.stop()
    await starting
    const canaries = held.database.db.collection('canaries')
    const watching = canaries.find({ at: { $exists: true } }).toArray()
    expect(await watching).toEqual([])
  })

  test('removes its canary when it stops', async () => {
    await startFeed()
    const canaries = held.database.db.collection('canaries')
    expect(await canaries.countDocuments({ at: { $exists: true } })).toBe(1)
    await feed.stop()
    expect(await canaries.countDocuments({ at: { $exists: true } })).toBe(0)
  })
})

describe('a feed that loses what it reads from', () => {
  test('reports that a collection is gone, and goes on when it is back', async () => {
    await startFeed()
    await tasks().insertOne({ rev: 1 })
    await tasks().drop()
    await until(() => expect(heard.losses).toEqual(['COLLECTION_GONE']))
    await settled()
  })

  test('reports that a collection was renamed, and that another took its name', async () => {
    await startFeed()
    await tasks().insertOne({ rev: 1 })
    await tasks().rename('tasks_away')
    await until(() => expect(heard.losses).toEqual(['COLLECTION_GONE']))
    await held.database.db.collection('tasks_away').rename('tasks')
    await until(() => expect(heard.losses).toEqual(['COLLECTION_GONE', 'COLLECTION_GONE']))
    await settled()
  })

  test('reports nothing when only its canaries are dropped', async () => {
    await startFeed()
    await held.database.db.collection('canaries').drop()
    await settled()
    expect(heard.losses).toEqual([])
  })

  test('goes on after the database itself was dropped', async () => {
    await startFeed()
    await tasks().insertOne({ rev: 1 })
    await held.database.db.dropDatabase()
    await until(() => expect(heard.losses).toContain('HISTORY_LOST'))
    expect(heard.losses).toContain('COLLECTION_GONE')
    // The new stream starts at the time of the drop, so the drop may end it again: another loss, then reports.
    await until(async () => {
      const { insertedId } = await tasks().insertOne({ rev: 1 })
      await vi.waitFor(() => expect(story(insertedId)).toEqual(['+1']), { timeout: 500, interval: 5 })
    })
  })
})

describe('a feed whose place in the history is refused', () => {
  /**
   * Fails the next steps of this file's streams with this error, as a server would. The driver has no other way to do it, and streams of
   * other files of the process, if one was left, would take what is meant for these.
   */
  function failing(method: 'next' | 'tryNext', error: Error, times = 1) {
    const { [method]: original } = mongo.ChangeStream.prototype
    let left = times
    return vi.spyOn(mongo.ChangeStream.prototype, method).mockImplementation(function (this: mongo.ChangeStream) {
      if (left === 0 || this.namespace.db !== held.database.db.databaseName) return original.call(this)
      left -= 1
      return Promise.reject(error)
    })
  }
  async function refuse(error: Error): Promise<void> {
    const next = failing('next', error)
    await startFeed()
    await until(() => expect(next).toHaveBeenCalled())
    next.mockRestore()
  }
  const serverError = (code: number, errorLabels: string[] = []): Error =>
    new mongo.MongoServerError({ message: 'refused', code, errorLabels })

  test.each([286, 280, 260, 40647, 9])('starts at the present and reports it: code %i', async (code) => {
    await refuse(serverError(code))
    await until(() => expect(heard.losses).toEqual(['HISTORY_LOST']))
    await settled()
  })

  test('starts at the present and reports it: by the label alone', async () => {
    await refuse(serverError(1, ['NonResumableChangeStreamError']))
    await until(() => expect(heard.losses).toEqual(['HISTORY_LOST']))
    await settled()
  })

  test('goes on from its place after any other error', async () => {
    await refuse(serverError(1))
    await settled()
    expect(heard.losses).toEqual([])
  })

  test('starts at the present if the server refuses to resume repeatedly', async () => {
    await startFeed()
    const tryNext = failing('tryNext', serverError(1), 3)
    const next = failing('next', serverError(1))
    // The stream waits in a `next` of before; this change ends it.
    await tasks().insertOne({ rev: 1 })
    await until(() => expect(heard.losses).toEqual(['HISTORY_LOST']))
    tryNext.mockRestore()
    next.mockRestore()
    await settled()
  })

  test('starts at the present if the server does not know its token', async () => {
    const { watch } = mongo.Db.prototype
    const next = failing('next', serverError(1))
    const tokens = vi.spyOn(mongo.Db.prototype, 'watch').mockImplementation(function (
      this: mongo.Db,
      pipeline,
      options,
    ) {
      const resumes = options?.resumeAfter !== undefined
      return watch.call(this, pipeline, resumes ? { ...options, resumeAfter: { _data: 'not a token' } } : options)
    })
    await startFeed()
    await until(() => expect(heard.losses).toEqual(['HISTORY_LOST']))
    next.mockRestore()
    tokens.mockRestore()
    await settled()
  })
})

/** A connection to the database that can be cut or silenced. */
class Relay {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #silent = new Set<Socket>()
  port = 0

  constructor(host: string, port: number) {
    this.#server = createServer((client) => {
      const server = dial(port, host)
      for (const socket of [client, server]) {
        this.#sockets.add(socket)
        socket
          .on('error', () => undefined)
          .on('close', () => {
            this.#sockets.delete(socket)
            client.destroy()
            server.destroy()
          })
      }
      client.on('data', (bytes) => server.write(bytes))
      server.on('data', (bytes) => {
        if (!this.#silent.has(client)) client.write(bytes)
      })
    })
  }

  async open(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.port, '127.0.0.1', resolve))
    this.port = (this.#server.address() as { port: number }).port
  }

  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Silences all open connections, but not later ones. */
  silence(): void {
    for (const socket of this.#sockets) this.#silent.add(socket)
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.cut()
    await closed
  }
}

describe('a feed whose connection breaks', () => {
  let relay: Relay
  let database: FleetDatabase
  beforeEach(async () => {
    const uri = new URL(held.uri)
    relay = new Relay(uri.hostname, Number(uri.port || 27017))
    await relay.open()
    uri.host = `127.0.0.1:${relay.port}`
    uri.searchParams.set('directConnection', 'true')
    database = await FleetDatabase.connect({ uri: uri.href, timeoutMs: 2_000 })
  })
  afterEach(async () => {
    await Promise.all(feeds.splice(0).map((one) => one.stop()))
    await database.close()
    await relay.close()
  })

  test('misses nothing, however often', async () => {
    await startFeed(database)
    const written: string[] = []
    for (let round = 0; round < 6; round += 1) {
      for (let n = 0; n < 5; n += 1) {
        const { insertedId } = await tasks().insertOne({ rev: 1 })
        written.push(String(insertedId))
      }
      relay.cut()
      const { insertedId } = await tasks().insertOne({ rev: 1 })
      written.push(String(insertedId))
    }
    await until(() => expect(heard.changes.map(({ id }) => String(id))).toEqual(written))
    expect(heard.losses).toEqual([])
  })

  test('misses nothing if it breaks before the first change', async () => {
    await startFeed(database)
    relay.cut()
    const { insertedId } = await tasks().insertOne({ rev: 1 })
    await until(() => expect(heard.changes.map(({ id }) => String(id))).toEqual([String(insertedId)]))
    expect(heard.losses).toEqual([])
  })

  test('misses nothing if the server is away for longer than one try', async () => {
    let failures = 0
    const log = pino(
      { level: 'warn' },
      {
        write: () => {
          failures += 1
        },
      },
    )
    await startFeed(database, { log })
    await relay.close()
    const { insertedId } = await tasks().insertOne({ rev: 1 })
    await until(() => expect(failures).toBeGreaterThan(1))
    await relay.open()
    await until(() => expect(heard.changes.map(({ id }) => String(id))).toEqual([String(insertedId)]))
    expect(heard.losses).toEqual([])
  })

  test('goes on where it was when the stream was silent for too long: nothing is lost', async () => {
    await startFeed(database, { canaryMs: 50, stalledMs: 4_000 })
    relay.silence()
    const { insertedId } = await tasks().insertOne({ rev: 1 })
    await until(() => expect(heard.changes.map(({ id }) => String(id))).toEqual([String(insertedId)]))
    expect(heard.losses).toEqual([])
  })
})
