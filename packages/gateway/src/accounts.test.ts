import { makeKey } from '@taskfleet/testkit/fleet/rest-calls'
import {
  ask,
  asked,
  codeOf,
  connect,
  open,
  ownQueue,
  refusal,
  startGateway,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
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
  const codes = await Promise.all(
    Array.from({ length: 30 }, async (_, n) =>
      codeOf(await ask(sockets[n % 2]!, 'unsubscribeQuery', { subscription: 'none' })),
    ),
  )
  expect(codes.filter((code) => code === 'ok').length).toBeLessThan(16)
  expect(codes).toContain('RATE_LIMITED')
})
