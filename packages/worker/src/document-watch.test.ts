import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { malformedDocuments, malformedTasks } from '@taskfleet/testkit/malformed'
import { describe, expect, test } from 'vitest'

const fleet = useFleet()
const collection = (name: string) => fleet.database.db.collection<{ _id: unknown }>(name)

describe('F35: a worker with invalid documents', () => {
  test('starts, runs valid tasks, and ends invalid ones', async () => {
    const first = await fleet.runner({ leaseMs: 1_000 })
    const template = await fleet.post([], { runAt: '2030-01-01T00:00:00Z' })
    const tasks = malformedTasks(template)
    await collection('tasks').insertMany([...tasks.values()] as never)
    for (const [name, docs] of Object.entries(malformedDocuments('scripted'))) {
      await collection(name).insertMany(docs as never)
    }
    await collection('queues').insertOne({
      _id: 'default',
      paused: 'yes',
      concurrency: 'x',
      rate: { limit: 'x' },
    } as never)
    const good = await fleet.post([{ do: 'return', value: 1 }])
    expect(await fleet.ended(good._id)).toMatchObject({ status: 'completed' })
    // What has no status that there is can't be ended; the list of one is a status to the database.
    await eventually(async () => {
      const left = await fleet.fleet.tasks.countDocuments({ status: { $in: ['pending', 'running', 'blocked'] } })
      return left === 1
    })
    const failed = await fleet.fleet.tasks.countDocuments({ status: 'failed', 'error.code': 'CORRUPT' })
    expect(failed).toBeGreaterThan(tasks.size - 10)
    await eventually(async () => ((await fleet.fleet.gate.setAside.count()).queues ?? 0) >= 4)
    await first.stop({ grace: 0 })
    await fleet.runner()
    const another = await fleet.post([{ do: 'return', value: 2 }])
    expect(await fleet.ended(another._id)).toMatchObject({ status: 'completed' })
  })
})

describe('F38: a worker whose collection is dropped', () => {
  test('builds its indexes again at once', async () => {
    await fleet.runner()
    await fleet.fleet.tasks.drop()
    await eventually(async () => {
      const indexes = await fleet.fleet.tasks.indexes().catch(() => [])
      return indexes.some(({ name }) => name === 'open_key_in_queue')
    })
    await fleet.post([{ do: 'return', value: 1 }], { key: 'once', runAt: '2030-01-01T00:00:00Z' })
    await expect(fleet.post([{ do: 'return', value: 2 }], { key: 'once' })).rejects.toMatchObject({
      code: 'KEY_EXISTS',
    })
  })
})
