import type { TaskDocument } from '@taskfleet/core'
import { type FleetStats, hasEnded } from '@taskfleet/protocol'
import { ask, asked, codeOf, connect, HeldRows, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { testReport } from '@taskfleet/testkit/test-session'
import { describe, expect, test } from 'vitest'

const fleet = useFleet()

/** What an aggregation over the collection says now. */
async function counted(filter: object): Promise<Record<string, number>> {
  const groups = await fleet.fleet.tasks
    .aggregate<{ _id: string; count: number }>([{ $match: filter }, { $group: { _id: '$status', count: { $sum: 1 } } }])
    .toArray()
  return Object.fromEntries(groups.map(({ _id, count }) => [_id, count]))
}

const shown = (stats: FleetStats): Record<string, number> =>
  Object.fromEntries(Object.entries(stats.byStatus).filter(([, count]) => count > 0))

describe('statistics', () => {
  test('are right at once, follow every change, and agree with an aggregation at rest', async () => {
    const queue = ownQueue()
    await fleet.runner({ queue })
    const before = await Promise.all([
      ...Array.from({ length: 6 }, () => fleet.post([], { queue })),
      fleet.post([{ do: 'fail', fatal: true }], { queue }),
    ])
    await Promise.all(before.map(({ _id }) => fleet.ended(_id)))
    // A gateway that has just started knows of what ended before.
    const gateway = await startGateway(fleet)
    const client = fleet.client(gateway.url!)
    const seen: FleetStats[] = []
    const live = await client.subscribeStats({ filter: { queue } }, (stats) => seen.push(stats))
    expect(shown(live.stats)).toEqual({ completed: 6, failed: 1 })
    expect(live.stats.byQueue).toEqual({ [queue]: { completed: 6, failed: 1 } })
    expect(live.stats.byName).toEqual({ scripted: { completed: 6, failed: 1 } })
    expect(live.stats.rates.completed).toBeGreaterThan(0)
    expect(live.stats.runMs).toMatchObject({ count: 7, p50: expect.any(Number), p99: expect.any(Number) })
    expect(live.stats.slots.reduce((sum, { completed }) => sum + completed, 0)).toBe(6)
    const later = new Date(Date.now() + 3_600_000)
    const waiting = await Promise.all(Array.from({ length: 4 }, () => fleet.post([], { queue, runAt: later })))
    await fleet.fleet.store.pause(waiting[0]!._id, 'test')
    await fleet.fleet.store.cancel(waiting[1]!._id, 'test')
    const more = await Promise.all(Array.from({ length: 5 }, () => fleet.post([{ do: 'sleep', ms: 5 }], { queue })))
    await Promise.all(more.map(({ _id }) => fleet.ended(_id)))
    await eventually(() => live.stats.byStatus.completed === 11)
    expect(shown(live.stats)).toEqual({ completed: 11, failed: 1, pending: 2, paused: 1, cancelled: 1 })
    // Whatever other programs do, and what can't be known from the feed alone.
    await fleet.fleet.store.rerun(before[6]!._id)
    await fleet.ended(before[6]!._id)
    await fleet.fleet.tasks.deleteMany({ _id: { $in: before.slice(0, 3).map(({ _id }) => _id) } })
    await fleet.fleet.tasks.updateMany({ _id: waiting[2]!._id }, { $set: { queue: 'elsewhere' }, $inc: { rev: 1 } })
    const wanted = await counted({ queue })
    await eventually(
      () => JSON.stringify(Object.entries(shown(live.stats)).sort()) === JSON.stringify(Object.entries(wanted).sort()),
    )
    expect(seen.length).toBeGreaterThan(2)
    await live.close()
    await eventually(() => gateway.load.rooms === 0)
  })

  test('are shared by identical queries, and limited to what a key may see', async () => {
    const [mine, other] = [ownQueue(), ownQueue()]
    await fleet.post([], { queue: mine })
    await fleet.post([], { queue: other })
    const { KeyStore } = await import('@taskfleet/core')
    const { id, token } = await new KeyStore(fleet.database.db).create({
      name: 'limited',
      scopes: ['read'],
      queues: [mine],
    })
    const gateway = await startGateway(fleet)
    const sockets = [await connect(fleet, gateway.url!, token), await connect(fleet, gateway.url!, token)]
    const answers = await Promise.all(
      sockets.map((socket) => asked<{ subscription: string; stats: FleetStats }>(socket, 'subscribeStats', {})),
    )
    expect(answers[0]!.subscription).toBe(answers[1]!.subscription)
    expect(answers[0]!.stats.byQueue).toEqual({ [mine]: { pending: 1 } })
    expect(codeOf(await ask(sockets[0]!, 'subscribeStats', { filter: { $where: '1' } }))).toBe('BAD_FILTER')
    await asked(sockets[0]!, 'unsubscribeQuery', { subscription: answers[0]!.subscription })
    expect(gateway.load.rooms).toBe(1)
    await fleet.database.db.collection('keys').deleteOne({ _id: id as never })
  })

  test('go on after a lost connection', async () => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const { startProxy } = await import('@taskfleet/testkit/fleet/test-sockets')
    const proxy = await startProxy(fleet, gateway.url!)
    const client = fleet.client(proxy.url)
    const live = await client.subscribeStats({ filter: { queue } }, () => undefined)
    proxy.cut()
    const task: TaskDocument = await fleet.post([], { queue })
    await eventually(() => live.stats.byStatus.pending === 1)
    await fleet.fleet.store.cancel(task._id, 'test')
    await eventually(() => live.stats.byStatus.cancelled === 1 && hasEnded('cancelled'))
  })
})

