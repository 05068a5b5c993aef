import { malformedTasks } from '@taskfleet/testkit/malformed'
import { passedOver } from '@taskfleet/testkit/passed-over'
import { newTask, testClaimant } from '@taskfleet/testkit/task-factory'
import { loseWorker } from '@taskfleet/testkit/test-session'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'

const held = useDatabase()
const TIMES = 250

test('F35: 250 of each malformed task do not keep others from being offered, claimed or reaped', async () => {
  const fleet = new Fleet(held.database)
  const [template] = await fleet.store.enqueue([newTask({ queue: 'many' })])
  await fleet.tasks.deleteMany({})
  const kinds = malformedTasks(template!).keys()
  for (const kind of kinds) {
    const docs = Array.from({ length: TIMES }, (_, nth) => malformedTasks(template!, nth).get(kind)!)
    await fleet.tasks.insertMany(docs as never)
    const [offered, leased] = await fleet.store.enqueue([newTask({ queue: 'many' }), newTask({ queue: 'many' })])
    await fleet.store.claim([leased!._id], testClaimant)
    await loseWorker(held.database, leased!._id)
    const served = { queues: ['many'], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) }
    const { due } = await fleet.store.waiting(served, 1_000)
    expect(
      due.map(({ _id }) => String(_id)),
      kind,
    ).toContain(String(offered!._id))
    const reaped = await fleet.store.reap()
    expect(
      reaped.map(({ _id }) => String(_id)),
      kind,
    ).toContain(String(leased!._id))
    await fleet.store.raiseDue()
    expect(await fleet.store.claim([offered!._id], testClaimant), kind).toHaveLength(1)
    await fleet.tasks.deleteMany({})
  }
})

test('F35: 250 of each malformed document of the other collections are skipped', async () => {
  const fleet = new Fleet(held.database)
  await passedOver(fleet, held.database.db, TIMES)
})
