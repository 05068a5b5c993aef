import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { beforeEach, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import type { TaskCount } from '../task/open-counts.ts'
import { dependsOnKept, KeptCounts } from './kept-counts.ts'
import { RollUps } from './roll-ups.ts'

const held = useDatabase()
const ALL = { filter: {}, sees: () => true }
const MINUTE_MS = 60_000
/** Not in the past, since the server removes old rows. */
const START = Math.ceil(Date.now() / MINUTE_MS) * MINUTE_MS
const said: Record<string, unknown>[] = []
const log = { info: (one: Record<string, unknown>) => said.push(one), warn: () => undefined } as never

beforeEach(async () => {
  for (const name of ['tasks', 'stats', 'settings']) await held.database.db.collection(name).deleteMany({})
  said.length = 0
})

/** Counts with a clock that the test sets, in a fleet whose history counts as large. */
function largeFleet() {
  const { db } = held.database
  const fleet = new Fleet(held.database)
  let minute = 0
  const clock = { now: () => new Date(START + minute * MINUTE_MS) }
  const rollUps = new RollUps(db, { clock })
  const counts = new KeptCounts({ db, tasks: fleet.tasks, clock, rollUps, log, fewTasks: 0 })
  return {
    fleet,
    counts,
    /** Some minutes pass. */
    pass: (minutes: number) => {
      minute += minutes
    },
    /** Stores ended tasks, and reports them as the process does that ends them. */
    end: async (count: number, task: Partial<Omit<TaskCount, 'count'>> = {}) => {
      const like = { queue: 'q', name: 'n', status: 'completed' as const, ...task }
      const ended = Array.from({ length: count }, () => ({ _id: newTask()._id, ...like, finishedAt: clock.now() }))
      await fleet.tasks.insertMany(ended as never)
      for (const { queue, name } of ended)
        rollUps.note({ queue, name, host: 'h', outcome: 'completed', status: like.status })
      await rollUps.flush()
    },
    total: async () => (await counts.ended(ALL)).counts.reduce((sum, { count }) => sum + count, 0),
  }
}

test('a small history is counted exactly', async () => {
  const fleet = new Fleet(held.database)
  await fleet.store.enqueue([newTask()])
  const { _id, queue, name } = (await fleet.store.enqueue([newTask()]))[0]!
  await fleet.store.cancel(_id, 'test')
  expect(await fleet.counts.ended(ALL)).toEqual({ counts: [{ status: 'cancelled', queue, name, count: 1 }] })
})

test('a large history is counted by an audit, and what ended since is added', async () => {
  const { counts, end, pass, total } = largeFleet()
  await end(3)
  pass(5)
  await counts.audit()
  await end(2)
  pass(3)
  await end(1)
  expect(await total()).toBe(6)
  pass(10)
  expect(await total()).toBe(6)
  expect(await counts.ended(ALL)).toMatchObject({ auditedAt: new Date(START + 4 * MINUTE_MS) })
  await counts.audit()
  expect(await total()).toBe(6)
  expect(said).toEqual([])
})

test('an audit corrects what was removed since, and says so', async () => {
  const { fleet, counts, end, pass, total } = largeFleet()
  await end(4)
  pass(5)
  await counts.audit()
  await fleet.tasks.deleteOne({})
  pass(15)
  expect(await total()).toBe(4)
  await counts.audit()
  expect(await total()).toBe(3)
  expect(said.splice(0)).toMatchObject([{ code: 'COUNTS_CORRECTED', drift: -1, total: 3 }])
})

test('a limited reader sees only its own counts', async () => {
  const { counts, end, pass } = largeFleet()
  await end(2)
  await end(1, { queue: 'secret' })
  await end(1, { status: 'failed' })
  pass(5)
  await counts.audit()
  await end(1, { queue: 'secret' })
  const mine = { filter: { queue: { $in: ['q'] } }, sees: ({ queue }: { queue: string }) => queue === 'q' }
  expect((await counts.ended(mine)).counts.sort((a, b) => b.count - a.count)).toEqual([
    { status: 'completed', queue: 'q', name: 'n', count: 2 },
    { status: 'failed', queue: 'q', name: 'n', count: 1 },
  ])
})

test('one process of the fleet audits at a time, and not again at once', async () => {
  const { counts } = largeFleet()
  const audited = await Promise.all([counts.auditIfDue(), counts.auditIfDue(), counts.auditIfDue()])
  expect(audited.filter(Boolean)).toHaveLength(1)
  expect(await counts.auditIfDue()).toBe(false)
})

test.each([
  [{}, true],
  [{ queue: 'q', $and: [{ name: { $in: ['n'] } }, { $or: [{ status: 'failed' }] }] }, true],
  [{ queue: 'q', 'input.file': 'x' }, false],
  [{ $and: [{ queue: 'q' }, { $nor: [{ priority: 1 }] }] }, false],
  [{ $expr: { $eq: ['$queue', 'q'] } }, false],
])('%j depends only on what is counted: %j', (filter, only) => {
  expect(dependsOnKept(filter)).toBe(only)
})
