import { STATUSES } from '@taskfleet/protocol'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import type { ObjectId } from '../task/task-document.ts'
import { prune } from './prune.ts'

const DAY_MS = 86_400_000

describe('prune', () => {
  const test_ = useDatabase()
  const opened = () => {
    const fleet = new Fleet(test_.database)
    const finished = (id: ObjectId, daysAgo: number) =>
      fleet.tasks.updateOne({ _id: id }, { $set: { finishedAt: new Date(Date.now() - daysAgo * DAY_MS) } })
    return { fleet, make: taskFactory(fleet.store), finished }
  }

  test('removes ended tasks with their log lines, and nothing else', async () => {
    const { fleet, make } = opened()
    const made = await Promise.all(STATUSES.map((status) => make[status]({ name: 'all' })))
    const line = { seq: 1, at: new Date().toISOString(), level: 'info' as const, message: 'said' }
    await fleet.logs.append(made.map(({ _id }) => ({ task: _id, attempt: 1, lease: 'l', lines: [line] })))
    expect(await prune(fleet, { olderThanMs: 0, name: 'all', dryRun: true })).toEqual({ matched: 3, removed: 0 })
    expect(await prune(fleet, { olderThanMs: 0, name: 'all' })).toEqual({ matched: 3, removed: 3 })
    const left = await fleet.tasks.find({ name: 'all' }).toArray()
    expect(left.map(({ status }) => status).sort()).toEqual(['blocked', 'paused', 'pending', 'running'])
    const lines = await Promise.all(made.map(({ _id }) => fleet.logs.read(_id, {})))
    expect(lines.map(({ length }) => length)).toEqual([1, 1, 1, 1, 0, 0, 0])
    expect(await fleet.audit.list({ limit: 1 })).toMatchObject([{ by: 'local', action: 'prune', changed: 3 }])
  })

  test('takes the age from the policy, status by status, unless the request has one', async () => {
    const { fleet, make, finished } = opened()
    await fleet.retention.set({ completed: DAY_MS, failed: null, cancelled: 3 * DAY_MS })
    for (const status of ['completed', 'failed', 'cancelled'] as const) {
      await finished((await make[status]({ name: 'aged' }))._id, 2)
    }
    expect(await prune(fleet, { name: 'aged' })).toEqual({ matched: 1, removed: 1 })
    expect(await prune(fleet, { name: 'aged', statuses: ['failed'] })).toEqual({ matched: 0, removed: 0 })
    expect(await prune(fleet, { name: 'aged', statuses: ['failed'], olderThanMs: DAY_MS })).toMatchObject({
      removed: 1,
    })
    const left = await fleet.tasks.find({ name: 'aged' }).toArray()
    expect(left.map(({ status }) => status)).toEqual(['cancelled'])
  })

  test('keeps tasks that a blocked task waits for', async () => {
    const { fleet, make } = opened()
    const failed = await make.failed({ name: 'first' })
    await make.pending({ name: 'then', after: failed._id, ifFailed: 'wait' })
    expect(await prune(fleet, { olderThanMs: 0, name: 'first' })).toEqual({ matched: 0, removed: 0 })
    expect(await fleet.store.find(failed._id)).not.toBeNull()
  })

  test('goes through more tasks than fit into one batch', async () => {
    const { fleet, make } = opened()
    const model = await make.completed({ name: 'many' })
    const { _id, ...rest } = model
    await fleet.tasks.insertMany(Array.from({ length: 1_200 }, () => ({ ...rest })) as never)
    expect(await prune(fleet, { olderThanMs: 0, name: 'many' })).toEqual({ matched: 1_201, removed: 1_201 })
  })
})
