import type { BulkRow } from '@taskfleet/protocol'
import { malformedDocuments } from '@taskfleet/testkit/malformed'
import { newTask, taskFactory } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { pino } from 'pino'
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { KeyStore, LOCAL, type Principal } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'
import type { ObjectId } from '../task/task-document.ts'
import { BulkRuns } from './bulk-runs.ts'
import { BulkStore } from './bulk-store.ts'

const held = useDatabase()
const log = pino({ level: 'silent' })
let fleet: Fleet
/** A second gateway has a fleet of its own, on the same database. */
let other: Fleet
const started: BulkRuns[] = []

beforeAll(() => {
  for (const each of [1, 2]) {
    const one = new Fleet(held.database)
    // Small parts, so that few tasks are several of them.
    Object.assign(one, { bulk: new BulkStore(held.database.db, one.gate, { partSize: 10 }) })
    if (each === 1) fleet = one
    else other = one
  }
})
beforeEach(async () => {
  for (const name of ['tasks', 'bulk', 'bulkParts', 'audit', 'keys'])
    await held.database.db.collection(name).deleteMany({})
})
afterEach(async () => {
  vi.restoreAllMocks()
  await Promise.all(started.splice(0).map((one) => one.stop()))
})

async function gateway(of: Fleet, over: { holdMs?: number; everyMs?: number } = {}): Promise<BulkRuns> {
  const runs = new BulkRuns({ fleet: of, log, everyMs: 50, ...over })
  started.push(runs)
  await runs.start()
  return runs
}

/** Resolves when the operation fulfils the condition; by default, when it has ended. */
async function until(
  { _id }: Pick<BulkRow, '_id'>,
  holds: (bulk: BulkRow) => boolean = ({ endedAt }) => endedAt !== undefined,
): Promise<BulkRow> {
  let now = await fleet.as().bulk.show(_id)
  await vi.waitFor(
    async () => {
      now = await fleet.as().bulk.show(_id)
      if (!holds(now)) throw new Error(`not yet: ${JSON.stringify(now)}`)
    },
    { timeout: 200_000, interval: 100 },
  )
  return now
}

const enqueue = async (count: number, over: object = {}): Promise<ObjectId[]> => {
  const ids: ObjectId[] = []
  for (let at = 0; at < count; at += 500) {
    const tasks = Array.from({ length: Math.min(500, count - at) }, () => newTask({ ...over }))
    ids.push(...(await fleet.store.enqueue(tasks)).map(({ _id }) => _id))
  }
  return ids
}
const count = (filter: object): Promise<number> => fleet.tasks.countDocuments(filter)

/** Fails tasks without a worker, as an import would. */
const fail = (filter: object) =>
  fleet.tasks.updateMany(filter, { $set: { status: 'failed', finishedAt: new Date() }, $inc: { rev: 1 } })

