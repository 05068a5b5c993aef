import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { connect, open, refusal } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { Collection, ObjectId } from 'mongodb'
import { expect, test, vi } from 'vitest'
import { networkOf, SignInLimit, type SignInLimited } from './sign-in-limit.ts'

const fleet = useFleet()
const wrong = (index: number): string => `tf_${String(index).padStart(12, '0')}_${'x'.repeat(43)}`
/** One try comes back every five seconds, which a slow machine needs for twenty requests: the next one is refused again. */
const refusedOne = <T extends { status: number }>(call: () => Promise<T>): Promise<T> =>
  eventually(async () => {
    const answer = await call()
    return answer.status === 429 && answer
  })

test('many wrong keys are refused, with any address in a header; a valid key from there is not', async () => {
  const { as, call } = await startRest(fleet)
  const answers = []
  for (let index = 0; index < 40; index += 1) {
    const headers = { 'x-forwarded-for': `10.0.0.${index}`, forwarded: `for=10.0.1.${index}` }
    answers.push(await as(wrong(index)).call('GET', '/tasks', undefined, headers))
  }
  expect(answers.slice(0, 20).map(told)).toEqual(Array.from({ length: 20 }, () => '401 UNAUTHENTICATED'))
  const refused = await refusedOne(() => as(wrong(40)).call('GET', '/tasks'))
  expect(told(refused)).toBe('429 RATE_LIMITED')
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
  // What is wrong with the key is not told now either.
  const expired = await makeKey(fleet, { scopes: ['read'], expiresAt: new Date(0) })
  const others = [
    await refusedOne(() => as(expired).call('GET', '/tasks')),
    await refusedOne(() => as('nonsense').call('GET', '/tasks')),
  ]
  expect(others.map(({ text }) => text)).toEqual([refused.text, refused.text])
  expect(told(await call('GET', '/tasks'))).toBe('200')
  expect(told(await as(undefined).call('GET', '/tasks'))).toBe('401 UNAUTHENTICATED')
})

test('handshakes count like requests: to the gateway, a task and the relay', async () => {
  const { as, gateway } = await startRest(fleet)
  const { url } = gateway
  const good = await makeKey(fleet, { scopes: ['read'] })
  for (let index = 0; index < 25; index += 1) await as(wrong(index)).call('GET', '/tasks')
  const id = 'f'.repeat(24)
  for (const path of ['', `/tasks/${id}`, `/relay/${id}`]) {
    const data = await eventually(async () => {
      const socket = open(`${url}${path}`, 'eyJhbGciOiJub25lIn0.e30.')
      fleet.cleanup(() => socket.disconnect())
      const refused = (await refusal(socket))?.data
      return refused?.code === 'RATE_LIMITED' && refused
    })
    expect([path, data]).toEqual([path, { code: 'RATE_LIMITED', retryAfter: expect.any(Number) }])
  }
  expect((await connect(fleet, url!, good)).connected).toBe(true)
})

/** Counts the queries of one of these collections. */
function readsOf(...names: string[]): () => number {
  const spy = vi.spyOn(Collection.prototype, 'find')
  fleet.cleanup(() => spy.mockRestore())
  return () => spy.mock.contexts.filter((one) => names.includes((one as Collection).collectionName)).length
}

test('hundreds of wrong keys at once cost the database a few dozen reads, and a new key is valid', async () => {
  const { as } = await startRest(fleet)
  const reads = readsOf('keys')
  const begun = performance.now()
  const answers = await Promise.all(Array.from({ length: 300 }, (_, index) => as(wrong(index)).call('GET', '/tasks')))
  const comeBack = Math.floor((performance.now() - begun) / 5_000)
  const [unknown, refused] = [401, 429].map((code) => answers.filter(({ status }) => status === code).length)
  expect(unknown).toBeGreaterThanOrEqual(20)
  expect(unknown).toBeLessThanOrEqual(20 + comeBack)
  expect(unknown! + refused!).toBe(300)
  expect(reads()).toBeLessThan(40)
  const before = reads()
  for (let index = 0; index < 100; index += 1) await as(wrong(index)).call('GET', '/tasks')
  expect(reads() - before).toBeLessThan(10)
  const fresh = await makeKey(fleet, { scopes: ['read'] })
  await eventually(async () => told(await as(fresh).call('GET', '/tasks')) === '200')
})

test("a connection that knocks at tasks without a ticket is closed, and the database isn't asked", async () => {
  const { gateway } = await startRest(fleet)
  const knocking = await connect(fleet, gateway.url!, await makeKey(fleet, { scopes: ['read'] }))
  const closed = new Promise((resolve) => knocking.once('disconnect', resolve))
  const reads = readsOf('tasks')
  for (let index = 0; index < 1_000; index += 1) {
    for (const path of ['tasks', 'relay']) knocking.io.engine.write(`0/${path}/${new ObjectId()},{"token":"x"}`)
  }
  await closed
  expect(reads()).toBe(0)
  await eventually(() => gateway.load.connections === 0)
})

test('twenty wrong keys may come in a row from an address, then one in five seconds', () => {
  let now = 0
  const limit = new SignInLimit(() => now)
  const fails = (address: string): number => {
    try {
      limit.failed(address)
      return 0
    } catch (error) {
      return (error as SignInLimited).retryAfterS
    }
  }
  const many = (count: number, address = '10.0.0.1'): number[] => Array.from({ length: count }, () => fails(address))
  expect(many(21)).toEqual([...Array.from({ length: 20 }, () => 0), 5])
  expect(fails('10.0.0.2')).toBe(0)
  now = 4_000
  expect(many(2)).toEqual([1, 1])
  now = 5_000
  expect(many(2)).toEqual([0, 5])
  // A client with one IPv6 address has any number of them.
  const spread = Array.from({ length: 21 }, (_, index) => fails(`2001:db8:0:1::${index.toString(16)}`))
  expect(spread.at(-1)).toBe(5)
  expect(fails('2001:db8:0:2::1')).toBe(0)
  // A great many addresses push out the one that was quiet for longest, and take no more room.
  for (let index = 0; index < 10_000; index += 1) fails(`a${index}`)
  expect(fails('10.0.0.1')).toBe(0)
})

test.each([
  ['::ffff:10.0.0.1', '10.0.0.1'],
  ['10.0.0.1', '10.0.0.1'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['2001:db8::5', '2001:db8:0:0'],
  ['1:2:3:4:5:6:7:8', '1:2:3:4'],
  ['1::', '1:0:0:0'],
])('%s counts as %s', (address, network) => {
  expect(networkOf(address)).toBe(network)
})
