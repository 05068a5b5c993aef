import { KeyStore } from '@taskfleet/core'
import { SignJWT } from 'jose'
import { expect, test } from 'vitest'
import { ask, codeOf, connect, next, open, refusal, startGateway } from '../testing/test-sockets.ts'
import { useFleet } from '../testing/use-fleet.ts'
import { Sessions } from './sessions.ts'

const fleet = useFleet()
const keys = () => new KeyStore(fleet.database.db)
const sessions = (now = () => new Date()) => new Sessions(keys(), now)

async function keyAndSession(over: { queues?: string[] } = {}) {
  const { id, token } = await keys().create({ name: 'browser', scopes: ['read'], ...over })
  return { id, key: token, session: await sessions().issue({ id }) }
}

test('a session may what its key may, at any gateway', async () => {
  const { session } = await keyAndSession({ queues: ['mine'] })
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!, session.token)
  expect(codeOf(await ask(socket, 'coverage', {}))).toBe('ok')
  expect(codeOf(await ask(socket, 'enqueue', { name: 'x' }))).toBe('FORBIDDEN')
  expect(codeOf(await ask(socket, 'audit', {}))).toBe('FORBIDDEN')
})

test('a client asks for a fresh one before each connection', async () => {
  const { session } = await keyAndSession()
  const gateway = await startGateway(fleet)
  let asked = 0
  const client = fleet.client(gateway.url!, {
    token: async () => {
      asked += 1
      return session.token
    },
  })
  expect(Array.isArray(await client.coverage())).toBe(true)
  expect(asked).toBe(1)
})

test('revoking the key ends its sessions within a second, and no more can be used', async () => {
  const { id, session } = await keyAndSession()
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!, session.token)
  const gone = next(socket, 'disconnect')
  const revokedAt = performance.now()
  await keys().revoke(id)
  await gone
  expect(performance.now() - revokedAt).toBeLessThan(3_000)
  const again = open(gateway.url!, session.token)
  fleet.cleanup(() => again.disconnect())
  expect((await refusal(again))?.message).toBe('UNAUTHENTICATED')
})

test('an expired one is refused, and cut where it was open', async () => {
  const { id } = await keyAndSession()
  const old = await sessions(() => new Date(Date.now() - 700_000)).issue({ id })
  await expect(sessions().verify(old.token)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  // Still within what clocks may differ when it comes, and past its end at once.
  const ending = await sessions(() => new Date(Date.now() - 630_000)).issue({ id })
  const gateway = await startGateway(fleet)
  const socket = open(gateway.url!, ending.token)
  fleet.cleanup(() => socket.disconnect())
  await next(socket, 'disconnect')
})

test.each([
  ['for a task', (jwt: SignJWT) => jwt.setAudience('task:x:1')],
  ['of another issuer', (jwt: SignJWT) => jwt.setIssuer('somebody')],
  ['without a subject', (jwt: SignJWT) => jwt],
])('one %s is refused', async (_which, change) => {
  const secret = await keys().ticketSecret()
  const jwt = change(
    new SignJWT({ scopes: ['admin'] })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer('taskfleet')
      .setAudience('gateway')
      .setExpirationTime('5m'),
  )
  await expect(sessions().verify(await jwt.sign(secret))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
})

test('one that is not signed, or by another secret, is refused', async () => {
  const { id } = await keyAndSession()
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = {
    iss: 'taskfleet',
    aud: 'gateway',
    sub: id,
    exp: Math.floor(Date.now() / 1_000) + 60,
    scopes: ['admin'],
  }
  await expect(sessions().verify(`${encode({ alg: 'none' })}.${encode(claims)}.`)).rejects.toMatchObject({
    code: 'UNAUTHENTICATED',
  })
  const forged = await new SignJWT({ ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(Buffer.alloc(32, 1))
  await expect(sessions().verify(forged)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
})
