import { randomUUID } from 'node:crypto'
import { describeTaskStore } from '@taskfleet/testkit/describe-task-store'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { loseWorker, openTestSession } from '@taskfleet/testkit/test-session'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { describe, expect, test as it } from 'vitest'
import { MongoTaskStore } from './mongo-task-store.ts'
import { taskModel } from './task-model.ts'
import { type Claim, Outcome } from './task-store.ts'

const test = useDatabase()

describeTaskStore('MongoTaskStore', async () => {
  const { connection, clock } = test.database
  await openTestSession(test.database)
  return {
    store: new MongoTaskStore(connection, clock),
    loseWorker: (id) => loseWorker(test.database, id),
    corrupt: async (id) => {
      await taskModel(connection).collection.updateOne({ _id: id }, { $set: { attempts: 'none' } })
    },
    moveClock: async (id, ms) => {
      const task = await taskModel(connection).collection.findOne({ _id: id })
      const back = Object.entries(task ?? {}).filter(([, value]) => value instanceof Date)
      const moved = back.map(([field, value]) => [field, new Date((value as Date).getTime() - ms)])
      await taskModel(connection).collection.updateOne({ _id: id }, { $set: Object.fromEntries(moved) })
    },
    freesUniqueValues: async () => {
      const probe = connection
        .getClient()
        .db(connection.name)
        .collection<{ _id: number; value?: string }>(`uniqueProbe${randomUUID()}`)
      await probe.createIndex({ value: 1 }, { unique: true, sparse: true })
      await probe.insertOne({ _id: 1, value: 'taken' })
      await probe.updateOne({ _id: 1 }, { $unset: { value: 1 } })
      return probe.insertOne({ _id: 2, value: 'taken' }).then(
        () => true,
        () => false,
      )
    },
  }
})

describe('leases of earlier versions, whose workers may still run', () => {
  const dated = async (expiresAt: Date): Promise<{ store: MongoTaskStore; claim: Claim }> => {
    const { connection, clock } = test.database
    const store = new MongoTaskStore(connection, clock)
    const claim = await taskFactory(store).claimed()
    const lease = { id: claim.leaseId, worker: 'old', expiresAt }
    await taskModel(connection).collection.updateOne({ _id: claim.task._id }, { $set: { lease } })
    return { store, claim }
  }

  it('are valid until their date, and still fence writes', async () => {
    const { store, claim } = await dated(new Date(Date.now() + 60_000))
    expect((await store.reap()).map(({ _id }) => String(_id))).not.toContain(String(claim.task._id))
    expect(await store.settle({ ...claim, leaseId: 'other' }, Outcome.completed(1))).toEqual({ owned: false })
    expect(await store.settle(claim, Outcome.completed(1))).toEqual({ owned: true, status: 'completed' })
  })

  it('are taken back when they have expired, at no cost', async () => {
    const { store, claim } = await dated(new Date(0))
    expect((await store.reap()).map(({ _id }) => String(_id))).toContain(String(claim.task._id))
    expect(await store.find(claim.task._id)).toMatchObject({ status: 'pending', lost: 1, failures: 0 })
    expect(await store.settle(claim, Outcome.completed(1))).toEqual({ owned: false })
  })
})
