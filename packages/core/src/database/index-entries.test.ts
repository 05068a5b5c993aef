import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import type { NewTask } from '../task/new-task.ts'
import type { TaskDocument } from '../task/task-document.ts'
import { type IndexEntry, indexEntries, isWildcard } from './index-entries.ts'
import { INDEXES } from './indexes.ts'

const held = useDatabase()
const CLAIMANT = { worker: 'w', host: 'h' }
/** The most entries that the life of a plain task may write: with each index there is one more B-tree to write in each step. */
const MOST = 12

const same = (one: IndexEntry) => (other: IndexEntry) => JSON.stringify(one) === JSON.stringify(other)
/** How many entries a write adds and removes. */
const written = (before: IndexEntry[], after: IndexEntry[]): number =>
  after.filter((one) => !before.some(same(one))).length + before.filter((one) => !after.some(same(one))).length

/** The task after each step of its life. */
async function phasesOf(fleet: Fleet, asked: Partial<NewTask>, renewals = 0): Promise<TaskDocument[]> {
  const phases: TaskDocument[] = []
  const seen = async (): Promise<TaskDocument> => {
    phases.push((await fleet.store.find(phases[0]?._id ?? task!._id))!)
    return phases.at(-1)!
  }
  const [task] = await fleet.store.enqueue([newTask(asked)])
  await seen()
  const [claim] = await fleet.store.claim([task!._id], CLAIMANT)
  await seen()
  for (let n = 0; n < renewals; n += 1) {
    await fleet.store.report([
      { id: task!._id, leaseId: claim!.leaseId, progress: { data: { n }, at: new Date() } as never },
    ])
    await seen()
  }
  await fleet.store.settle(claim!, { verb: 'complete', output: null })
  await seen()
  return phases
}

test('the life of a plain task writes at most 12 index entries', async () => {
  const phases = (await phasesOf(new Fleet(held.database), {})).map(indexEntries)
  const steps = [...phases, []].map((entries, n) => written(phases[n - 1] ?? [], entries))
  expect(phases.map((entries) => entries.map(({ index }) => index))).toEqual([
    ['_id', 'waiting', 'due'],
    ['_id', 'running_tasks'],
    ['_id', 'ended', 'expiry'],
  ])
  expect(steps).toEqual([3, 3, 3, 3])
  expect(steps.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(MOST)
})

test('reports of progress write no index entry', async () => {
  const phases = (await phasesOf(new Fleet(held.database), {}, 2)).map(indexEntries)
  expect(phases.slice(1, 4).map((entries) => written(phases[1]!, entries))).toEqual([0, 0, 0])
})

test('a task with a key pays for the index of keys only while it is open', async () => {
  const phases = await phasesOf(new Fleet(held.database), { key: 'once' })
  const has = phases.map((task) => indexEntries(task).some(({ index }) => index === 'open_key_in_queue'))
  expect(has).toEqual([true, true, false])
})

test('no index of tasks holds an entry for each task', () => {
  const whole = INDEXES.filter(
    ({ collection, key, sparse, partialFilterExpression }) =>
      collection === 'tasks' && sparse !== true && partialFilterExpression === undefined && !isWildcard(key),
  )
  expect(whole).toEqual([])
})

test('a task has an entry for each label while it is stored, and one without labels has none', async () => {
  const phases = await phasesOf(new Fleet(held.database), { labels: { customer: 'cus_1003', kind: 'pdf' } })
  const labels = phases.map((task) => indexEntries(task).filter(({ index }) => index === 'labels'))
  expect(labels).toEqual(
    phases.map(() => ['customer', 'kind'].map((name) => ({ index: 'labels', values: [name, expect.any(String)] }))),
  )
})
