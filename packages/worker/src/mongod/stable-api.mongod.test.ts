import { Fleet } from '@taskfleet/core'
import { FleetDatabase } from '@taskfleet/core/internal'
import { MONGOD, mongodTitle, ReplicaSet } from '@taskfleet/testkit/replica-set'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../define-task.ts'
import { TaskRunner } from '../task-runner.ts'

describe.skipIf(MONGOD === undefined)(mongodTitle('the Stable API, strictly'), { timeout: 300_000 }, () => {
  let set: ReplicaSet
  let database: FleetDatabase
  const quick = defineTask({ name: 'quick', input: z.object({}), run: () => 'done' })

  beforeAll(async () => {
    set = await ReplicaSet.start()
    // Indexes that leave out documents without a field are outside of it, and are made once.
    await (await Fleet.connect(set.uri, { name: 'strict' })).close()
    database = await FleetDatabase.connect({
      uri: set.uri,
      name: 'strict',
      serverApi: { version: '1', strict: true, deprecationErrors: true },
    })
  }, 300_000)
  afterAll(async () => {
    await database?.close()
    await set?.stop()
  })

  test('a worker, its gateway and a producer use nothing else', async () => {
    const runner = new TaskRunner({ mongo: database, tasks: [quick], listen: { host: '127.0.0.1', port: 0 } })
    await runner.start()
    const fleet = new Fleet(database)
    const { _id } = await fleet.enqueue(quick, {})
    await vi.waitFor(async () => expect((await fleet.store.find(_id))?.status).toBe('completed'), 30_000)
    await fleet.control().coverage()
    await fleet.control().explain(_id.toHexString())
    await fleet.eventsFor().post({ name: 'arrived' })
    await fleet.upkeepFor().prune({ olderThanMs: 0 })
    await runner.stop()
  })
})
