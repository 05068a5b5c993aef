import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FakeFleet } from '../testing/fake-fleet.ts'
import { aTask, aWorker } from '../testing/rows.ts'
import { FleetStore, queryKey } from './fleet-store.ts'
import { RUNNING, WORKERS } from './queries.ts'

let fleet: FakeFleet
let store: FleetStore

beforeEach(() => {
  vi.useFakeTimers()
  fleet = new FakeFleet()
  store = new FleetStore(fleet, { lingerMs: 1_000, frameMs: 10, watchLimit: 2, retryMs: 500 })
})
afterEach(() => {
  store.close()
  vi.useRealTimers()
})
const settle = (ms = 20) => vi.advanceTimersByTimeAsync(ms)
const nothing = () => {}

describe('subscriptions', () => {
  it('asks once for identical queries, however their fields are ordered', async () => {
    const a = store.rows({ filter: { status: 'running', name: 'x' }, fields: ['name', 'status'] }).subscribe(nothing)
    const b = store.rows({ filter: { name: 'x', status: 'running' }, fields: ['status', 'name'] }).subscribe(nothing)
    await settle()
    expect(fleet.subscriptions.size).toBe(1)
    a()
    b()
    await settle(1_100)
    expect(fleet.subscriptions.size).toBe(0)
  })

  it('keeps a subscription for the next page that asks the same shortly after', async () => {
    const undo = store.rows(RUNNING).subscribe(nothing)
    await settle()
    undo()
    await settle(500)
    store.rows(RUNNING).subscribe(nothing)
    await settle(5_000)
    expect(fleet.subscriptions.size).toBe(1)
  })

  it('closes a subscription that was given up before its answer came', async () => {
    const slow = new FleetStore(fleet, { lingerMs: 0, frameMs: 1 })
    slow.rows(RUNNING).subscribe(nothing)()
    await settle()
    expect(fleet.subscriptions.size).toBe(0)
  })

  it('tells of rows and of their age with the connection', async () => {
    const told = vi.fn()
    const rows = store.rows(RUNNING)
    rows.subscribe(told)
    expect(rows.get()).toMatchObject({ loaded: false, live: false })
    await settle()
    expect(rows.get()).toMatchObject({ loaded: true, live: true, rows: [] })
    fleet.put(aTask.running())
    await settle()
    expect(rows.get().rows).toHaveLength(1)
    fleet.setState('reconnecting')
    await settle()
    expect(rows.get()).toMatchObject({ live: false, rows: [{ status: 'running' }] })
    expect(told.mock.calls.length).toBeGreaterThanOrEqual(3)
  })

  it('shows why a query was refused and asks again after a reconnection', async () => {
    fleet.refuseNext = { code: 'FILTER_NOT_ALLOWED', message: 'The operator $where is not allowed.' }
    const rows = store.rows(RUNNING)
    rows.subscribe(nothing)
    await settle()
    expect(rows.get().error).toMatchObject({ code: 'FILTER_NOT_ALLOWED' })
    fleet.setState('reconnecting')
    fleet.setState('live')
    await settle()
    expect(rows.get()).toMatchObject({ error: undefined, loaded: true })
  })

  it('asks again by itself for what may pass, at once when it is told to, and for nothing that nobody looks at', async () => {
    const asked = vi.spyOn(fleet, 'subscribe').mockImplementation(() => {
      return Promise.reject(Object.assign(new Error('too many'), { code: 'TOO_MANY_SUBSCRIPTIONS' }))
    })
    const rows = store.rows(RUNNING)
    const undo = rows.subscribe(nothing)
    await settle()
    expect(rows.get()).toMatchObject({ error: { code: 'TOO_MANY_SUBSCRIPTIONS' }, again: expect.any(Function) })
    // At 0, about 1, 3 and 7 s.
    await settle(8_000)
    expect(asked).toHaveBeenCalledTimes(4)
    rows.get().again?.()
    await settle()
    expect(asked).toHaveBeenCalledTimes(5)
    undo()
    await settle(60_000)
    expect(asked).toHaveBeenCalledTimes(5)
    asked.mockRestore()
    rows.subscribe(nothing)
    await settle()
    expect(rows.get()).toMatchObject({ loaded: true, error: undefined, again: undefined })
  })

  it('asks again by hand for what is refused for good', async () => {
    fleet.refuseNext = { code: 'BAD_FILTER', message: 'no' }
    const rows = store.rows(RUNNING)
    rows.subscribe(nothing)
    await settle(60_000)
    expect(rows.get().error).toMatchObject({ code: 'BAD_FILTER' })
    rows.get().again?.()
    await settle()
    expect(rows.get()).toMatchObject({ loaded: true, error: undefined })
  })

  it('tells sort orders apart', () => {
    expect(queryKey({ sort: { a: 1, b: 1 } })).not.toBe(queryKey({ sort: { b: 1, a: 1 } }))
    expect(queryKey(WORKERS)).not.toBe(queryKey({ ...WORKERS, collection: 'tasks' }))
  })
})