describe('a bulk operation', () => {
  test('on a filter that matches 200 tasks changes all of them and counts them', async () => {
    await enqueue(200)
    await enqueue(1, { queue: 'elsewhere' })
    await gateway(fleet)
    const asked = { command: 'cancel', filter: { queue: 'default' }, reason: 'wrong input' } as const
    const bulk = await fleet.as().bulk.start(asked)
    expect(bulk).toMatchObject({
      command: 'cancel',
      state: 'running',
      matched: 200,
      by: 'local',
      reason: 'wrong input',
    })
    expect(await until(bulk)).toMatchObject({
      state: 'completed',
      changed: 200,
      unchanged: 0,
      refused: 0,
      refusals: [],
    })
    expect(await count({ status: 'cancelled' })).toBe(200)
    expect(await count({ status: 'pending' })).toBe(1)
    expect(await fleet.audit.list()).toMatchObject([
      { action: 'cancel', by: 'local', target: bulk._id, matched: 200, changed: 200, reason: 'wrong input' },
      { action: 'bulk cancel', target: bulk._id, matched: 200, changed: 0, filter: '{"queue":"default"}' },
    ])
  })

  test('by a long filter is stored once, with as much of it as fits', async () => {
    const [one] = await enqueue(2)
    const ids = [one!.toHexString(), ...Array.from({ length: 80 }, () => new Types.ObjectId().toHexString())]
    await gateway(fleet)
    const bulk = await fleet.as().bulk.start({ command: 'pause', filter: { _id: { $in: ids } } })
    expect(bulk).toMatchObject({ matched: 1, filter: expect.stringContaining(ids[0]!) })
    expect(await until(bulk)).toMatchObject({ state: 'completed', changed: 1 })
  })

  test('counts refused tasks by reason, and tasks that had the wanted state', async () => {
    const make = taskFactory(fleet.store)
    const done = await make.completed()
    const paused = await make.paused()
    const waiting = await make.pending()
    await gateway(fleet)
    const ids = [done, paused, waiting].map(({ _id }) => _id.toHexString())
    const bulk = await fleet.as().bulk.start({ command: 'pause', ids })
    expect(await until(bulk)).toMatchObject({
      ...{ state: 'completed', matched: 3, changed: 1, unchanged: 1, refused: 1 },
      refusals: [{ code: 'ALREADY_ENDED', message: 'It has completed', count: 1, tasks: [ids[0]] }],
    })
  })

  test('that was stopped leaves the remaining tasks as they are', async () => {
    await enqueue(100)
    const cancel = fleet.store.cancel.bind(fleet.store)
    let stopped: Promise<BulkRow> | undefined
    let seen = 0
    vi.spyOn(fleet.store, 'cancel').mockImplementation(async (...args) => {
      seen += 1
      if (seen === 25) stopped = fleet.as().bulk.stop({ id: bulk._id })
      await stopped
      return cancel(...args)
    })
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    await gateway(fleet)
    const ended = await until(bulk)
    expect(ended).toMatchObject({ state: 'stopped', matched: 100, stoppedBy: 'local' })
    // The part that was under way is completed.
    expect(ended.changed).toBe(30)
    expect(await count({ status: 'cancelled' })).toBe(30)
    await expect(fleet.as().bulk.stop(bulk._id)).rejects.toMatchObject({ code: 'ALREADY_ENDED' })
  })

  test('that nobody carries out yet waits, and can be stopped', async () => {
    await enqueue(3)
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    expect(await fleet.as().bulk.stop(bulk._id)).toMatchObject({ state: 'stopping' })
    await gateway(other)
    expect(await until(bulk)).toMatchObject({ state: 'stopped', changed: 0 })
    expect(await count({ status: 'pending' })).toBe(3)
  })

  test('without tasks is completed at once', async () => {
    await gateway(fleet)
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: { queue: 'nobody' } })
    expect(await until(bulk)).toMatchObject({ state: 'completed', matched: 0 })
  })

  test('that meets an unexpected error of one task goes on with the others', async () => {
    const [first] = await enqueue(5)
    const cancel = fleet.store.cancel.bind(fleet.store)
    vi.spyOn(fleet.store, 'cancel').mockImplementation(async (id, ...args) => {
      if (id.equals(first!)) throw new TypeError('out of order')
      return cancel(id, ...args)
    })
    await gateway(fleet)
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    expect(await until(bulk)).toMatchObject({
      state: 'completed',
      changed: 4,
      refused: 1,
      refusals: [{ code: 'INTERNAL' }],
    })
  })

  test('is carried out beside malformed ones, which fail', async () => {
    const { bulk: malformed } = malformedDocuments('test')
    await held.database.db
      .collection('bulk')
      .insertMany([...malformed, { _id: new Types.ObjectId(), state: 'running', command: 'cancel' }] as never)
    await enqueue(3)
    await gateway(fleet)
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    expect(await until(bulk)).toMatchObject({ state: 'completed', changed: 3 })
    expect((await fleet.as().bulk.list()).map(({ _id }) => _id)).toEqual([bulk._id])
    const left = await held.database.db.collection('bulk').find({ state: 'failed' }).toArray()
    expect(left.map(({ error }) => error.code)).toEqual(['CORRUPT'])
  })

  test('does not delay another one', async () => {
    await enqueue(100)
    await enqueue(1, { queue: 'short' })
    const long = await fleet.as().bulk.start({ command: 'pause', filter: { queue: 'default' } })
    const short = await fleet.as().bulk.start({ command: 'cancel', filter: { queue: 'short' } })
    const ends: string[] = []
    const end = fleet.bulk.end.bind(fleet.bulk)
    vi.spyOn(fleet.bulk, 'end').mockImplementation((bulk, ...args) => {
      ends.push(bulk._id.toHexString())
      return end(bulk, ...args)
    })
    await gateway(fleet)
    await Promise.all([until(long), until(short)])
    expect(ends).toEqual([short._id, long._id])
  })

  test('is refused above 20 of one key that have not ended', async () => {
    for (let n = 0; n < 20; n += 1) await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    await expect(fleet.as().bulk.start({ command: 'cancel', filter: {} })).rejects.toMatchObject({ code: 'TOO_MANY' })
    const mine = fleet.as({ ...LOCAL, id: 'another' })
    expect(await mine.bulk.start({ command: 'cancel', filter: {} })).toMatchObject({ by: 'another' })
  })

  test.each([
    [{ command: 'reprioritise', filter: {} }, 'BAD_REQUEST'],
    [{ command: 'cancel' }, 'BAD_REQUEST'],
    [{ command: 'cancel', ids: ['f'.repeat(24)], filter: {} }, 'BAD_REQUEST'],
    [{ command: 'remove', filter: {} }, 'BAD_VALUE'],
  ])('is refused if it says nothing clear: %j', async (request, code) => {
    await expect(fleet.as().bulk.start(request as never)).rejects.toMatchObject({ code })
    expect(await fleet.as().bulk.list()).toEqual([])
  })
})

