import { malformedDocuments, malformedTasks } from '@taskfleet/testkit/malformed'
import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { describe, expect, test } from 'vitest'
import { MongoTaskStore } from '../task/mongo-task-store.ts'
import { type Doc, fits, fitsOnServer, mended, mendedOnServer, misfits } from './shape.ts'
import { SHAPES, type ShapedCollection } from './shapes.ts'

const held = useDatabase()

/** The server's verdict on documents, in their order. */
async function askServer(shape: (typeof SHAPES)[ShapedCollection], docs: readonly Doc[]): Promise<boolean[]> {
  const probe = held.database.db.collection<Doc>('shapeProbe')
  await probe.deleteMany({})
  await probe.insertMany(docs as never)
  const found = await probe.aggregate<{ ok: boolean }>([{ $project: { ok: fitsOnServer(shape) } }]).toArray()
  return found.map(({ ok }) => ok)
}

const aTask = async (): Promise<Doc> => {
  const [task] = await new MongoTaskStore(held.database.connection, held.database.clock).enqueue([newTask()])
  return task as unknown as Doc
}

describe('a shape', () => {
  test('accepts a task as the store makes it, here and on the server', async () => {
    const task = await aTask()
    expect(misfits(SHAPES.tasks, task)).toEqual([])
    expect(await askServer(SHAPES.tasks, [task])).toEqual([true])
  })

  test('rejects every malformed task, names the field, and agrees with the server', async () => {
    const docs = malformedTasks((await aTask()) as never)
    for (const [kind, doc] of docs) {
      expect(fits(SHAPES.tasks, doc), kind).toBe(false)
      expect(misfits(SHAPES.tasks, doc)[0]?.problem, kind).toMatch(/^'/)
    }
    const said = await askServer(SHAPES.tasks, [...docs.values()])
    expect([...docs.keys()].filter((_, index) => said[index])).toEqual([])
  })

  test('replaces malformed values, here and on the server', async () => {
    const docs = [...malformedTasks((await aTask()) as never, 1).values()]
    const probe = held.database.db.collection<Doc>('mendProbe')
    await probe.insertMany(docs as never)
    const { _id, ...fields } = mendedOnServer(SHAPES.tasks)
    await probe.updateMany({}, [{ $set: fields }])
    for (const doc of await probe.find().toArray()) {
      const left = misfits(SHAPES.tasks, doc).filter(({ field }) => field !== '_id' && field !== 'lease')
      expect(left).toEqual([])
    }
    for (const doc of docs) {
      const left = misfits(SHAPES.tasks, mended(SHAPES.tasks, doc)).filter(
        ({ field }) => field !== '_id' && field !== 'lease',
      )
      expect(left).toEqual([])
    }
  })

  test('does not quote what a key holds', () => {
    const key = { _id: 'a', hash: 'secret-hash', scopes: ['read'] }
    expect(misfits(SHAPES.keys, key)).toEqual([{ field: 'hash', problem: "'hash' is not a SHA-256 in hex" }])
  })

  test.each(Object.entries(malformedDocuments('work')))('agrees with the server about %s', async (collection, docs) => {
    const shape = SHAPES[collection as ShapedCollection]
    expect(await askServer(shape, docs)).toEqual(docs.map((doc) => fits(shape, doc)))
  })
})
