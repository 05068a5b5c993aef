import { toRow } from '@taskfleet/core/internal'
import { rowsChecksum, type TaskRow } from '@taskfleet/protocol'
import { ForeignClient, foreignPython } from '@taskfleet/testkit/fleet/foreign-client'
import { ownQueue, startGateway, startProxy } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { beforeAll, describe, expect, test } from 'vitest'

const INSTALL_MS = 180_000

describe('a client in Python, written from docs/protocol.md', () => {
  const fleet = useFleet()
  let found: Awaited<ReturnType<typeof foreignPython>>
  beforeAll(async () => {
    found = await foreignPython()
    if ('missing' in found) console.warn(`The client in Python is not tried: ${found.missing}`)
  }, INSTALL_MS)

  /** The query that the client follows, asked of the database itself. */
  const atRest = async (queue: string): Promise<TaskRow[]> => {
    const tasks = fleet.database.db.collection('tasks')
    const matching = tasks.find({ queue, status: { $in: ['pending', 'paused'] } })
    const docs = await matching.sort({ priority: -1, _id: 1 }).limit(5).toArray()
    return docs.map((doc) => toRow<TaskRow>('tasks', doc))
  }
  const query = (queue: string): object => ({
    filter: { queue, status: { $in: ['pending', 'paused'] } },
    sort: { priority: -1 },
    limit: 5,
  })
  const start = (url: string, asked: object): ForeignClient => {
    const client = new ForeignClient((found as { python: string }).python, url, asked)
    fleet.cleanup(() => client.stop())
    return client
  }
  /** Resolves when the client holds what the database holds. */
  const agrees = async (client: ForeignClient, queue: string): Promise<void> => {
    await eventually(async () => {
      await client.heard(() => true)
      return JSON.stringify(client.now?.rows) === JSON.stringify(await atRest(queue))
    })
  }

  test('has the rows of the database, and can verify it', async ({ skip }) => {
    if ('missing' in found) skip(found.missing)
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const control = fleet.fleet.control()
    await fleet.post([], { queue, priority: 4 })
    const client = start(gateway.url!, query(queue))
    await client.heard(({ why }) => why === 'snapshot')
    const posted = []
    for (const priority of [3, 9, 5, 1, 7, 7, 2]) posted.push(await fleet.post([], { queue, priority }))
    await agrees(client, queue)
    expect(client.now?.rows.map(({ priority }) => priority)).toEqual([9, 7, 7, 5, 4])
    const ids = posted.map(({ _id }) => _id.toHexString())
    // One leaves from the middle of the window, one moves within it, one enters from beyond its edge.
    await control.cancel({ id: ids[4]! })
    await control.reprioritise({ id: ids[1]!, priority: 6 })
    await control.pause({ id: ids[2]! })
    await control.reprioritise({ id: ids[3]!, priority: 10 })
    await agrees(client, queue)
    expect(client.now?.rows.map(({ priority, status }) => [priority, status])).toEqual([
      [10, 'pending'],
      [7, 'pending'],
      [6, 'pending'],
      [5, 'paused'],
      [4, 'pending'],
    ])
    expect(client.now?.checksum).toBe(rowsChecksum(await atRest(queue)))
    const { gateway: theirs, ...own } = await client.compare()
    expect(theirs).toMatchObject({ ok: true, seq: own.seq, count: 5, checksum: own.checksum })
  })

  test('resumes after a lost connection without reading everything again', async ({ skip }) => {
    if ('missing' in found) skip(found.missing)
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const proxy = await startProxy(fleet, gateway.url!)
    const client = start(proxy.url, query(queue))
    await client.heard(({ why }) => why === 'snapshot')
    for (let round = 0; round < 3; round += 1) {
      const before = client.said.length
      proxy.cut()
      await fleet.post([], { queue, priority: round + 1 })
      await client.heard(({ why }) => why === 'replayed', before)
      await fleet.post([], { queue, priority: 9 - round })
      await agrees(client, queue)
    }
    expect(client.said.filter(({ why }) => why === 'snapshot')).toHaveLength(1)
    expect(client.now?.rows).toHaveLength(5)
  })

  test('gets the error of an invalid query', async ({ skip }) => {
    if ('missing' in found) skip(found.missing)
    const gateway = await startGateway(fleet)
    const client = start(gateway.url!, { filter: { $where: '1' } })
    const { error } = await client.heard(({ why }) => why === 'refused')
    expect(error).toMatchObject({ code: 'BAD_FILTER', field: 'filter.$where' })
  })
})