describe('an undo', () => {
  test('of a pause resumes the tasks that it paused, and no others', async () => {
    const make = taskFactory(fleet.store)
    const before = await make.paused()
    await enqueue(12)
    await gateway(fleet)
    const bulk = await until(await fleet.as().bulk.start({ command: 'pause', filter: {} }))
    expect(bulk).toMatchObject({ changed: 12, undoUntil: expect.any(String) })
    const undo = await fleet.as().bulk.undo({ id: bulk._id, reason: 'too early' })
    expect(undo).toMatchObject({ command: 'resume', undoes: bulk._id, matched: 12, reason: 'too early' })
    expect(await until(undo)).toMatchObject({ state: 'completed', changed: 12 })
    expect(await count({ status: 'paused' })).toBe(1)
    expect((await fleet.store.find(before._id))?.status).toBe('paused')
    expect(await fleet.as().bulk.show(bulk._id)).toMatchObject({ undoneBy: undo._id })
    await expect(fleet.as().bulk.undo(bulk._id)).rejects.toMatchObject({ code: 'NO_UNDO' })
  })

  test('of priorities gives each task its earlier one', async () => {
    await enqueue(6, { priority: 3 })
    await enqueue(6, { priority: 7 })
    await gateway(fleet)
    const bulk = await until(await fleet.as().bulk.start({ command: 'reprioritise', filter: {}, priority: 'high' }))
    expect(bulk).toMatchObject({ priority: 8, changed: 12 })
    expect(await count({ priority: 8 })).toBe(12)
    await until(await fleet.as().bulk.undo(bulk._id))
    expect([await count({ priority: 3 }), await count({ priority: 7 })]).toEqual([6, 6])
  })

  test('is refused for a cancel, and while the operation runs', async () => {
    await enqueue(1)
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    await expect(fleet.as().bulk.undo(bulk._id)).rejects.toMatchObject({ code: 'NOT_ENDED' })
    await gateway(fleet)
    await until(bulk)
    await expect(fleet.as().bulk.undo(bulk._id)).rejects.toMatchObject({ code: 'NO_UNDO' })
  })
})

