import { setTimeout as pause } from 'node:timers/promises'
import { hasNginx, startNginx } from '@taskfleet/testkit/fleet/real-nginx'
import { ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'

/** nginx closes what was idle for 60 s. */
const IDLE_MS = 65_000

describe.skipIf(!hasNginx)('behind nginx, with its limit of an idle minute', () => {
  const fleet = useFleet()

  test.each([
    [
      'websockets',
      'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;',
    ],
    ['long polling', ''],
  ])('a live query over %s stays', async (_way, headers) => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const http = `server { listen 127.0.0.1:PORT; location / { proxy_pass ${gateway.url}; ${headers} } }`
    const client = fleet.client(await startNginx(fleet, { http, scheme: 'http' }))
    const live = await client.subscribe({ filter: { queue } }, () => undefined)
    const states: string[] = []
    client.onState((state) => states.push(state))
    const before = [...states]
    // The time that the proxy counts is real.
    await pause(IDLE_MS)
    await client.tasks.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.length === 1)
    expect(states).toEqual(before)
  })
})
