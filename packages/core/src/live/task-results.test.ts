import { newTask, testClaimant } from '@taskfleet/testkit/task-factory'
import { openTestSession } from '@taskfleet/testkit/test-session'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import { Outcome } from '../task/task-store.ts'

const db = useDatabase()
let fleet: Fleet
beforeAll(async () => {
  fleet = await Fleet.connect(db.uri)
})
afterAll(() => fleet.close())

const enqueued = async () => (await fleet.store.enqueue([newTask()]))[0]!

describe('waiting for a result', () => {
  test('resolves with the outcome, whether the task ended before or ends later', async () => {
    await openTestSession(db.database)
    const task = await enqueued()
    const both = [fleet.result(task._id), fleet.result(task._id.toHexString())]
    const [claim] = await fleet.store.claim([task._id], testClaimant)
    await fleet.store.settle(claim!, Outcome.completed({ answer: 42 }))
    expect(await Promise.all(both)).toEqual([
      { status: 'completed', output: { answer: 42 } },
      { status: 'completed', output: { answer: 42 } },
    ])
    expect(await fleet.result(task._id)).toEqual({ status: 'completed', output: { answer: 42 } })
  })

  test('resolves when the task is cancelled and rejects when it is removed', async () => {
    const task = await enqueued()
    const result = fleet.result(task._id)
    await fleet.control().cancel({ id: task._id.toHexString() })
    expect(await result).toEqual({ status: 'cancelled' })
    await fleet.store.remove(task._id)
    await expect(fleet.result(task._id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(fleet.result('nothing')).rejects.toMatchObject({ code: 'BAD_ID' })
  })

  test('rejects after the timeout and when the fleet is closed; the task keeps waiting', async () => {
    const task = await enqueued()
    await expect(fleet.result(task._id, { timeout: '300ms' })).rejects.toMatchObject({ code: 'RESULT_TIMEOUT' })
    const other = await Fleet.connect(db.uri)
    const closed = expect(other.result(task._id)).rejects.toMatchObject({ code: 'CLOSED' })
    await other.close()
    await closed
    expect(await fleet.store.find(task._id)).toMatchObject({ status: 'pending' })
  })
})