test('a checksum verifies the rows of a client', async () => {
  const queue = ownQueue()
  await Promise.all(Array.from({ length: 5 }, () => fleet.post([], { queue })))
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!)
  const held = await HeldRows.open(socket, { filter: { queue }, sort: { _id: 1 } })
  const { rowsChecksum } = await import('@taskfleet/core')
  const proof = await asked<{ seq: number; checksum: string; count: number }>(socket, 'checksumQuery', {
    subscription: held.subscription,
  })
  expect(proof).toMatchObject({ epoch: held.epoch, seq: held.seq, count: 5, checksum: rowsChecksum(held.rows) })
  await fleet.fleet.store.cancel((await fleet.fleet.tasks.findOne({ queue }))!._id, 'test')
  await eventually(() => held.deltas > 0)
  const after = await asked<{ seq: number; checksum: string }>(socket, 'checksumQuery', {
    subscription: held.subscription,
  })
  expect(after).toMatchObject({ seq: held.seq, checksum: rowsChecksum(held.rows) })
  expect(after.checksum).not.toBe(proof.checksum)
  expect(codeOf(await ask(socket, 'checksumQuery', { subscription: 'q_other' }))).toBe('NOT_FOUND')
})

test('a client that does not read gets no more, and the current rows when it reads again', async () => {
  const queue = ownQueue()
  const behind = new Set<string>()
  const gateway = await startGateway(fleet, { isBehind: ({ id }) => behind.has(id) })
  const socket = await connect(fleet, gateway.url!)
  const other = await connect(fleet, gateway.url!)
  const query = { filter: { queue }, sort: { _id: 1 } }
  const [held, reading] = [await HeldRows.open(socket, query), await HeldRows.open(other, query)]
  await fleet.post([], { queue })
  await eventually(() => reading.rows.length === 1 && held.rows.length === 1)
  behind.add(socket.id!)
  await fleet.post([], { queue })
  await fleet.post([], { queue })
  await eventually(() => reading.rows.length === 3)
  expect(held.rows).toHaveLength(1)
  behind.clear()
  await eventually(() => held.resets === 1 && held.rows.length === 3)
  await fleet.post([], { queue })
  await eventually(() => held.rows.length === 4)
  expect(held.rows.map(({ _id }) => _id)).toEqual(reading.rows.map(({ _id }) => _id))
})

test('a worker that dies is shown as dead within its lease, and as alive when it comes back', async () => {
  const gateway = await startGateway(fleet)
  const watching = await fleet.runner({ queue: ownQueue() })
  const client = fleet.client(gateway.url!)
  const live = await client.subscribe(
    { collection: 'workers', filter: { state: { $in: ['running', 'dead'] } } },
    () => undefined,
  )
  const report = testReport({ name: 'dying', leaseMs: 600, heartbeatMs: 200 })
  await fleet.fleet.workers.beat('dying', report)
  await eventually(() => live.rows.some(({ _id, state }) => _id === 'dying' && state === 'running'))
  await eventually(() => live.rows.some(({ _id, state }) => _id === 'dying' && state === 'dead'))
  // Its session is over for good: a worker that comes back says so under another one.
  expect(await fleet.fleet.workers.beat('dying', report)).toBeNull()
  await fleet.fleet.workers.beat('living', report)
  await eventually(() => live.rows.some(({ _id, state }) => _id === 'living' && state === 'running'))
  expect(live.rows.find(({ _id }) => _id === watching.id)?.state).toBe('running')
})
