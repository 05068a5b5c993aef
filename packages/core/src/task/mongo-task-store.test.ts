import { randomUUID } from 'node:crypto'
import { describeTaskStore, loseWorker, openTestSession, useDatabase } from '../testing/index.ts'
import { MongoTaskStore } from './mongo-task-store.ts'
import { taskModel } from './task-model.ts'

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
