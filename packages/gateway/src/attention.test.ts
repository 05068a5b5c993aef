import { KeyStore } from '@taskfleet/core'
import { AttentionCommands } from '@taskfleet/core/internal'
import { type AttentionRow, type AttentionRows, FleetError } from '@taskfleet/protocol'
import { asked, connect, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test, vi } from 'vitest'

const fleet = useFleet()

const queues = (rows: readonly AttentionRow[]) => rows.map(({ queue }) => queue)

test('what needs somebody is sent at once and when it changes, within the reach of a key', async () => {
  const [mine, other, later] = [ownQueue(), ownQueue(), ownQueue()]
  const task = await fleet.post([], { queue: mine })
  await fleet.post([], { queue: other })
  const { token } = await new KeyStore(fleet.database.db).create({
    name: 'one',
    scopes: ['read'],
    queues: [mine, later],
  })
  const all = await new KeyStore(fleet.database.db).create({ name: 'all', scopes: ['read'] })
  const gateway = await startGateway(fleet)
  const sockets = [await connect(fleet, gateway.url!, token), await connect(fleet, gateway.url!, token)]
  const [one, same] = await Promise.all(sockets.map((socket) => asked<AttentionRows>(socket, 'subscribeAttention', {})))
  expect(one!.subscription).toBe(same!.subscription)
  expect(queues(one!.rows)).toEqual([mine])
  expect(gateway.load.rooms).toBe(1)
  const seen: (readonly AttentionRow[])[] = []
  const live = await fleet.client(gateway.url!, { token: all.token }).subscribeAttention((rows) => seen.push(rows))
  expect(queues(live.rows)).toEqual(expect.arrayContaining([mine, other]))
  await fleet.fleet.store.cancel(task._id, 'test')
  await fleet.post([], { queue: later })
  await eventually(() => !queues(live.rows).includes(mine) && queues(live.rows).includes(later))
  expect(seen.length).toBeGreaterThan(1)
  await live.close()
  for (const socket of sockets) socket.close()
  await eventually(() => gateway.load.rooms === 0 && gateway.load.views === 0)
  await fleet.database.db.collection('keys').deleteMany({})
})

test('watchers get an error when it can not be read, and the rows again after that', async () => {
  const gateway = await startGateway(fleet)
  const told: [rows: number, code: string | undefined][] = []
  const live = await fleet
    .client(gateway.url!)
    .subscribeAttention((rows, error) => told.push([rows.length, error?.code]))
  const read = vi.spyOn(AttentionCommands.prototype, 'read')
  read.mockRejectedValueOnce(new FleetError('QUERY_TOO_SLOW', 'too slow'))
  await eventually(() => told.at(-1)?.[1] === 'QUERY_TOO_SLOW')
  expect(told.at(-1)?.[0]).toBe(told.at(-2)?.[0])
  await fleet.post([], { queue: ownQueue() })
  await eventually(() => told.at(-1)?.[1] === undefined)
  read.mockRestore()
  await live.close()
})
