import { newTask } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import type { NewTask } from './new-task.ts'
import { parseNewTask } from './new-task.ts'

const db = useDatabase()
const open = (): Fleet => new Fleet(db.database)
const tasksOf = (queue: string, count: number, over: Partial<NewTask> = {}): NewTask[] =>
  Array.from({ length: count }, () => newTask({ queue, ...over }))
const stored = (fleet: Fleet, queue: string): Promise<number> => fleet.tasks.countDocuments({ queue })
const FULL = { code: 'QUEUE_FULL', field: 'queue' }

describe('a queue with a limit of waiting tasks', () => {
  test('rejects tasks when full, and accepts them again when some have left', async () => {
    const [fleet, other] = [open(), open()]
    await fleet.queues.setLimits('few', { maxWaiting: 3 }, 'test')
    await other.store.enqueue(tasksOf('few', 2))
    const [third] = await fleet.store.enqueue(tasksOf('few', 1))
    await expect(fleet.store.enqueue(tasksOf('few', 1))).rejects.toMatchObject(FULL)
    await expect(fleet.control().enqueue({ name: 'test', queue: 'few' })).rejects.toMatchObject(FULL)
    expect(await stored(fleet, 'few')).toBe(3)
    await fleet.store.enqueue(tasksOf('elsewhere', 5))
    await fleet.store.cancel(third!._id, 'test')
    // The process notices it within a second.
    await expect.poll(() => fleet.store.enqueue(tasksOf('few', 1))).toHaveLength(1)
    await expect(fleet.store.enqueue(tasksOf('few', 1))).rejects.toMatchObject(FULL)
  })

  test('counts paused and blocked tasks as waiting, but not running or ended ones', async () => {
    const fleet = open()
    await fleet.queues.setLimits('held', { maxWaiting: 3 }, 'test')
    const [first, second, third] = await fleet.store.enqueue(tasksOf('held', 3))
    await fleet.store.pause(first!._id, 'test')
    await expect(fleet.store.enqueue(tasksOf('held', 1, { after: second!._id }))).rejects.toMatchObject(FULL)
    await fleet.store.claim([second!._id], { worker: 'w', host: 'h' })
    await fleet.store.cancel(third!._id, 'test')
    await open().store.enqueue(tasksOf('held', 2, { after: second!._id }))
    await expect(open().store.enqueue(tasksOf('held', 1))).rejects.toMatchObject(FULL)
  })

  test('is exact for one process, with any number of requests at the same time', async () => {
    const fleet = open()
    await fleet.queues.setLimits('crowd', { maxWaiting: 10 }, 'test')
    const asked = await Promise.allSettled(Array.from({ length: 40 }, () => fleet.store.enqueue(tasksOf('crowd', 1))))
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(10)
    expect(await stored(fleet, 'crowd')).toBe(10)
  })

  test('admits tasks of one request all or none', async () => {
    const fleet = open()
    await fleet.queues.setLimits('batch', { maxWaiting: 5 }, 'test')
    await expect(fleet.store.enqueue([...tasksOf('batch', 6), ...tasksOf('other', 1)])).rejects.toMatchObject(FULL)
    expect([await stored(fleet, 'batch'), await stored(fleet, 'other')]).toEqual([0, 0])
    await fleet.store.enqueue([...tasksOf('batch', 5), ...tasksOf('other', 1)])
    expect([await stored(fleet, 'batch'), await stored(fleet, 'other')]).toEqual([5, 1])
  })

  test('accepts repeated and keyed requests for existing tasks, and does not change a throttle when it rejects', async () => {
    const fleet = open()
    await fleet.queues.setLimits('again', { maxWaiting: 2 }, 'test')
    const keyed = { ...newTask({ queue: 'again' }), key: 'k1', keyPolicy: 'return' as const }
    const throttled = parseNewTask({ name: 'test', queue: 'again', key: 't1', throttle: '1m' })
    const [first] = await fleet.store.enqueue([keyed])
    const [second] = await fleet.store.enqueue([throttled])
    expect(await fleet.store.enqueue([keyed])).toMatchObject([{ _id: first!._id }])
    const same = { ...keyed, _id: newTask()._id }
    expect(await fleet.store.enqueue([same])).toMatchObject([{ _id: first!._id }])
    const within = parseNewTask({ name: 'test', queue: 'again', key: 't1', throttle: '1m' })
    expect(await fleet.store.enqueue([within])).toMatchObject([{ _id: second!._id }])
    const another = parseNewTask({ name: 'test', queue: 'again', key: 't2', throttle: '1m' })
    await expect(fleet.store.enqueue([another])).rejects.toMatchObject(FULL)
    expect(await db.database.db.collection<{ _id: string }>('throttles').findOne({ _id: 'test\nt2' })).toBeNull()
    expect(await stored(fleet, 'again')).toBe(2)
  })

  test('stores neither the event nor its tasks, nor any replay, when it is full', async () => {
    const fleet = open()
    const events = fleet.eventsFor()
    await fleet.queues.setLimits('sums', { maxWaiting: 1 }, 'test')
    await events.createCallback({ event: 'Sum', task: 'test', defaults: { queue: 'sums' } })
    const first = await events.post({ name: 'Sum' })
    await expect(events.post({ name: 'Sum' })).rejects.toMatchObject(FULL)
    expect(await db.database.db.collection('events').countDocuments({ name: 'Sum' })).toBe(1)
    expect(await stored(fleet, 'sums')).toBe(1)
    const id = first.tasks[0]!
    await fleet.control().cancel({ id })
    // Another process has no counts yet.
    const elsewhere = open()
    await elsewhere.store.enqueue(tasksOf('sums', 1))
    const answer = await elsewhere.control().replay({ id })
    expect(answer).toMatchObject({ changed: 0, refused: [{ id, error: { code: 'QUEUE_FULL' } }], tasks: [] })
  })

  test.each([0, -1, 1.5, 100_000_001, '5' as never])('a limit of %j is refused', async (maxWaiting) => {
    await expect(open().queues.setLimits('q', { maxWaiting }, 'test')).rejects.toMatchObject({
      code: 'OUT_OF_RANGE',
      field: 'maxWaiting',
    })
  })

  test('removing a limit restores the default, and other settings stay', async () => {
    const fleet = open()
    await fleet.queues.setLimits('both', { maxWaiting: 1, concurrency: 2 }, 'test')
    const changed = await fleet.queues.setLimits('both', { maxWaiting: null }, 'test')
    expect(changed).toMatchObject({ concurrency: 2, paused: false, rev: 2 })
    expect(changed.maxWaiting).toBeUndefined()
    await fleet.store.enqueue(tasksOf('both', 3))
  })
})
