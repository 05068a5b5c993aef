import { KeyStore } from '@taskfleet/core'
import { newSecret, SigningKeys } from '@taskfleet/core/internal'
import { FleetError } from '@taskfleet/protocol'
import {
  ask,
  codeOf,
  connect,
  next,
  open,
  ownQueue,
  refusal,
  startGateway,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { decodeProtectedHeader, SignJWT } from 'jose'
import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Sessions } from './sessions.ts'

const fleet = useFleet()
const keys = () => new KeyStore(fleet.database.db)
const sessions = (now = () => new Date()) => new Sessions(keys(), now)

async function keyAndSession(over: { queues?: string[] } = {}) {
  const { id, token } = await keys().create({ name: 'browser', scopes: ['read'], ...over })
  return { id, key: token, session: await sessions().issue({ id }) }
}

test('a session has the permissions of its key, at any gateway', async () => {
  const { session } = await keyAndSession({ queues: ['mine'] })
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!, session.token)
  expect(codeOf(await ask(socket, 'coverage', {}))).toBe('ok')
  expect(codeOf(await ask(socket, 'enqueue', { name: 'x' }))).toBe('FORBIDDEN')
  expect(codeOf(await ask(socket, 'audit', {}))).toBe('FORBIDDEN')
})

test('a client gets a new one before each connection', async () => {
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

const endsIn = (ms: number) => sessions(() => new Date(Date.now() + ms - 600_000))
const past = (date: Date) => eventually(() => Date.now() > date.getTime() + 1_500)

test('a client renews it before it ends, and its connection goes on without a gap', async () => {
  const { id } = await keyAndSession()
  const gateway = await startGateway(fleet)
  const ending = await endsIn(3_000).issue({ id })
  const told: string[] = []
  let asked = 0
  const client = fleet.client(gateway.url!, {
    token: async () => {
      asked += 1
      return asked === 1 ? ending.token : (await sessions().issue({ id })).token
    },
  })
  client.onState((state) => told.push(state))
  expect((await client.welcomed()).expiresAt).toBe(
    new Date(Math.floor(ending.expiresAt.getTime() / 1_000) * 1_000).toISOString(),
  )
  await past(ending.expiresAt)
  expect(Array.isArray(await client.coverage())).toBe(true)
  expect(told).toEqual(['connecting', 'live'])
  expect(asked).toBe(2)
})

test('it is renewed only by one of the same key, and only if a session opened the connection', async () => {
  const { id, key, session } = await keyAndSession()
  const other = await keyAndSession()
  const gateway = await startGateway(fleet)
  const renew = async (by: string, token: string) =>
    codeOf(await ask(await connect(fleet, gateway.url!, by), 'renewSession', { token }))
  expect(await renew(session.token, (await sessions().issue({ id })).token)).toBe('ok')
  expect(await renew(session.token, other.session.token)).toBe('UNAUTHENTICATED')
  expect(await renew(session.token, key)).toBe('UNAUTHENTICATED')
  expect(await renew(session.token, 'ey.forged')).toBe('UNAUTHENTICATED')
  expect(await renew(key, session.token)).toBe('BAD_REQUEST')
})

test('a renewed one still ends with its key', async () => {
  const { id, session } = await keyAndSession()
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!, session.token)
  const { token } = await sessions().issue({ id })
  expect(codeOf(await ask(socket, 'renewSession', { token }))).toBe('ok')
  const gone = next(socket, 'disconnect')
  await keys().revoke(id)
  await gone
})

test('only a key can create a session', async () => {
  const { key } = await keyAndSession()
  const gateway = await startGateway(fleet)
  const make = async (token: string) => {
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(`${gateway.url}/api/v1/sessions`, { method: 'POST', headers })
    return { status: response.status, body: (await response.json()) as { token: string; code?: string } }
  }
  const made = await make(key)
  expect(made.status).toBe(201)
  expect(await make(made.body.token)).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } })
})

test('a client that can not get a token tries again, and does not connect without one', async () => {
  const { session } = await keyAndSession()
  const gateway = await startGateway(fleet)
  const told: string[] = []
  let asked = 0
  const client = fleet.client(gateway.url!, {
    token: async () => {
      asked += 1
      if (asked === 1) throw new Error('the gateway is away')
      return session.token
    },
  })
  client.onState((state, error) => told.push(error === undefined ? state : `${state}: ${error.message}`))
  expect(Array.isArray(await client.coverage())).toBe(true)
  expect(told).toEqual(['connecting', 'connecting: the gateway is away', 'live'])
})

test('a client that is refused a token for good is refused', async () => {
  const gateway = await startGateway(fleet)
  const client = fleet.client(gateway.url!, {
    token: () => Promise.reject(new FleetError('UNAUTHENTICATED', 'revoked')),
  })
  await expect(client.coverage()).rejects.toMatchObject({ code: 'UNAUTHENTICATED', message: 'revoked' })
  expect(client.state).toBe('refused')
})

test('a subscription that the key may no longer see is refused, and has no rows', async () => {
  const { id, token } = await keys().create({ name: 'narrowed', scopes: ['read', 'write'] })
  const gateway = await startGateway(fleet)
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const event = JSON.stringify({ name: 'Seen', props: {} })
  const posted = await fetch(`${gateway.url}/api/v1/events`, { method: 'POST', headers, body: event })
  expect(posted.status).toBe(201)
  const client = fleet.client(gateway.url!, { token })
  const told: string[] = []
  const live = await client.subscribe(
    { collection: 'events' },
    () => undefined,
    (error) => told.push(`events ${error.code}`),
  )
  const kept = await client.subscribe(
    {},
    () => undefined,
    (error) => told.push(`tasks ${error.code}`),
  )
  expect(live.rows).toHaveLength(1)
  await keys().edit(id, { queues: ['mine'] })
  await eventually(() => told.length > 0)
  expect(live).toMatchObject({ rows: [], live: false })
  await eventually(() => kept.live)
  expect(told).toEqual(['events FORBIDDEN'])
})

