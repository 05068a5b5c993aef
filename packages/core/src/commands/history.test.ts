import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { beforeEach, describe, expect, test } from 'vitest'
import { LOCAL, type Principal } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'
import { AttentionCommands } from './attention-commands.ts'

const held = useDatabase()
const DONE = {
  queue: 'q',
  name: 'n',
  host: 'h',
  outcome: 'completed',
  status: 'completed',
  waitMs: 10,
  runMs: 100,
} as const
const LIMITED: Principal = { ...LOCAL, id: 'limited', scopes: ['read'], queues: ['q'] } as Principal

let fleet: Fleet
beforeEach(async () => {
  fleet = new Fleet(held.database)
  await held.database.db.collection('stats').deleteMany({})
  for (const host of ['h', 'other']) fleet.rollUps.note({ ...DONE, host })
  fleet.rollUps.note({ ...DONE, queue: 'secret' })
  await fleet.rollUps.flush()
})

describe('the history by minute and hour', () => {
  test('shows what ended, with the spread of its durations', async () => {
    const rows = await fleet.as().tasks.history({ queue: 'q', name: 'n' })
    expect(rows).toHaveLength(2)
    const [row] = rows
    expect(row).toMatchObject({ outcome: 'completed', status: 'completed', count: 1 })
    expect(row!.waitMs).toMatchObject({ count: 1 })
    expect(row!.runMs.p50).toBeLessThanOrEqual(100)
    expect(await fleet.as().tasks.history({ unit: 'hour' })).toHaveLength(3)
  })

  test('shows a limited key its own queues, and no hosts', async () => {
    const rows = await fleet.as(LIMITED).tasks.history({})
    expect(rows).toMatchObject([{ queue: 'q', name: 'n', count: 2, waitMs: { count: 2 } }])
    expect(rows[0]).not.toHaveProperty('host')
  })

  test.each([
    [{ since: 'yesterday' }, 'BAD_DATE'],
    [{ unit: 'day' as never }, 'BAD_VALUE'],
    [{ since: '2001-01-01T00:00:00Z' }, 'OUT_OF_RANGE'],
  ])('%j is refused with %s', async (request, code) => {
    await expect(fleet.as().tasks.history(request)).rejects.toMatchObject({ code })
  })
})

test('a cancelled task that never ran is in the history, too', async () => {
  const [task] = await fleet.store.enqueue([newTask({ queue: 'idle' })])
  await fleet.store.cancel(task!._id, 'test')
  await fleet.rollUps.flush()
  const [row] = await fleet.as().tasks.history({ queue: 'idle' })
  expect(row).toMatchObject({ outcome: 'none', status: 'cancelled', count: 1, waitMs: { count: 0 } })
})

describe('what waits, by minute and hour', () => {
  beforeEach(async () => {
    const due = (queue: string) => newTask({ queue, name: 'n', runAt: new Date(Date.now() - 30_000) })
    await fleet.tasks.deleteMany({})
    await fleet.store.enqueue([due('q'), due('q'), due('secret')])
    await fleet.waiting.take(() => new AttentionCommands(fleet, LOCAL).look())
  })

  test('has all due tasks, the oldest wait, and how much needed somebody', async () => {
    const [row, ...more] = await fleet.as().tasks.waiting({})
    expect(more).toEqual([])
    expect(row).toMatchObject({ count: 3, attention: 2 })
    expect(row!.oldestMs).toBeGreaterThanOrEqual(30_000)
    expect(await fleet.as().tasks.waiting({ unit: 'hour', queue: 'q' })).toMatchObject([{ count: 2 }])
  })

  test('shows a limited key its own queues, and nothing of what needs others', async () => {
    const rows = await fleet.as(LIMITED).tasks.waiting({})
    expect(rows).toEqual([{ at: expect.any(String), count: 2, oldestMs: expect.any(Number) }])
    expect(await fleet.as(LIMITED).tasks.waiting({ queue: 'secret' })).toMatchObject([{ count: 0, oldestMs: 0 }])
  })

  test('is refused for times that are not kept', async () => {
    const since = '2020-01-01T00:00:00Z'
    await expect(fleet.as().tasks.waiting({ since })).rejects.toMatchObject({ code: 'OUT_OF_RANGE' })
  })
})