describe('statistics', () => {
  it('are subscribed once for each filter, however its fields are ordered', async () => {
    const undos = [
      store.stats().subscribe(nothing),
      store.stats({}).subscribe(nothing),
      store.stats({ queue: 'a', name: 'b' }).subscribe(nothing),
      store.stats({ name: 'b', queue: 'a' }).subscribe(nothing),
    ]
    await settle()
    expect(fleet.figures.size).toBe(2)
    for (const undo of undos) undo()
    await settle(500)
    store.stats().subscribe(nothing)
    await settle(5_000)
    expect(fleet.figures.size).toBe(1)
  })

  it('follow every change, and say when they may be old', async () => {
    const stats = store.stats({ queue: 'default' })
    const told = vi.fn()
    stats.subscribe(told)
    expect(stats.get()).toMatchObject({ stats: undefined, loaded: false })
    await settle()
    const { _id } = fleet.put(aTask.running())
    fleet.put(aTask.pending({ queue: 'other' }))
    await settle()
    expect(stats.get()).toMatchObject({ live: true, stats: { byStatus: { running: 1, pending: 0 } } })
    fleet.setState('reconnecting')
    fleet.end(_id, { status: 'completed' })
    await settle()
    expect(stats.get()).toMatchObject({ live: false, stats: { byStatus: { running: 1 } } })
    fleet.setState('live')
    await settle()
    expect(stats.get()).toMatchObject({ live: true, stats: { byStatus: { running: 0, completed: 1 } } })
  })

  it('show why they were refused', async () => {
    fleet.refuseNext = { code: 'FORBIDDEN', message: 'no' }
    const stats = store.stats()
    stats.subscribe(nothing)
    await settle()
    expect(stats.get()).toMatchObject({ stats: undefined, error: { code: 'FORBIDDEN' } })
  })
})

