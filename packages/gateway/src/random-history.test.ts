import { runRandomHistory } from '@taskfleet/testkit/fleet/random-history'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'

const held = useDatabase()

test('clients that connect and disconnect have the rows of the database, also when a gateway is killed', async () => {
  const seed = Date.now() % 2 ** 31
  const { wrong, left, faults } = await runRandomHistory({
    mongo: held.uri,
    seed,
    seconds: 5,
    clients: 12,
    near: 1,
    far: 1,
    writers: 2,
  })
  expect(wrong, `seed ${seed}`).toEqual([])
  expect(left).toEqual({ connections: 0, rooms: 0, views: 0 })
  expect(faults['gateway killed']).toBeGreaterThan(0)
})
