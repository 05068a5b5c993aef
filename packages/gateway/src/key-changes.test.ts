import { KeyStore, type Scope } from '@taskfleet/core'
import type { TicketAnswer } from '@taskfleet/protocol'
import {
  ask,
  asked,
  codeOf,
  connect,
  LOOPBACK,
  next,
  open,
  ownQueue,
  refusal,
  startGateway,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { expect, test } from 'vitest'
import { Sessions } from './sessions.ts'

const fleet = useFleet()
const keys = () => new KeyStore(fleet.database.db)
const sessions = () => new Sessions(keys(), () => new Date())
const made = (scopes: Scope[], over: { queues?: string[] } = {}) => keys().create({ name: 'test', scopes, ...over })

test('a key that loses permissions closes its connections, and reconnects with the current ones', async () => {
  const { url } = await startGateway(fleet)
  const { id, token } = await made(['read', 'write'])
  const socket = await connect(fleet, url!, token)
  expect(codeOf(await ask(socket, 'enqueue', { name: 'x', queue: 'a' }))).toBe('ok')
  const gone = next(socket, 'disconnect')
  await keys().edit(id, { scopes: ['read'] })
  expect(await gone).toBe('io server disconnect')
  const again = await connect(fleet, url!, token)
  expect(codeOf(await ask(again, 'enqueue', { name: 'x', queue: 'a' }))).toBe('FORBIDDEN')
})

test('a client whose key changes reconnects by itself, with the rows that it may see now', async () => {
  const { url } = await startGateway(fleet)
  const [mine, other] = [ownQueue(), ownQueue()]
  await fleet.post([], { queue: mine })
  await fleet.post([], { queue: other })
  const { id, token } = await made(['read'])
  const client = fleet.client(url!, { token })
  const filter = { queue: { $in: [mine, other] } }
  const live = await client.subscribe({ filter }, () => undefined)
  const seen = () => live.rows.map(({ queue }) => queue).sort()
  expect(seen()).toEqual([mine, other].sort())
  await keys().edit(id, { queues: [mine] })
  await eventually(() => seen().length === 1)
  expect(seen()).toEqual([mine])
  await keys().edit(id, { queues: null, scopes: ['read', 'write'] })
  await eventually(() => seen().length === 2)
  await eventually(() => client.welcome?.scopes.includes('write'))
  expect((await client.enqueue({ name: 'x', queue: mine })).status).toBe('pending')
})

test('a session loses the permissions that its key has lost, on open and on new connections', async () => {
  const { url } = await startGateway(fleet)
  const { id } = await made(['read', 'write', 'control'])
  const { token } = await sessions().issue({ id })
  const socket = await connect(fleet, url!, token)
  const gone = next(socket, 'disconnect')
  await keys().edit(id, { scopes: ['read'], queues: ['mine'] })
  // At once for new connections, within a second for open ones.
  expect(await sessions().verify(token)).toMatchObject({ scopes: ['read'], queues: ['mine'] })
  const rest = await fetch(`${url}/api/v1/tasks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: '{"name":"x"}',
  })
  expect(rest.status).toBe(403)
  await gone
  const again = await connect(fleet, url!, token)
  expect(codeOf(await ask(again, 'audit', {}))).toBe('FORBIDDEN')
  await keys().edit(id, { expiresAt: new Date(0) })
  const shut = open(url!, token)
  fleet.cleanup(() => shut.disconnect())
  expect((await refusal(shut))?.data?.code).toBe('UNAUTHENTICATED')
})

test("a ticket keeps nothing that its key has lost: neither a command nor another queue's task", async () => {
  const queue = ownQueue()
  const runner = await fleet.runner({ queue, listen: LOOPBACK })
  const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
  await fleet.runsAt(runner, task)
  const { id, token } = await made(['read', 'control'])
  const ask = { id: task._id.toHexString() }
  const ticket = await asked<TicketAnswer>(await connect(fleet, runner.url!, token), 'taskTicket', ask)
  const address = `${runner.url}/tasks/${ask.id}`
  const watching = await connect(fleet, address, ticket.token)
  const gone = next(watching, 'disconnect')
  await keys().edit(id, { scopes: ['read'] })
  await gone
  const again = await connect(fleet, address, ticket.token)
  const answer = (await again.timeout(10_000).emitWithAck('cancel', {})) as { ok: boolean; error: { code: string } }
  expect(answer).toMatchObject({ ok: false, error: { code: 'FORBIDDEN' } })
  await keys().edit(id, { queues: ['elsewhere'] })
  for (const code of ['QUEUE_NOT_ALLOWED', 'UNAUTHENTICATED']) {
    const refused = open(address, ticket.token)
    fleet.cleanup(() => refused.disconnect())
    expect((await refusal(refused))?.data?.code).toBe(code)
    await keys().revoke(id)
  }
})