test('statistics and a watched task are refused in the same way', async () => {
  const { id, token } = await keys().create({ name: 'blinded', scopes: ['read', 'write'] })
  const gateway = await startGateway(fleet)
  const client = fleet.client(gateway.url!, { token })
  const told: string[] = []
  const task = await fleet.post([], { queue: ownQueue() })
  await client.subscribeStats(
    {},
    () => undefined,
    (error) => told.push(`figures ${error.code}`),
  )
  await client.watchTask(task._id.toHexString(), { onRefused: (error) => told.push(`task ${error.code}`) })
  await keys().edit(id, { scopes: ['write'] })
  await eventually(() => told.length === 2)
  expect(told.sort()).toEqual(['figures FORBIDDEN', 'task FORBIDDEN'])
})

test('revoking the key ends its sessions at once, and no more can be used', async () => {
  const { id, session } = await keyAndSession()
  const gateway = await startGateway(fleet)
  const socket = await connect(fleet, gateway.url!, session.token)
  const gone = next(socket, 'disconnect')
  await keys().revoke(id)
  // By itself it would last for longer than this test may.
  await gone
  const again = open(gateway.url!, session.token)
  fleet.cleanup(() => again.disconnect())
  expect((await refusal(again))?.message).toBe('UNAUTHENTICATED')
})

test('an expired one is refused, and its connections are closed', async () => {
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
  ['for a task', { aud: 'task:x:1' }],
  ['for several', { aud: ['gateway', 'task:x:1'] }],
  ['of another issuer', { iss: 'somebody' }],
  ['without a subject', { sub: undefined }],
  ['without an end', { exp: undefined }],
  ['that ends in a year', { exp: Math.floor(Date.now() / 1_000) + 31_536_000 }],
  ['that ends in twenty minutes', { exp: Math.floor(Date.now() / 1_000) + 1_200 }],
  ['that is signed otherwise', {}, 'HS512'],
])('one %s is refused, though its signature is right', async (_which, change, alg = 'HS256') => {
  const { id } = await keyAndSession()
  const claims = { iss: 'taskfleet', aud: 'gateway', sub: id, exp: Math.floor(Date.now() / 1_000) + 300 }
  const signedWith = async (over: object, by: string): Promise<string> =>
    new SignJWT({ ...claims, ...over }).setProtectedHeader({ alg: by }).sign(await keys().ticketSecret())
  expect(await sessions().verify(await signedWith({}, 'HS256'))).toMatchObject({ id })
  await expect(sessions().verify(await signedWith(change, alg))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
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

const SECRET = newSecret()
const signed = (secrets: string[]) => new Sessions(keys(), () => new Date(), new SigningKeys(keys(), secrets))

test('with a secret, the database alone can sign no session', async () => {
  const { id } = await keyAndSession()
  const strong = signed([SECRET])
  const claims = { iss: 'taskfleet', aud: 'gateway', sub: id, exp: Math.floor(Date.now() / 1_000) + 300 }
  const { kid } = decodeProtectedHeader((await strong.issue({ id })).token)
  for (const named of [undefined, 'database', kid]) {
    const header = { alg: 'HS256', ...(named === undefined ? {} : { kid: named }) }
    const forged = await new SignJWT(claims).setProtectedHeader(header).sign(await keys().ticketSecret())
    await expect(strong.verify(forged)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  }
})

test('a session stays valid while both secrets are known, and is refused with the reason after that', async () => {
  const { id } = await keyAndSession()
  const next = newSecret()
  const { token } = await signed([SECRET]).issue({ id })
  expect(await signed([next, SECRET]).verify(token)).toMatchObject({ id })
  await expect(signed([next]).verify(token)).rejects.toMatchObject({
    code: 'UNAUTHENTICATED',
    message: expect.stringContaining('TASKFLEET_SECRET'),
  })
})

test("gateways with one secret take each other's sessions, and say which secrets they have", async () => {
  const { key } = await keyAndSession()
  const one = await startGateway(fleet, { secret: SECRET })
  const other = await startGateway(fleet, { secret: `${newSecret()},${SECRET}` })
  const headers = { authorization: `Bearer ${key}` }
  const made = await fetch(`${one.url}/api/v1/sessions`, { method: 'POST', headers })
  const { token } = (await made.json()) as { token: string }
  expect(codeOf(await ask(await connect(fleet, other.url!, token), 'coverage', {}))).toBe('ok')
  expect(other.secretIds).toEqual([expect.stringMatching(/^[0-9a-f]{16}$/), one.secretIds[0]])
  expect(JSON.stringify([one.secretIds, token])).not.toContain(SECRET)
})

test('a gateway without a secret logs it once, and one with a short secret does not start', async () => {
  const lines: { code?: string; level: number }[] = []
  const log = pino({}, { write: (line: string) => void lines.push(JSON.parse(line)) })
  await startGateway(fleet, { log })
  expect(lines.filter(({ code }) => code === 'WEAK_SECRET')).toMatchObject([{ level: 40 }])
  lines.length = 0
  await startGateway(fleet, { log, secret: SECRET })
  expect(lines.filter(({ code }) => code === 'WEAK_SECRET')).toEqual([])
  await expect(startGateway(fleet, { secret: 'short' })).rejects.toMatchObject({ code: 'BAD_SECRET' })
})
