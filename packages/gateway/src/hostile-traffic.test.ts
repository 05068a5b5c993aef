import { sendMessages, sendRequests } from '@taskfleet/testkit/fleet/hostile-traffic'
import { seeded } from '@taskfleet/testkit/fleet/hostile-values'
import { makeKey, startRest } from '@taskfleet/testkit/fleet/rest-calls'
import { connect, LOOPBACK, ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { defineTask } from '@taskfleet/worker'
import { expect, test } from 'vitest'
import { z } from 'zod'

const fleet = useFleet()
/** Another each day, and the same for the runs of a day: a failure can be repeated. */
const seed = Math.floor(Date.now() / 86_400_000)

test('every message of a hostile client is answered, with a specific code', async () => {
  const { gateway } = await startRest(fleet)
  const socket = await connect(fleet, gateway.url!, await makeKey(fleet, { scopes: ['read', 'write', 'control'] }))
  expect({ seed, faults: await sendMessages(socket, 'gateway', 500, seeded(seed)) }).toEqual({ seed, faults: [] })
}, 120_000)

test('every request of a hostile client gets an answer of the OpenAPI document', async () => {
  const { gateway } = await startRest(fleet)
  const token = await makeKey(fleet, { scopes: ['read', 'write', 'control'] })
  expect({ seed, faults: await sendRequests(gateway.url!, token, 200, seeded(seed)) }).toEqual({ seed, faults: [] })
}, 120_000)

test('every message to a running task is answered', async () => {
  const queue = ownQueue()
  const patient = defineTask({
    name: 'patient',
    input: z.object({}),
    run: ({ signal, socket }) => {
      socket.on('a', (data) => data)
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
  })
  const runner = await fleet.runner({ queue, tasks: [patient], listen: LOOPBACK })
  const task = await fleet.fleet.enqueue(patient, {}, { queue })
  await fleet.until(task._id, ({ status }) => status === 'running')
  const { keys } = fleet.fleet.as()
  expect((await keys.list()).length).toBeGreaterThan(0)
  const gateway = await connect(fleet, runner.url!, await makeKey(fleet, { scopes: ['read', 'write'] }))
  const ticket = await gateway.emitWithAck('taskTicket', { id: task._id.toHexString() })
  const socket = await connect(fleet, ticket.publicUrl, ticket.token)
  expect({ seed, faults: await sendMessages(socket, 'task', 100, seeded(seed)) }).toEqual({ seed, faults: [] })
}, 120_000)
