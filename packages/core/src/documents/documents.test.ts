import { malformedDocuments, malformedTasks } from '@taskfleet/testkit/malformed'
import { passedOver } from '@taskfleet/testkit/passed-over'
import { newTask, testClaimant } from '@taskfleet/testkit/task-factory'
import { loseWorker } from '@taskfleet/testkit/test-session'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { afterEach, describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { type Doc, fits } from './shape.ts'
import { SHAPES } from './shapes.ts'

const held = useDatabase()
const collection = (name: string) => held.database.db.collection<Doc>(name)
const fleet = (): Fleet => new Fleet(held.database)

afterEach(async () => {
  for (const name of ['tasks', 'setAside', 'settings', ...Object.keys(malformedDocuments('x'))]) {
    await collection(name).deleteMany({})
  }
})

async function good(here: Fleet, count = 1): Promise<TaskDocument[]> {
  return here.store.enqueue(Array.from({ length: count }, () => newTask({ queue: 'documents' })))
}
const served = { queues: ['documents'], tasks: new Map([['test', { oldest: 1, newest: 1 }]]) }

/** Stores every malformed task beside well-formed ones. */
async function beside(here: Fleet): Promise<Map<string, Doc>> {
  const [template] = await good(here)
  const docs = malformedTasks(template!)
  await here.tasks.deleteMany({})
  await collection('tasks').insertMany([...docs.values()] as never)
  return docs
}

describe('F35: malformed tasks', () => {
  test('do not keep others from being claimed, alone or in a group, and end as failed with CORRUPT', async () => {
    const here = fleet()
    const docs = await beside(here)
    const tasks = await good(here, 3)
    const odd = [...docs.values()].map(({ _id }) => _id).filter((id) => id instanceof Types.ObjectId)
    const claims = await here.store.claim([...odd, ...tasks.map(({ _id }) => _id)], testClaimant)
    expect(claims.map(({ task }) => String(task._id))).toEqual(
      expect.arrayContaining(tasks.map(({ _id }) => String(_id))),
    )
    // A claim writes the status and the lease itself, over any previous values.
    for (const { task } of claims) expect(fits(SHAPES.tasks, { ...task })).toBe(true)
    expect(await here.tasks.countDocuments({ status: 'failed', 'error.code': 'CORRUPT' })).toBeGreaterThan(20)
  })

  test('do not keep others from being offered, reaped, raised, unblocked or reported', async () => {
    const here = fleet()
    await beside(here)
    const [offered, leased] = await good(here, 2)
    await here.store.claim([leased!._id], testClaimant)
    await loseWorker(held.database, leased!._id)
    const { due } = await here.store.waiting(served, 100)
    expect(due.map(({ _id }) => String(_id))).toContain(String(offered!._id))
    const reaped = await here.store.reap()
    expect(reaped.map(({ _id }) => String(_id))).toEqual([String(leased!._id)])
    await here.store.raiseDue()
    await here.store.unblockAll()
    await here.store.slots()
    await here.store.held('dead')
    expect(await here.control().coverage()).toContainEqual(expect.objectContaining({ name: 'test', version: 1 }))
  })

  test('that nothing else finds are found by a survey, and reported until they are gone', async () => {
    const here = fleet()
    const docs = await beside(here)
    await here.survey()
    await until(async () => (await here.gate.setAside.list()).length >= docs.size)
    const told = await here.gate.setAside.list()
    const ended = told.filter(({ how }) => how === 'failed').length
    expect(await here.tasks.countDocuments({ status: 'failed', 'error.code': 'CORRUPT' })).toBe(ended)
    // Only tasks without a valid status can't be ended.
    expect(told.length - ended).toBe(6)
    const repaired = await here.repair()
    expect(repaired.every(({ did }) => did.startsWith('moved to'))).toBe(true)
    expect(await collection('removedDocuments').countDocuments()).toBe(6)
    await here.tasks.deleteMany({})
    expect(await here.gate.setAside.list()).toEqual([])
  })

  test('can be explained, cancelled and retried like any other', async () => {
    const here = fleet()
    for (const [kind, doc] of await beside(here)) {
      if (typeof doc._id !== 'object' || !('toHexString' in (doc._id as object))) continue
      const id = String(doc._id)
      if (doc.queue === 'documents' && doc.name === 'test') {
        expect((await here.control().explain(id)).reasons[0]?.code, kind).toBe('CORRUPT')
      }
      await here.store.cancel(doc._id as never, 'test')
      await here.store.rerun(doc._id as never)
    }
  })
})

describe('F35: malformed documents of every other collection', () => {
  test('are skipped and reported, and every report works', async () => {
    const here = fleet()
    const counts = await passedOver(here, held.database.db, 1)
    expect(await here.gate.setAside.count()).toEqual(counts)
  })

  test('a policy, a throttle, a rate or a past duration that makes no sense counts as none', async () => {
    const here = fleet()
    await collection('settings').insertOne({ _id: 'retention', completed: 'x', failed: {} } as never)
    expect(await here.retention.get()).toEqual({
      completed: 2_592_000_000,
      failed: 7_776_000_000,
      cancelled: 2_592_000_000,
    })
    await collection('throttles').insertOne({ _id: 'test\nk', until: 'x', task: 'y' } as never)
    const [throttled] = await here.store.enqueue([newTask({ key: 'k', throttleMs: 3_600_000 })])
    expect(throttled?.status).toBe('pending')
    await collection('queueRates').insertOne({ _id: 'documents', buckets: 'x', rule: { limit: 'x' } } as never)
    expect((await here.rates.ask('documents', { rate: { limit: 2, per: 60_000 }, rev: 1 }, 1)).count).toBe(1)
    await collection('durations').insertOne({ _id: 'test', recent: 'x' } as never)
    await here.durations.add(new Map([['test', [5]]]))
    expect(await here.durations.lead('test')).toBeUndefined()
  })
})

async function until(holds: () => Promise<boolean>): Promise<void> {
  await expect.poll(holds, { timeout: 20_000 }).toBe(true)
}
