import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import fc from 'fast-check'
import { mongo } from 'mongoose'
import { beforeAll, describe, expect, test, vi } from 'vitest'
import { Fleet } from '../fleet.ts'
import { parseNewTask } from './new-task.ts'
import * as updates from './task-updates.ts'

const held = useDatabase()
let fleet: Fleet
beforeAll(() => {
  fleet = new Fleet(held.database)
})
/** The driver runs `insertMany` as a `bulkWrite`. */
const ONE_INSERT = ['insertMany', 'bulkWrite']

/** The methods of the tasks collection that an action calls. */
async function askedBy(act: () => Promise<unknown>): Promise<string[]> {
  const asked: string[] = []
  const spies = (['insertMany', 'bulkWrite', 'updateOne', 'findOneAndUpdate', 'find', 'findOne'] as const).map(
    (name) => {
      const spy = vi.spyOn(mongo.Collection.prototype, name)
      return { name, spy }
    },
  )
  await act()
  for (const { name, spy } of spies) {
    for (const { collectionName } of spy.mock.contexts as mongo.Collection[])
      if (collectionName === 'tasks') asked.push(name)
    spy.mockRestore()
  }
  return asked
}

const plain = fc
  .record(
    {
      name: fc.constant('test'),
      version: fc.integer({ min: 1, max: 9 }),
      input: fc.oneof(
        fc.constantFrom({ a: '$$NOW', b: [1, 2.5, null], c: { d: '$name' } }),
        fc.dictionary(fc.stringMatching(/^[a-z]{1,4}$/), fc.integer()),
      ),
      priority: fc.integer({ min: 1, max: 10 }),
      lazy: fc.boolean(),
      maxAttempts: fc.integer({ min: 1, max: 50 }),
      timeout: fc.integer({ min: 1_000, max: 90_000 }),
      retry: fc.constantFrom({ maxAttempts: 3, decay: false }, { counts: 'without-progress' }),
      runAt: fc.date({ min: new Date(0), max: new Date('2999-01-01'), noInvalidDate: true }),
    },
    { requiredKeys: ['name'] },
  )
  .filter(({ retry, maxAttempts }) => !(retry !== undefined && maxAttempts !== undefined))

describe('a plain task', () => {
  test('is stored by one insert, as the server would have made it', async () => {
    await fc.assert(
      fc.asyncProperty(plain, async (request) => {
        const task = parseNewTask(request)
        expect(updates.isPlain(task)).toBe(true)
        const [answered] = await fleet.store.enqueue([task])
        const stored = await fleet.tasks.findOne({ _id: task._id })
        expect(answered).toEqual(stored)
        const twin = { ...task, _id: new mongo.ObjectId() }
        const place = { front: undefined, blocked: false, leadMs: undefined }
        await fleet.tasks.updateOne({ _id: twin._id }, updates.enqueue(twin, place), { upsert: true })
        const byServer = await fleet.tasks.findOne({ _id: twin._id })
        const { _id, createdAt, updatedAt, runAt, order, ...rest } = byServer!
        expect(stored).toMatchObject(rest)
        expect(Object.keys(stored!).sort()).toEqual(Object.keys(byServer!).sort())
        expect(Math.abs(stored!.createdAt.getTime() - createdAt.getTime())).toBeLessThan(5_000)
        if (task.runAt !== undefined) expect([stored!.runAt, stored!.order]).toEqual([runAt, order])
      }),
      { numRuns: 40 },
    )
  })

  test('requested with others in one turn shares their write', async () => {
    const tasks = Array.from({ length: 50 }, () => newTask())
    const asked = await askedBy(() => Promise.all(tasks.map((task) => fleet.store.enqueue([task]))))
    expect(asked).toEqual(ONE_INSERT)
    expect(await fleet.tasks.countDocuments({ _id: { $in: tasks.map(({ _id }) => _id) } })).toBe(50)
  })

  test('that is rejected does not affect the tasks that share its write', async () => {
    const taken = newTask({ input: { first: true } })
    await fleet.store.enqueue([taken])
    const [before, after] = [newTask(), newTask()]
    const repeated = { ...taken }
    const settled = await Promise.allSettled(
      [before, { ...taken, input: { first: false } }, repeated, after].map((task) => fleet.store.enqueue([task])),
    )
    expect(settled.map((one) => (one.status === 'rejected' ? one.reason.code : 'stored'))).toEqual([
      'stored',
      'TASK_EXISTS',
      'stored',
      'stored',
    ])
    expect(await fleet.tasks.countDocuments({ _id: { $in: [before, after].map(({ _id }) => _id) } })).toBe(2)
  })

  test('of a full queue does not affect tasks of another queue', async () => {
    await fleet.as().queues.limit({ name: 'full', limits: { maxWaiting: 1 } })
    await fleet.store.enqueue([newTask({ queue: 'full' })])
    const [full, other] = await Promise.allSettled(
      ['full', 'roomy'].map((queue) => fleet.store.enqueue([newTask({ queue })])),
    )
    expect(full).toMatchObject({ status: 'rejected', reason: { code: 'QUEUE_FULL' } })
    expect(other!.status).toBe('fulfilled')
  })

  test('repeated after its claim is returned as it is now', async () => {
    const task = newTask()
    await fleet.store.enqueue([task])
    await fleet.tasks.updateOne({ _id: task._id }, { $set: { status: 'completed', rev: 5 } })
    expect((await fleet.store.enqueue([task]))[0]).toMatchObject({ status: 'completed', rev: 5 })
  })
})

test('a list of new plain tasks is one insert in a transaction', async () => {
  const type = {
    name: 'test',
    version: 1,
    input: { '~standard': { version: 1, vendor: 'x', validate: (value: unknown) => ({ value }) } },
  } as never
  const entries = Array.from({ length: 300 }, () => ({ input: {} as never, queue: 'list' }))
  expect(await askedBy(() => fleet.enqueueMany(type, entries))).toEqual(ONE_INSERT)
  expect(await fleet.tasks.countDocuments({ queue: 'list' })).toBe(300)
})
