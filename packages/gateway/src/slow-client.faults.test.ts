import { connect, HeldRows, ownQueue, startGateway, stopReading } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()

test('a client whose end of the wire is stopped costs no more than the backlog that it is allowed', async () => {
  const queue = ownQueue()
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!)
  const other = await connect(fleet, gateway.url!)
  const big = 'x'.repeat(200_000)
  const make = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, n) => fleet.post([], { queue, label: `${n} ${big}` })))
  const query = { filter: { queue }, sort: { _id: 1 }, fields: ['input', 'status'], limit: 200 }
  const [held, reading] = [await HeldRows.open(socket, query), await HeldRows.open(other, query)]
  const resume = stopReading(socket)
  for (let round = 0; round < 20; round += 1) {
    await make(4)
    await eventually(() => reading.rows.length === (round + 1) * 4)
  }
  resume()
  await eventually(() => held.resets > 0 && held.rows.length === 80)
  await make(2)
  await eventually(() => held.rows.length === 82)
  expect(held.rows.map(({ _id }) => _id)).toEqual(reading.rows.map(({ _id }) => _id))
})