describe('watches', () => {
  it('shares one socket between all who look at a task and closes it after the last has left', async () => {
    const { _id } = fleet.put(aTask.running())
    const one = store.watch(_id)
    const two = store.watch(_id)
    await settle()
    expect(fleet.watchesOpened).toBe(1)
    one()
    one()
    await settle(3_000)
    expect(fleet.watches.size).toBe(1)
    two()
    await settle(500)
    expect(fleet.watches.size).toBe(1)
    await settle(600)
    expect(fleet.watches.size).toBe(0)
    expect(store.task(_id).get().source).toBeUndefined()
  })

  it('reopens nothing when a row scrolls out and back in', async () => {
    const { _id } = fleet.put(aTask.running())
    store.watch(_id)()
    await settle(300)
    store.watch(_id)
    await settle(3_000)
    expect(fleet.watchesOpened).toBe(1)
    expect(fleet.watches.size).toBe(1)
  })

  it('opens no more than its limit and gives a freed place to the next in line', async () => {
    const [a, b, c] = [fleet.put(aTask.running()), fleet.put(aTask.running()), fleet.put(aTask.running())]
    const undo = store.watch(a._id)
    store.watch(b._id)
    store.watch(c._id)
    await settle()
    expect([...fleet.watches].map(({ id }) => id)).toEqual([a._id, b._id])
    undo()
    await settle(1_100)
    expect([...fleet.watches].map(({ id }) => id)).toEqual([b._id, c._id])
  })

  it('tries again where a watch could not be opened', async () => {
    const task = aTask.running()
    store.watch(task._id)
    await settle()
    expect(fleet.watches.size).toBe(0)
    fleet.put(task)
    await settle(600)
    expect(fleet.watches.size).toBe(1)
  })

  it('takes progress from the socket and from the document, whichever is newer', async () => {
    const { _id } = fleet.put(
      aTask.running({ progress: { done: 1, total: 100, at: new Date(Date.now() - 5_000).toISOString() } }),
    )
    store.rows(RUNNING).subscribe(nothing)
    const detail = store.task(_id)
    detail.subscribe(nothing)
    await settle()
    expect(detail.get().progress?.done).toBe(1)
    store.watch(_id)
    await settle()
    fleet.report(_id, { done: 50, total: 100 })
    await settle()
    expect(detail.get()).toMatchObject({ progress: { done: 50 }, source: { state: 'live' } })
    fleet.patch(_id, { priority: 9 })
    await settle()
    expect(detail.get().progress?.done).toBe(50)
  })

  it('goes on with the next attempt and keeps its rate', async () => {
    const { _id } = fleet.put(aTask.running({ progress: { done: 0, total: 1_000, at: new Date().toISOString() } }))
    store.rows(RUNNING).subscribe(nothing)
    await settle()
    await settle(1_000)
    fleet.report(_id, { done: 100, total: 1_000 }, { checkpoint: true })
    await settle()
    expect(store.rate(_id)).toBeGreaterThan(90)
    fleet.patch(_id, {
      attempt: 2,
      progress: { done: 100, total: 1_000, at: new Date(Date.now() - 60_000).toISOString() },
    })
    await settle()
    expect(store.task(_id).get().progress?.done).toBe(100)
    expect(store.rate(_id)).toBeGreaterThan(90)
  })

  it('keeps log lines once, in order, and the newest thousand', async () => {
    const { _id } = fleet.put(aTask.running())
    fleet.log(_id, 'info', 'first')
    store.watch(_id)
    await settle()
    for (let i = 0; i < 1_100; i++) fleet.log(_id, 'info', `line ${i}`)
    await settle()
    const { log } = store.task(_id).get()
    expect(log).toHaveLength(1_000)
    expect(log.at(-1)?.message).toBe('line 1099')
  })
})

describe('clock', () => {
  it('is the server’s: an hour off is corrected', () => {
    fleet.clockOffset = 3_600_000
    expect(store.now() - Date.now()).toBe(3_600_000)
  })

  it('ticks only while somebody listens', async () => {
    const told = vi.fn()
    const undo = store.clock.subscribe(told)
    await settle(2_100)
    undo()
    await settle(5_000)
    expect(told).toHaveBeenCalledTimes(2)
  })
})

describe('connection', () => {
  it('tells every state with its error', () => {
    const told = vi.fn()
    store.connection.subscribe(told)
    fleet.setState('refused', { code: 'UNAUTHENTICATED', message: 'The key is not known.' })
    expect(store.connection.get()).toMatchObject({ state: 'refused', error: { code: 'UNAUTHENTICATED' } })
    expect(told).toHaveBeenCalledTimes(1)
  })

  it('closes everything', async () => {
    fleet.putWorker(aWorker())
    store.rows(WORKERS).subscribe(nothing)
    store.stats().subscribe(nothing)
    await settle()
    store.close()
    await settle()
    expect(fleet.figures.size).toBe(0)
    expect(fleet.subscriptions.size).toBe(0)
    expect(fleet.state).toBe('closed')
  })
})
