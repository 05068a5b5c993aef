import { connect, HeldRows, ownQueue, startGateway, stopReading } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()

test('a client that stops reading costs no more than its allowed backlog', async () => {
  const queue = ownQueue()
  const gateway = await startGateway(fleet)
  const parts = { parts: true }
  const socket = await connect(fleet, gateway.url!, undefined, parts)
  const other = await connect(fleet, gateway.url!, undefined, parts)
  const big = 'x'.repeat(150_000)
  const tasks = await Promise.all(Array.from({ length: 20 }, () => fleet.post([], { queue })))
  const edit = (round: number) => {
    const four = tasks.slice((round % 5) * 4, (round % 5) * 4 + 4)
    return Promise.all(
      four.map(({ _id }) =>
        fleet.fleet
          .as()
          .tasks.edit({ id: _id.toHexString(), changes: { input: { steps: [], label: `${round} ${big}` } } }),
      ),
    )
  }
  const query = { filter: { queue }, sort: { _id: 1 }, fields: ['input', 'status'], limit: 200 }
  const [held, reading] = [await HeldRows.open(socket, query), await HeldRows.open(other, query)]
  const seen = (rows: HeldRows, round: number): number =>
    rows.rows.filter(({ input }) => (input as { label?: string }).label?.startsWith(`${round} `)).length
  const resume = stopReading(socket)
  // More than the buffers between the two hold.
  const rounds = 40
  for (let round = 0; round < rounds; round += 1) {
    await edit(round)
    await eventually(() => seen(reading, round) === 4)
  }
  resume()
  await eventually(() => held.resets > 0 && seen(held, rounds - 1) === 4)
  await edit(rounds)
  await eventually(() => seen(held, rounds) === 4)
  expect(held.rows).toEqual(reading.rows)
})
