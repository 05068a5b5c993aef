import { describeTaskStore } from '@taskfleet/testkit/describe-task-store'
import { loseWorker, openTestSession } from '@taskfleet/testkit/test-session'
import { MemoryTaskStore } from './memory-task-store.ts'
import type { TaskDocument } from './task-document.ts'

describeTaskStore('MemoryTaskStore', async () => {
  const store = new MemoryTaskStore()
  const tasks = store.database.db.collection<TaskDocument>('tasks')
  await openTestSession(store.database)
  return {
    store,
    loseWorker: (id) => loseWorker(store.database, id),
    corrupt: async (id) => {
      await tasks.updateOne({ _id: id }, { $set: { attempts: 'none' as never } })
    },
    moveClock: async (id, ms) => {
      const back = Object.entries((await tasks.findOne({ _id: id })) ?? {}).filter(([, value]) => value instanceof Date)
      const moved = back.map(([field, value]) => [field, new Date((value as Date).getTime() - ms)])
      await tasks.updateOne({ _id: id }, { $set: Object.fromEntries(moved) })
    },
    freesUniqueValues: async () => true,
  }
})
