import { connect } from 'node:net'
import { makeKey, startRest } from '@taskfleet/testkit/fleet/rest-calls'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'

const fleet = useFleet()

test('a client that does not read its answer does not keep a gateway from stopping', async () => {
  const { gateway } = await startRest(fleet)
  const token = await makeKey(fleet, { scopes: ['read'] })
  const { hostname, port, host } = new URL(gateway.url!)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => undefined)
  socket.pause()
  socket.write(
    `GET /api/docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: ${host}\r\n\r\nGET /api/v1/tasks HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  )
  await new Promise<void>((resolve) => socket.once('readable', () => resolve()))
  const begun = performance.now()
  await gateway.stop()
  expect(performance.now() - begun).toBeLessThan(20_000)
  socket.destroy()
})
