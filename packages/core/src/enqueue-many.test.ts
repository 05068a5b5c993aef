import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Fleet } from './fleet.ts'

const db = useDatabase()
let fleet: Fleet
beforeAll(() => {
  fleet = new Fleet(db.database)
})

const resize = { name: 'resize', version: 2, input: z.object({ file: z.string() }), defaults: { maxAttempts: 3 } }
const inQueue = (queue: string) => fleet.tasks.find({ queue }).sort({ _id: 1 }).toArray()

describe('a program stores many tasks', () => {
  test('each with its own options, and the defaults of its type', async () => {
    const stored = await fleet.enqueueMany(resize, [
      { input: { file: 'a' }, queue: 'many' },
      { input: { file: 'b' }, queue: 'many', priority: 'high', maxAttempts: 7 },
    ])
    expect(stored).toMatchObject([
      { name: 'resize', version: 2, input: { file: 'a' }, maxAttempts: 3 },
      { input: { file: 'b' }, priority: 8, maxAttempts: 7 },
    ])
    expect(await inQueue('many')).toHaveLength(2)
  })

  test('as many as 1,200 at once', async () => {
    const entries = Array.from({ length: 1_200 }, (_, at) => ({ input: { file: String(at) }, queue: 'heap' }))
    expect(await fleet.enqueueMany(resize, entries)).toHaveLength(1_200)
    expect(await fleet.tasks.countDocuments({ queue: 'heap', status: 'pending' })).toBe(1_200)
  })

  test('all or none: every invalid entry is reported', async () => {
    const wrong = fleet.enqueueMany(resize, [
      { input: { file: 'a' }, queue: 'none' },
      { input: { file: 5 as never }, queue: 'none' },
      { input: {} as never, queue: 'none' },
    ])
    await expect(wrong).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      entries: [
        { index: 1, code: 'INPUT_INVALID' },
        { index: 2, code: 'INPUT_INVALID' },
      ],
    })
    await expect(fleet.enqueueMany(resize, [{ input: { file: 'a' }, queue: 'no queue' }])).rejects.toMatchObject({
      entries: [{ index: 0, code: 'BAD_QUEUE' }],
    })
    await expect(fleet.enqueueMany(resize, [])).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    expect(await inQueue('none')).toEqual([])
  })

  test("in a transaction with the program's own data: both are stored, or neither", async () => {
    const orders = db.database.db.collection('orders')
    const client = db.database.connection.getClient()
    const order = async (file: string, fails: boolean): Promise<void> => {
      const session = client.startSession()
      try {
        await session.withTransaction(async () => {
          await orders.insertOne({ file }, { session })
          await fleet.enqueueMany(resize, [{ input: { file }, queue: 'orders' }], { session })
          if (fails) throw new Error('the card was refused')
        })
      } finally {
        await session.endSession()
      }
    }
    await expect(order('lost', true)).rejects.toThrow('the card was refused')
    expect(await inQueue('orders')).toEqual([])
    expect(await orders.countDocuments()).toBe(0)
    await order('kept', false)
    expect(await inQueue('orders')).toMatchObject([{ input: { file: 'kept' }, status: 'pending' }])
    expect(await orders.countDocuments()).toBe(1)
  })

  test('a task that already exists is the same task', async () => {
    const [task] = await fleet.store.enqueue([newTask({ queue: 'again' })])
    const entry = { _id: '6'.repeat(24), input: { file: 'a' }, queue: 'again' }
    await fleet.enqueueMany(resize, [entry])
    expect(await fleet.enqueueMany(resize, [entry])).toMatchObject([{ input: { file: 'a' } }])
    expect((await inQueue('again')).map(({ _id }) => _id.toHexString())).toContain(task!._id.toHexString())
    expect(await inQueue('again')).toHaveLength(2)
  })
})
