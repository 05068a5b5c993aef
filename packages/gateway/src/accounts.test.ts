import type { TicketAnswer } from '@taskfleet/protocol'
import { makeKey } from '@taskfleet/testkit/fleet/rest-calls'
import {
  ask,
  asked,
  codeOf,
  connect,
  LOOPBACK,
  open,
  ownQueue,
  refusal,
  startGateway,
  stopReading,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import type { Socket } from 'socket.io-client'
import { expect, test } from 'vitest'
import { ACCOUNT_LIMITS, type AccountLimits } from './accounts.ts'

const fleet = useFleet()

/** A gateway where one key may have this much. */
const limitedTo = (key: Partial<AccountLimits>) =>
  startGateway(fleet, { accountLimits: { ...ACCOUNT_LIMITS, key: { ...ACCOUNT_LIMITS.key, ...key } } })

test('connections are counted by key, and one that ends frees its place', async () => {
  const [one, other] = [await makeKey(fleet, { scopes: ['read'] }), await makeKey(fleet, { scopes: ['read'] })]
  const { url } = await limitedTo({ connections: 2 })
  const [first] = [await connect(fleet, url!, one), await connect(fleet, url!, one)]
  const third = open(url!, one)
  fleet.cleanup(() => third.disconnect())
  expect((await refusal(third))?.data?.code).toBe('TOO_MANY_CONNECTIONS')
  await connect(fleet, url!, other)
  first.disconnect()
  await eventually(async () => {
    const again = open(url!, one)
    fleet.cleanup(() => again.disconnect())
    return (await refusal(again)) === undefined
  })
})

test('bytes of live queries are counted by key; shared ones count once, and ended ones are freed', async () => {
  const queue = ownQueue()
  for (let n = 0; n < 10; n += 1) await fleet.post([], { queue, label: 'x'.repeat(100_000) })
  const [one, other] = [await makeKey(fleet, { scopes: ['read'] }), await makeKey(fleet, { scopes: ['read'] })]
  const gateway = await limitedTo({ bytes: 2_500_000 })
  const socket = await connect(fleet, gateway.url!, one)
  const subscribe = (limit: number, from = socket) =>
    ask<{ subscription: string }>(from, 'subscribeQuery', { filter: { queue }, fields: ['input'], limit })
  const [first, second, again] = [await subscribe(11), await subscribe(12), await subscribe(11)]
  expect([first, second, again].map(codeOf)).toEqual(['ok', 'ok', 'ok'])
  expect(codeOf(await subscribe(11, await connect(fleet, gateway.url!, one)))).toBe('ok')
  expect(codeOf(await subscribe(13))).toBe('TOO_MANY_BYTES')
  expect(codeOf(await subscribe(13, await connect(fleet, gateway.url!, other)))).toBe('ok')
  await asked(socket, 'unsubscribeQuery', { subscription: second.ok && second.subscription })
  expect(codeOf(await subscribe(13))).toBe('ok')
})

test('messages are counted by key, over all its connections', async () => {
  const token = await makeKey(fleet, { scopes: ['read'] })
  const { url } = await limitedTo({ messagesASecond: 2 })
  const sockets = [await connect(fleet, url!, token), await connect(fleet, url!, token)]
  const begun = performance.now()
  const codes = await Promise.all(
    Array.from({ length: 30 }, async (_, n) =>
      codeOf(await ask(sockets[n % 2]!, 'unsubscribeQuery', { subscription: 'none' })),
    ),
  )
  // Those of five seconds at once, and two more for each second that it took.
  const most = 10 + 2 * ((performance.now() - begun) / 1_000)
  expect(codes.filter((code) => code === 'ok').length).toBeLessThanOrEqual(most)
  expect(codes).toContain('RATE_LIMITED')
})

test('what clients have not read counts as bytes of their key', async () => {
  const [one, other] = [await makeKey(fleet, { scopes: ['read'] }), await makeKey(fleet, { scopes: ['read'] })]
  const gateway = await startGateway(fleet, {
    accountLimits: { ...ACCOUNT_LIMITS, key: { ...ACCOUNT_LIMITS.key, bytes: 1_000_000 } },
  })
  const queue = ownQueue()
  for (let n = 0; n < 5; n += 1) await fleet.post([], { queue, label: 'x'.repeat(100_000) })
  const stopped = await Promise.all([1, 2, 3].map(() => connect(fleet, gateway.url!, one)))
  const list = (socket: Socket) =>
    ask(socket, 'operation', { name: 'tasks.list', request: { filter: { queue }, fields: ['input'] } })
  const reading = await connect(fleet, gateway.url!, one)
  expect(codeOf(await list(reading))).toBe('ok')
  for (const socket of stopped) stopReading(socket)
  for (const socket of stopped) for (let n = 0; n < 20; n += 1) void list(socket).catch(() => undefined)
  await eventually(async () => codeOf(await list(reading)) === 'TOO_MANY_BYTES')
  expect(codeOf(await list(await connect(fleet, gateway.url!, other)))).toBe('ok')
  for (const socket of stopped) socket.disconnect()
  await eventually(async () => codeOf(await list(reading)) === 'ok')
})

test('connections to tasks and through the relay count as well', async () => {
  const token = await makeKey(fleet, { scopes: ['read'] })
  const queue = ownQueue()
  const runner = await fleet.runner({ queue, listen: LOOPBACK })
  const task = await fleet.post([{ do: 'waitForAbort' }], { queue })
  await fleet.runsAt(runner, task)
  const { url } = await limitedTo({ connections: 2 })
  const gateway = await connect(fleet, url!, token)
  const id = task._id.toHexString()
  const ticket = await asked<TicketAnswer>(gateway, 'taskTicket', { id })
  const watching = await connect(fleet, ticket.relayUrl, ticket.token)
  const third = open(ticket.relayUrl, ticket.token)
  fleet.cleanup(() => third.disconnect())
  expect((await refusal(third))?.data?.code).toBe('TOO_MANY_CONNECTIONS')
  watching.disconnect()
  await eventually(async () => {
    const again = open(ticket.relayUrl, ticket.token)
    fleet.cleanup(() => again.disconnect())
    return (await refusal(again)) === undefined
  })
})
