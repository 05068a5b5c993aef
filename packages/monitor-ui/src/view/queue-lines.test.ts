import { expect, it } from 'vitest'
import { aWorker, EPOCH, iso } from '../testing/rows.ts'
import { queueLines } from './queue-lines.ts'

it('lists every named queue, with its tasks and its share of the waiting ones', () => {
  const settings = { _id: 'q10', paused: true, updatedAt: iso(EPOCH), rev: 1 }
  const lines = queueLines({
    queues: [settings],
    workers: [aWorker({ name: 'a', queues: ['q2'] }), aWorker({ name: 'b', queues: ['q2', 'q10'] })],
    byQueue: { q1: { pending: 1 }, q2: { pending: 1, blocked: 1, paused: 1, running: 4, failed: 2 } },
  })
  const counts = { pending: 0, running: 0, paused: 0, blocked: 0, completed: 0, failed: 0, cancelled: 0 }
  const none = { settings: undefined, counts, waiting: 0, share: 0, workers: [] }
  expect(lines).toEqual([
    { ...none, name: 'q1', counts: { ...counts, pending: 1 }, waiting: 1, share: 0.25 },
    {
      ...none,
      name: 'q2',
      counts: { ...counts, pending: 1, blocked: 1, paused: 1, running: 4, failed: 2 },
      waiting: 3,
      share: 0.75,
      workers: ['a', 'b'],
    },
    { ...none, name: 'q10', settings, workers: ['b'] },
  ])
})

it('shows no share if no task waits', () => {
  expect(queueLines({ queues: [], workers: [], byQueue: { q: { failed: 3 } } })).toMatchObject([{ share: 0 }])
})
