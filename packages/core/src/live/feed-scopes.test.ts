import { setTimeout as sleep } from 'node:timers/promises'
import { newTask, testClaimant, testError } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { MongoTaskStore } from '../task/mongo-task-store.ts'
import { type Claim, type Claimant, Outcome } from '../task/task-store.ts'
import { ChangeFeed, type ChangeFeedOptions } from './change-feed.ts'
import type { Change } from './feed-events.ts'
import { TASK_CONTENT } from './fields.ts'

const held = useDatabase()
const feeds: ChangeFeed[] = []
let feed: ChangeFeed
let changes: Change[] = []
let losses: string[] = []

async function startFeed(options: ChangeFeedOptions): Promise<void> {
  feed = new ChangeFeed(held.database, options)
  feeds.push(feed)
  changes = []
  losses = []
  feed.subscribe({ change: (change) => changes.push(change), lost: (reason) => losses.push(reason) })
  await feed.start()
}

afterEach(async () => {
  await Promise.all(feeds.splice(0).map((one) => one.stop()))
})

const until = (check: () => void | Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 20_000, interval: 5 })
const tasks = () => held.database.db.collection<{ _id: Types.ObjectId; rev: number }>('tasks')
const store = (): MongoTaskStore => new MongoTaskStore(held.database.connection, held.database.clock)
const story = (id: Types.ObjectId): Change[] => changes.filter((change) => id.equals(change.id as Types.ObjectId))

/** When this write is reported, all earlier writes are too. */
async function settled(): Promise<void> {
  const last = new Types.ObjectId()
  await tasks().insertOne({ _id: last, rev: 0 })
  await until(() => expect(story(last)).not.toEqual([]))
}

/** A task whose lifecycle has every verb. */
async function claimed(over: Partial<Claimant> = {}): Promise<Claim> {
  const [task] = await store().enqueue([newTask({ input: { url: 'https://example.com/a' } })])
  const [claim] = await store().claim([task!._id], { ...testClaimant, ...over })
  return claim!
}

describe('the scope for workers', () => {
  test('reports waiting tasks and requests to tasks, but not claims and completions', async () => {
    await startFeed({ scope: 'work' })
    const [done, again, asked] = [await claimed(), await claimed(), await claimed()]
    await store().settle(done, Outcome.completed(null))
    await store().settle(again, Outcome.retry(testError, 0))
    await store().cancel(asked.task._id, 'ann')
    await settled()
    const revs = (claim: Claim): unknown[] => story(claim.task._id)
    // The document is read at the time of the report, so its state may be later than the change.
    expect(revs(done)).toHaveLength(1)
    expect(revs(again)).toHaveLength(2)
    expect(revs(asked)).toHaveLength(2)
    expect(losses).toEqual([])
  })

  test('reports places in limited queues that are taken or freed', async () => {
    await startFeed({ scope: 'work' })
    const claim = await claimed({ slot: `limited\n${new Types.ObjectId().toHexString()}` })
    await store().settle(claim, Outcome.completed(null))
    await settled()
    expect(story(claim.task._id)).toHaveLength(3)
  })

  test('reports neither progress nor checkpoints, as the server words them', async () => {
    await startFeed({ scope: 'work' })
    const { task } = await claimed()
    const write = (set: object) => tasks().updateOne({ _id: task._id }, { $set: set })
    await write({ progress: { done: 1, at: new Date() }, rev: 3 })
    await write({ 'progress.done': 2, 'progress.at': new Date(), rev: 4 })
    await write({ checkpoint: { bytes: 1 }, checkpointAttempt: 1, rev: 5 })
    await write({ 'checkpoint.bytes': 2, rev: 6 })
    await settled()
    expect(story(task._id)).toHaveLength(1)
    await write({ progress: { done: 3, at: new Date() }, status: 'pending', rev: 7 })
    await settled()
    expect(story(task._id)).toHaveLength(2)
  })
})

describe('the scope of all changes', () => {
  const contentOf = (id: Types.ObjectId): string[][] =>
    story(id).map(({ doc }) => TASK_CONTENT.filter((field) => doc !== null && field in doc))

  test('leaves out the content of tasks, and only that', async () => {
    await startFeed({ scope: 'all' })
    const { task } = await claimed()
    await settled()
    expect(contentOf(task._id)).toEqual([[], []])
    expect(story(task._id).at(-1)?.doc).toMatchObject({ _id: task._id, status: 'running', attempts: [{ n: 1 }] })
  })

  test('a wider one has it, until some time after its last user has gone', async () => {
    await startFeed({ scope: 'all', lingerMs: 1 })
    const release = await feed.widen('whole')
    const whole = await claimed()
    await settled()
    expect(contentOf(whole.task._id)).toEqual([['input'], ['input']])
    release()
    await until(async () => {
      const narrow = await claimed()
      await settled()
      expect(contentOf(narrow.task._id)).toEqual([[], []])
    })
    expect(losses).toEqual([])
  })
})

describe('a scope that changes', () => {
  test('is wide until some time after the last user has gone', async () => {
    await startFeed({ scope: 'work', lingerMs: 50 })
    const [first, second] = await Promise.all([feed.widen('all'), feed.widen('all')])
    const watched = await claimed()
    await settled()
    expect(story(watched.task._id)).toHaveLength(2)
    first()
    first()
    expect(await feed.widen('all')).toBeTypeOf('function')
    second()
    const still = await claimed()
    await settled()
    expect(story(still.task._id)).toHaveLength(2)
  })

  test('goes back to the scope of workers when nobody wants more', async () => {
    await startFeed({ scope: 'work', lingerMs: 1 })
    const release = await feed.widen('all')
    release()
    await until(async () => {
      const unwatched = await claimed()
      await settled()
      expect(story(unwatched.task._id)).toHaveLength(1)
    })
    expect(losses).toEqual([])
  })

  test('misses no change, however often it changes', async () => {
    await startFeed({ scope: 'all', lingerMs: 0 })
    const ids: Types.ObjectId[] = []
    let writing = true
    const writer = (async () => {
      while (writing) {
        const _id = new Types.ObjectId()
        ids.push(_id)
        await tasks().insertOne({ _id, rev: 1 })
        // A server that is kept busy opens no stream in time.
        await sleep(10)
      }
    })()
    for (let round = 1; round <= 6; round++) {
      const release = await feed.widen('whole')
      release()
      await until(() => expect(ids.length).toBeGreaterThan(round * 5))
    }
    writing = false
    await writer
    await settled()
    expect(ids.filter((id) => story(id).length === 0)).toEqual([])
    expect(losses).toEqual([])
  })

  test('is the wanted one after the stream broke on the way to it', async () => {
    await startFeed({ scope: 'work' })
    const wanting = feed.widen('all')
    await held.database.streams.close(true)
    await held.database.streams.connect()
    const release = await wanting
    const watched = await claimed()
    await until(() => expect(story(watched.task._id).length).toBeGreaterThanOrEqual(2))
    release()
  })
})
