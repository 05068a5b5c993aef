import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { mongo } from 'mongoose'
import { expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'

const held = useDatabase()
const batches = () => held.database.db.collection<{ at: Date; tasks: unknown[] }>('batches')
const some = (count: number) => Array.from({ length: count }, () => newTask())

test('a long list is stored whole, and nothing of it is left behind', async () => {
  const fleet = new Fleet(held.database)
  const tasks = some(1_201)
  const stored = await fleet.batches.store(tasks)
  expect(stored.map(({ _id }) => String(_id))).toEqual(tasks.map(({ _id }) => String(_id)))
  expect(await batches().countDocuments()).toBe(0)
})

test('a committed list whose process died is stored once by the next sweep', async () => {
  const fleet = new Fleet(held.database)
  const tasks = some(3)
  const [first] = tasks
  await fleet.store.enqueue([first!])
  await batches().insertOne({ at: new Date(1), tasks }, { ignoreUndefined: true })
  expect(await fleet.batches.sweep()).toBe(1)
  expect(await fleet.tasks.countDocuments({ _id: { $in: tasks.map(({ _id }) => _id) } })).toBe(3)
  expect(await fleet.batches.sweep()).toBe(0)
})

test('one that is being stored is left to its process', async () => {
  const fleet = new Fleet(held.database)
  await batches().insertOne({ at: held.database.clock.now(), tasks: [] })
  expect(await fleet.batches.sweep()).toBe(0)
  await batches().deleteMany({})
})

test('nothing of a list that waits for a missing task is stored', async () => {
  const fleet = new Fleet(held.database)
  const tasks = [newTask(), newTask({ after: new mongo.ObjectId() })]
  await expect(fleet.batches.store(tasks)).rejects.toMatchObject({ code: 'NOT_FOUND', field: 'after' })
  expect(await fleet.tasks.countDocuments({ _id: { $in: tasks.map(({ _id }) => _id) } })).toBe(0)
  expect(await batches().countDocuments()).toBe(0)
})
