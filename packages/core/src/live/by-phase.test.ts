import { STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import { byEnd, byPhase, LATEST } from './by-phase.ts'

const held = useDatabase()

test.each<Record<string, unknown>>([
  { queue: 'q' },
  { status: 'pending' },
  { status: 'failed' },
  { status: { $in: [] } },
  { status: { $in: ['paused'] } },
  { status: { $in: ['pending', 'failed'] } },
  { status: { $ne: 'pending' } },
])('%o is sent as it is', (filter) => {
  expect(byPhase(filter)).toBe(filter)
})

test('a filter of several open statuses has a branch for each', () => {
  const filter = { $and: [{ queue: 'q' }, { status: { $in: ['pending', 'paused', 'unknown'] } }] }
  expect(byPhase(filter)).toEqual({
    $or: [{ status: 'pending' }, { status: 'paused' }].map((phase) => ({ $and: [phase, filter] })),
  })
})

test('statuses of several parts of a filter are those that all of them allow', () => {
  const filter = { $and: [{ status: { $in: ['pending', 'failed'] } }, { status: { $in: ['pending', 'running'] } }] }
  expect(byPhase(filter)).toEqual({ $and: [{ status: 'pending' }, filter] })
  expect(byEnd(filter)).toBe(filter)
})

test('each branch of an $or has a branch for each of its open statuses', () => {
  const branch = { name: 'a', status: { $in: ['pending', 'paused'] } }
  const ended = { finishedAt: { $gte: LATEST } }
  expect(byPhase({ $and: [{ queue: 'q' }, { $or: [branch, ended] }] })).toEqual({
    $and: [
      { queue: 'q' },
      { $or: [{ $and: [{ status: 'pending' }, branch] }, { $and: [{ status: 'paused' }, branch] }, ended] },
    ],
  })
})

test('a filter of ended tasks alone names the date of the end', () => {
  const filter = { status: { $in: ['failed', 'completed'] } }
  expect(byEnd(filter)).toEqual({ $and: [filter, { finishedAt: { $lte: LATEST } }] })
  expect(byEnd({ name: 'a' })).toEqual({ name: 'a' })
})

test('finds the same tasks in the same order', async () => {
  const fleet = new Fleet(held.database)
  const make = taskFactory(fleet.store)
  const queue = `phases-${Date.now()}`
  for (const status of STATUSES) for (let n = 0; n < 2; n += 1) await make[status]({ queue })
  const found = (filter: object) =>
    fleet.tasks
      .find(filter, { projection: { status: 1 } })
      .sort({ priority: -1, _id: 1 })
      .toArray()
  const choices = Array.from({ length: 2 ** STATUSES.length }, (_, bits) =>
    STATUSES.filter((_, place) => bits & (1 << place)),
  )
  for (const statuses of choices as TaskStatus[][]) {
    const filter = { queue, status: { $in: statuses } }
    expect([statuses, await found(byPhase(filter))]).toEqual([statuses, await found(filter)])
  }
})
