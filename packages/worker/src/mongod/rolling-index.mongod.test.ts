import { Fleet } from '@taskfleet/core'
import { MONGOD, mongodTitle, ReplicaSet } from '@taskfleet/testkit/replica-set'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { defineTask } from '../define-task.ts'
import { TaskRunner } from '../task-runner.ts'

describe.skipIf(MONGOD === undefined)(mongodTitle('an index change in a rolling upgrade'), { timeout: 300_000 }, () => {
  let set: ReplicaSet
  let fleet: Fleet
  let runner: TaskRunner
  const quick = defineTask({ name: 'quick', input: z.object({}), run: () => 'done' })

  beforeAll(async () => {
    set = await ReplicaSet.start()
    fleet = await Fleet.connect(set.uri, { name: 'rolling' })
    runner = new TaskRunner({ mongo: set.uri, db: 'rolling', tasks: [quick] })
    await runner.start()
  }, 300_000)
  afterAll(async () => {
    await runner?.stop()
    await fleet?.close()
    await set?.stop()
  })

  async function runsOne(): Promise<void> {
    const { _id } = await fleet.enqueue(quick, {})
    await vi.waitFor(async () => expect((await fleet.store.find(_id))?.status).toBe('completed'), 30_000)
  }

  test('workers run on while indexes are built, hidden and dropped', async () => {
    const events = fleet.database.db.collection('events')
    const index = async (name: string) => (await events.indexes()).find((one) => one.name === name)
    // The database as an earlier version has left it.
    await events.createIndex({ status: 1, scheduledFor: 1 }, { name: 'by_status' })
    await events.dropIndex('open')
    await runsOne()
    expect(await fleet.database.migrate({ othersLive: true })).toMatchObject({
      made: ['events.open'],
      hidden: ['events.by_status'],
      dropped: [],
    })
    expect(await index('by_status')).toMatchObject({ hidden: true })
    await runsOne()
    expect(await fleet.database.migrate({ othersLive: false })).toMatchObject({ dropped: ['events.by_status'] })
    expect(await index('by_status')).toBeUndefined()
    await runsOne()
  })

  test('an index that is built while tasks are stored includes all of them', async () => {
    const audit = fleet.database.db.collection('audit')
    await audit.dropIndex('by_task')
    const [migrated] = await Promise.all([
      fleet.database.migrate({ othersLive: false }),
      ...Array.from({ length: 50 }, () => fleet.enqueue(quick, {})),
    ])
    expect(migrated.made).toEqual(['audit.by_task'])
  })
})