describe('a gateway that dies in the middle', () => {
  function opening(): { opened: Promise<void>; open: () => void } {
    let open = (): void => undefined
    const opened = new Promise<void>((resolve) => {
      open = resolve
    })
    return { opened, open }
  }

  /** Makes every write of a store wait from the `n`-th on, as those of a frozen process. */
  function freeze(
    of: Fleet,
    verb: 'rerun' | 'enqueue' | 'cancel',
    n: number,
  ): { frozen: Promise<void>; thaw: () => void } {
    const write = (of.store[verb] as (...args: unknown[]) => Promise<unknown>).bind(of.store)
    const gate = opening()
    const frozen = opening()
    let [seen, done] = [0, 0]
    vi.spyOn(of.store, verb).mockImplementation((async (...args: unknown[]) => {
      seen += 1
      if (seen > n) await gate.opened
      const written = await write(...args)
      done += 1
      if (done === n) frozen.open()
      return written
    }) as never)
    return { frozen: frozen.opened, thaw: gate.open }
  }

  test('is taken over by another one, and no task is retried twice, even when it comes back', async () => {
    await enqueue(40)
    await fail({})
    const bulk = await fleet.as().bulk.start({ command: 'retry', filter: { status: 'failed' } })
    const { frozen, thaw } = freeze(fleet, 'rerun', 15)
    await gateway(fleet, { holdMs: 300 })
    await frozen
    // What was retried fails again, before anybody goes on.
    const retried = await fleet.tasks.find({ status: 'pending' }).toArray()
    expect(retried).toHaveLength(15)
    await fail({ status: 'pending' })
    await gateway(other, { holdMs: 300 })
    expect(await until(bulk)).toMatchObject({ state: 'completed', matched: 40, changed: 40, refused: 0 })
    thaw()
    await started.shift()!.stop()
    const again = await fleet.tasks.find({ _id: { $in: retried.map(({ _id }) => _id) } }).toArray()
    expect(new Set(again.map(({ status }) => status))).toEqual(new Set(['failed']))
    expect(await count({ status: 'pending' })).toBe(25)
    // Created, failed, retried, and for some failed again: one revision each.
    expect(await count({ rev: { $gt: 4 } })).toBe(0)
    expect(await fleet.as().bulk.show(bulk._id)).toMatchObject({ changed: 40, refused: 0 })
    expect((await fleet.audit.list()).filter(({ action }) => action === 'retry')).toHaveLength(1)
  })

  test('is taken over by another one, and each task is replayed once', async () => {
    await enqueue(25)
    await fail({})
    const bulk = await fleet.as().bulk.start({ command: 'replay', filter: { status: 'failed' } })
    const { frozen, thaw } = freeze(fleet, 'enqueue', 13)
    await gateway(fleet, { holdMs: 300 })
    await frozen
    await gateway(other, { holdMs: 300 })
    expect(await until(bulk)).toMatchObject({ state: 'completed', changed: 25, refused: 0 })
    thaw()
    await started.shift()!.stop()
    const made = await fleet.tasks.find({ replayOf: { $exists: true } }).toArray()
    expect(made).toHaveLength(25)
    expect(new Set(made.map(({ replayOf }) => String(replayOf))).size).toBe(25)
  })

  test('and stops in order lets another one go on at once', async () => {
    await enqueue(30)
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    const { frozen, thaw } = freeze(fleet, 'cancel', 12)
    const first = await gateway(fleet, { holdMs: 60_000 })
    await frozen
    const stopped = first.stop()
    thaw()
    await stopped
    expect(await fleet.as().bulk.show(bulk._id)).toMatchObject({ state: 'running', changed: 20 })
    await gateway(other, { holdMs: 60_000 })
    expect(await until(bulk)).toMatchObject({ state: 'completed', changed: 30 })
  })

  test('only one of two gateways carries an operation out', async () => {
    await enqueue(50)
    await Promise.all([gateway(fleet), gateway(other)])
    const calls = [vi.spyOn(fleet.store, 'cancel'), vi.spyOn(other.store, 'cancel')]
    const bulk = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    expect(await until(bulk)).toMatchObject({ changed: 50 })
    expect(calls.map(({ mock }) => mock.calls.length).sort((a, b) => a - b)).toEqual([0, 50])
  })
})

