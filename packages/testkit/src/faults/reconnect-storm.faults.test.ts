import { expect, test } from 'vitest'
import { useFleet } from '../fleet/use-fleet.ts'
import { reconnectStorm } from './reconnect-storm.ts'

const STORMS = Number(process.env.TASKFLEET_ROUNDS ?? 5)
const fleet = useFleet()

test(`500 clients that lose their connections together, ${STORMS} times, get exact views back and leave nothing behind`, async () => {
  const { before, after, ...rest } = await reconnectStorm(fleet, { clients: 500, storms: STORMS })
  expect(rest).toEqual({ wrong: 0, load: { connections: 500, rooms: 11, subscriptions: 1_000, views: 11 } })
  expect(after).toBeLessThan(before * 1.1)
})
