import { STATUSES, type TaskStatus } from '@taskfleet/protocol'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import { byPhase } from './by-phase.ts'

const held = useDatabase()
const ended = { finishedAt: { $exists: true } }

test.each<[string, object, object]>([
  ['no status', { queue: 'q' }, { queue: 'q' }],
  ['an open status', { status: 'pending' }, { status: 'pending' }],
  ['an ended status', { status: 'failed' }, { $and: [ended, { status: 'failed' }] }],
  ['no known status', { status: { $in: [] } }, { status: { $in: [] } }],
  ['a status that it excludes', { status: { $ne: 'pending' } }, { status: { $ne: 'pending' } }],
])('a filter of %s', (_, filter, sent) => {
  expect(byPhase(filter as Record<string, unknown>)).toEqual(sent)
})

test('a filter of several statuses has a branch for each open status, and one for those that have ended', () => {
  const filter = { $and: [{ queue: 'q' }, { status: { $in: ['pending', 'failed', 'paused', 'completed'] } }] }
  expect(byPhase(filter)).toEqual({
    $or: [{ status: 'pending' }, { status: 'paused' }, ended].map((phase) => ({ $and: [phase, filter] })),
  })
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