describe('a narrow key', () => {
  const narrow: Principal = { id: 'narrow', scopes: ['control', 'read'], queues: ['own'] }

  test('selects only tasks within its reach', async () => {
    await enqueue(15, { queue: 'own' })
    const [foreign] = await enqueue(5, { queue: 'foreign' })
    await gateway(fleet)
    const bulk = await fleet.as(narrow).bulk.start({ command: 'cancel', filter: {} })
    expect(bulk).toMatchObject({ matched: 15, queues: ['own'] })
    expect(await until(bulk)).toMatchObject({ state: 'completed', changed: 15 })
    expect(await count({ queue: 'foreign', status: 'pending' })).toBe(5)
    const named = fleet.as(narrow).bulk.start({ command: 'cancel', ids: [foreign!.toHexString()] })
    await expect(named).rejects.toMatchObject({ code: 'QUEUE_NOT_ALLOWED' })
  })

  test('does not change tasks that have left its reach since, nor says where they are', async () => {
    const [moved] = await enqueue(15, { queue: 'own' })
    const bulk = await fleet.as(narrow).bulk.start({ command: 'cancel', filter: {} })
    await fleet.as().tasks.edit({ id: moved!.toHexString(), changes: { queue: 'foreign' } })
    await gateway(fleet)
    const ended = await until(bulk)
    expect(ended).toMatchObject({ changed: 14, refused: 1, refusals: [{ code: 'NOT_FOUND', tasks: [String(moved)] }] })
    expect(JSON.stringify(ended)).not.toContain('foreign')
    expect((await fleet.store.find(moved!))?.status).toBe('pending')
  })

  test('sees only operations within its reach', async () => {
    await enqueue(1, { queue: 'own' })
    const own = await fleet.as(narrow).bulk.start({ command: 'pause', filter: {} })
    const all = await fleet.as().bulk.start({ command: 'cancel', filter: {} })
    expect((await fleet.as(narrow).bulk.list()).map(({ _id }) => _id)).toEqual([own._id])
    for (const asked of ['show', 'stop', 'undo'] as const) {
      await expect(fleet.as(narrow).bulk[asked](all._id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    }
    expect((await fleet.as().bulk.list()).map(({ _id }) => _id)).toEqual([all._id, own._id])
  })

  test('that is narrowed or revoked in the middle loses the remaining tasks', async () => {
    const keys = new KeyStore(held.database.db)
    const { id } = await keys.create({ name: 'on call', scopes: ['control'] })
    const mine: Principal = { id, scopes: ['control'] }
    await enqueue(10, { queue: 'one' })
    await enqueue(10, { queue: 'two' })
    const first = await fleet.as(mine).bulk.start({ command: 'pause', filter: {} })
    await keys.edit(id, { queues: ['one'] })
    await gateway(fleet)
    expect(await until(first)).toMatchObject({ state: 'completed', changed: 10, refused: 10 })
    expect(await count({ queue: 'two', status: 'paused' })).toBe(0)
    await keys.revoke(id)
    const second = await fleet.as(mine).bulk.start({ command: 'cancel', filter: {} })
    expect(await until(second)).toMatchObject({ state: 'failed', changed: 0, error: { code: 'FORBIDDEN' } })
    expect(await count({ status: 'cancelled' })).toBe(0)
  })
})
