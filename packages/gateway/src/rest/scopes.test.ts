import { SCOPES } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { callerOf, makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue, silent, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { Access } from '../access.ts'
import { authenticate } from './authenticate.ts'
import { restRoutes } from './register-rest.ts'

const fleet = useFleet()
const routes = () =>
  restRoutes({
    fleet: fleet.fleet,
    access: { keys: undefined } as never,
    queries: undefined as never,
    files: undefined as never,
    log: silent,
  })
const addressOf = (url: string): string => url.replace(/:\w+/g, 'f'.repeat(24))

describe('each route needs its scope', () => {
  test.each(SCOPES)("a key with '%s' alone", async (scope) => {
    const { call } = await startRest(fleet, { scopes: [scope] })
    for (const { method, url, scope: needed } of routes()) {
      const answer = await call(method, addressOf(url), method === 'GET' || method === 'DELETE' ? undefined : {})
      const allowed = scope === needed || scope === 'admin'
      expect(`${method} ${url}: ${answer.status === 403 ? answer.body.field : 'allowed'}`).toBe(
        `${method} ${url}: ${allowed ? 'allowed' : needed}`,
      )
      expect(answer.status).not.toBe(500)
    }
  })

  test('a key without the scope read gets the documents that it has changed', async () => {
    const { call } = await startRest(fleet, { scopes: ['control'] })
    const [task] = await fleet.fleet.store.enqueue([parseNewTask({ name: 'x', queue: ownQueue() })])
    const at = `/tasks/${task!._id.toHexString()}`
    expect(await call('POST', `${at}/pause`)).toMatchObject({ status: 200, body: { status: 'paused' } })
    expect(await call('PATCH', at, { lazy: true, rev: 1 })).toMatchObject({
      status: 409,
      body: { code: 'REV_CONFLICT', rev: 2 },
    })
    expect(told(await call('GET', at))).toBe('403 FORBIDDEN')
  })

  test('without a key no route answers once the fleet has one', async () => {
    const { as } = await startRest(fleet)
    const { call } = as(undefined)
    const bodies = new Set<string>()
    for (const { method, url } of routes()) {
      const answer = await call(method, addressOf(url))
      expect(`${method} ${url}: ${told(answer)}`).toBe(`${method} ${url}: 401 UNAUTHENTICATED`)
      bodies.add(answer.text)
    }
    expect(bodies.size).toBe(1)
  })

  test('the document has the same routes with the same scopes', async () => {
    const { gateway } = await startRest(fleet)
    const { paths } = (await (await fetch(`${gateway.url}/api/openapi.json`)).json()) as {
      paths: Record<string, Record<string, { 'x-scope': string }>>
    }
    const described = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(
        ([method, operation]) => `${method.toUpperCase()} ${path} ${operation['x-scope']}`,
      ),
    )
    const own = routes().map(({ method, url, scope }) => `${method} /api/v1${url.replace(/:(\w+)/g, '{$1}')} ${scope}`)
    expect(described.sort()).toEqual(own.sort())
  })
})

test('a route without a scope can not be registered', async () => {
  const app = fastify()
  authenticate(app, new Access(fleet.database, { subscribe: () => () => undefined } as never))
  expect(() => app.get('/open', () => 'everything')).toThrow('GET /open has no scope')
  await app.close()
})

test('while the fleet has no key, this computer may do everything', async () => {
  await fleet.database.db.collection('keys').deleteMany({})
  const { call } = callerOf(await startGateway(fleet))
  expect(told(await call('GET', '/keys'))).toBe('200')
  const made = await call('POST', '/keys', { name: 'first', scopes: ['read'] })
  expect(made).toMatchObject({ status: 201, body: { token: expect.stringMatching(/^tf_/) } })
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  expect(told(await call('GET', '/keys'))).toBe('401 UNAUTHENTICATED')
})

test('keys are listed without their secrets, and have no access once revoked', async () => {
  const { call, as } = await startRest(fleet)
  const { body: made } = await call('POST', '/keys', {
    name: 'ci',
    scopes: ['read'],
    queues: ['builds'],
    expiresAt: '2999-01-01T00:00:00Z',
  })
  const mine = as(String(made.token))
  expect(told(await mine.call('GET', '/tasks'))).toBe('200')
  const listed = await call('GET', '/keys')
  expect(listed.text).not.toMatch(/hash|tf_/)
  expect(listed.body.keys).toContainEqual(
    expect.objectContaining({ id: made.id, name: 'ci', scopes: ['read'], queues: ['builds'] }),
  )
  expect(told(await call('DELETE', `/keys/${String(made.id)}`))).toBe('204')
  expect(told(await mine.call('GET', '/tasks'))).toBe('401 UNAUTHENTICATED')
  expect(told(await call('DELETE', '/keys/nobody'))).toBe('404 NOT_FOUND')
  for (const wrong of [
    { name: 'x', scopes: [] },
    { name: 'x', scopes: ['root'] },
    { name: '', scopes: ['read'] },
    { name: 'x', scopes: ['read'], hash: 'mine' },
  ]) {
    expect((await call('POST', '/keys', wrong)).status).toBe(400)
  }
})

test('a limited admin can not create an unlimited key', async () => {
  const { as } = await startRest(fleet)
  const { call } = as(await makeKey(fleet, { scopes: ['admin'], queues: ['mine'] }))
  expect(told(await call('POST', '/keys', { name: 'wider', scopes: ['admin'] }))).toBe('403 FORBIDDEN')
})
