import { expect, test } from 'vitest'
import { useFleet } from '../fleet/use-fleet.ts'
import { reconnectStorm } from './reconnect-storm.ts'

const fleet = useFleet()

test('fifty clients that lose their connections together get exact views back, and leave nothing behind', async () => {
  const { before, after, ...rest } = await reconnectStorm(fleet, { clients: 50, storms: 3 })
  expect(rest).toEqual({ wrong: 0, load: { connections: 50, rooms: 11, subscriptions: 100, views: 11 } })
  expect(after).toBeLessThan(before * 1.1)
})
