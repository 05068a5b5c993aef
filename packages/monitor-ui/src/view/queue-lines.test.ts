import { expect, it } from 'vitest'
import { aTask, aWorker, EPOCH, iso } from '../testing/rows.ts'
import { queueLines } from './queue-lines.ts'

it('lists every queue that is named anywhere, with what is in it', () => {
  const said = { _id: 'q10', paused: true, updatedAt: iso(EPOCH), rev: 1 }
  const lines = queueLines(
    {
      queues: [said],
      workers: [aWorker({ name: 'a', queues: ['q2'] }), aWorker({ name: 'b', queues: ['q2', 'q10'] })],
      waiting: [
        aTask.pending({ queue: 'q1' }),
        aTask.pending({ queue: 'q2', runAt: iso(EPOCH + 1) }),
        aTask.blocked({ queue: 'q2' }),
      ],
      running: [aTask.running({ queue: 'q2' })],
    },
    EPOCH,
  )
  const none = { said: undefined, due: 0, scheduled: 0, held: 0, running: 0, workers: [] }
  expect(lines).toEqual([
    { ...none, name: 'q1', due: 1 },
    { ...none, name: 'q2', scheduled: 1, held: 1, running: 1, workers: ['a', 'b'] },
    { ...none, name: 'q10', said, workers: ['b'] },
  ])
})
