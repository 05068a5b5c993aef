import { lookup } from 'node:dns/promises'
import { createServer, request as httpRequest, type Server } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { FleetClient } from '@taskfleet/client'
import { KeyStore } from '@taskfleet/core'
import { startPlainProxy } from '@taskfleet/testkit/fleet/plain-proxy'
import { makeKey } from '@taskfleet/testkit/fleet/rest-calls'
import {
  LOOPBACK,
  open,
  ownQueue,
  refusal,
  silent,
  startGateway,
  startProxy,
  upgrade,
} from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import express from 'express'
import fastify from 'fastify'
import { describe, expect, test } from 'vitest'
import { createGateway } from './create-gateway.ts'
import { GatewayHost } from './gateway-host.ts'

/** A request whose `Host` may be any. */
function get(url: string, headers: Record<string, string> = {}): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { headers }, (answer) => {
      let text = ''
      answer.on('data', (part) => (text += String(part)))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('names of a gateway', () => {
  const fleet = useFleet()

  test.each([
    [
      'https://fleet.example',
      ['fleet.example', 'fleet.example:443', 'FLEET.example.', 'fleet.example:'],
      ['fleet.example:80'],
    ],
    ['http://fleet.example', ['fleet.example', 'Fleet.Example:80'], ['fleet.example:443']],
    ['https://fleet.example:8443', ['fleet.example:8443', 'FLEET.EXAMPLE.:8443'], ['fleet.example', 'fleet.example:9']],
    ['http://[2001:db8::1]:4100', ['[2001:DB8:0::1]:4100', '[2001:db8::1]'], ['fleet.example']],
  ])('%s is known in every spelling that HTTP allows', async (publicUrl, own, foreign) => {
    const { url } = await startGateway(fleet, { publicUrl })
    const asked = async (host: string) => (await get(`${url}/api/openapi.json`, { host })).status
    const socket = async (host: string, origin: string) => (await upgrade(url!, { host, origin })).status
    const port = new URL(url!).port
    for (const host of own) expect([host, await asked(host), await socket(host, publicUrl)]).toEqual([host, 200, 101])
    for (const host of [...foreign, 'evil.example', 'fleet.example.evil', 'a@fleet.example', '']) {
      expect([host, await asked(host)]).toEqual([host, host === '' ? expect.any(Number) : 403])
    }
    for (const origin of ['https://evil.example', 'null', 'ftp://fleet.example', `http://fleet.example:${port}`]) {
      expect([origin, await socket(own[0]!, origin)]).toEqual([origin, 403])
    }
    const { text } = await get(`${url}/`, { host: 'evil.example' })
    expect(text).toContain("'evil.example'")
    expect(text).toContain(publicUrl)
    expect(text).toContain('--public-url')
  })

  test('health accepts any name and answers within a second, also while the database does not', async () => {
    const { url } = await startGateway(fleet)
    for (const path of ['live', 'ready']) {
      expect((await get(`${url}/health/${path}`, { host: 'whatever.example' })).status).toBe(200)
    }
    const database = new Proxy(fleet.database, {
      get: (target, name) => {
        if (name === 'readClock') return () => new Promise(() => undefined)
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const hanging = await startGateway(fleet, { database, publicUrl: 'https://fleet.example' })
    const begun = performance.now()
    const [live, ready, dns] = await Promise.all([
      get(`${hanging.url}/health/live`, { host: 'gateway:4100' }),
      get(`${hanging.url}/health/ready`, { host: '10.0.0.7' }),
      get(`${hanging.url}/health/live`, { host: 'evil.example' }),
    ])
    expect([live.status, ready.status, JSON.parse(ready.text), dns.status]).toEqual([
      200,
      503,
      { status: 'unavailable', code: 'NO_DATABASE' },
      403,
    ])
    expect(performance.now() - begun).toBeLessThan(10_000)
  })
})

describe('a base path', () => {
  const fleet = useFleet()

  test.each([
    ['the proxy takes the prefix off', '/fleet'],
    ['the proxy leaves the prefix', ''],
  ])('everything lies below it: %s', async (_what, strip) => {
    const queue = ownQueue()
    const runner = await fleet.runner({ queue, listen: LOOPBACK, basePath: '/fleet' })
    expect(new URL(runner.url!).pathname).toBe('/fleet')
    const proxy = `${await startPlainProxy(fleet, { target: runner.url!, strip })}/fleet`
    const page = await get(`${proxy}/tasks/abc`, { accept: 'text/html' })
    expect(page.text).toContain('<base href="/fleet/" />')
    const [, script] = /src="\.\/(assets\/[^"]+\.js)"/.exec(page.text)!
    expect((await get(`${proxy}/${script}`)).status).toBe(200)
    expect((await get(proxy, { accept: 'text/html' })).text).toContain('<base href="/fleet/" />')
    expect(JSON.parse((await get(`${proxy}/api/openapi.json`)).text).servers).toEqual([{ url: '/fleet/' }])
    const docs = await get(`${proxy}/api/docs`)
    const [, style] = /href="(\/[^"]+swagger-ui\.css)"/.exec(docs.text)!
    expect((await get(new URL(style!, proxy).href)).status).toBe(200)
    for (const path of ['health/ready', 'metrics', 'api/v1/tasks']) {
      expect([path, (await get(`${proxy}/${path}`)).status]).toEqual([path, 200])
    }
    const client = fleet.client(proxy, { reach: 'relay' })
    const task = await fleet.post([{ do: 'progress', done: 1, total: 2 }, { do: 'waitForAbort' }], { queue })
    const seen: unknown[] = []
    const watch = await client.watchTask(task._id.toHexString(), { onProgress: (progress) => seen.push(progress) })
    await eventually(() => seen.length > 0 && watch.source.state === 'live')
    const direct = await fleet.client(runner.url!).watchTask(task._id.toHexString(), {})
    await eventually(() => direct.source.state === 'live' && direct.source.via === 'direct')
    expect(direct.source).toMatchObject({
      publicUrl: `${runner.url}/tasks/${task._id.toHexString()}`,
    })
  })

  test('applies to every address of localhost', async () => {
    const gateway = await startGateway(fleet, { listen: { host: 'localhost', port: 0 }, basePath: '/fleet' })
    const { port } = new URL(gateway.url!)
    const addresses = await lookup('localhost', { all: true })
    for (const { address, family } of addresses) {
      const url = `http://${family === 6 ? `[${address}]` : address}:${port}`
      expect([url, (await get(`${url}/fleet/health/live`)).status]).toEqual([url, 200])
      for (const transports of [['websocket'], ['polling']]) {
        const socket = open(url, undefined, { path: '/fleet/socket.io', transports })
        fleet.cleanup(() => socket.disconnect())
        expect([url, transports, await refusal(socket)]).toEqual([url, transports, undefined])
      }
    }
  })

  test('is refused if it is invalid, and may be part of the public address', async () => {
    for (const basePath of ['fleet', '/fl eet', '/../x', '/a?b', '//']) {
      expect(() => createGateway({ fleet: fleet.fleet, basePath })).toThrow(
        expect.objectContaining({ code: 'BAD_BASE_PATH' }),
      )
    }
    await expect(startGateway(fleet, { publicUrl: 'https://fleet.example/fleet' })).rejects.toThrow(/--base-path/)
    for (const publicUrl of ['https://fleet.example', 'https://fleet.example/fleet/']) {
      const gateway = await startGateway(fleet, { publicUrl, basePath: '/fleet/' })
      expect(gateway.publicUrl).toBe('https://fleet.example/fleet')
    }
  })
})

describe('trusted proxies', () => {
  const fleet = useFleet()
  const forwarded = { 'x-forwarded-host': 'fleet.example', 'x-forwarded-proto': 'https' }

  test('only their headers count for name and scheme', async () => {
    const publicUrl = 'https://other.example'
    const plain = await startGateway(fleet, { publicUrl })
    const trusting = await startGateway(fleet, { publicUrl: 'https://fleet.example', trustProxy: ['loopback'] })
    const named = { host: 'upstream', ...forwarded }
    expect((await get(`${plain.url}/`, named)).status).toBe(403)
    expect((await get(`${trusting.url}/`, named)).status).toBe(200)
    expect((await get(`${trusting.url}/`, { ...named, 'x-forwarded-host': 'evil.example' })).status).toBe(403)
    expect(
      (await get(`${trusting.url}/`, { host: 'fleet.example', 'x-forwarded-host': 'fleet.example, evil.example' }))
        .status,
    ).toBe(403)
    const origin = 'https://fleet.example'
    expect((await upgrade(trusting.url!, { ...named, origin })).status).toBe(101)
    expect((await upgrade(trusting.url!, { ...named, origin: 'http://fleet.example' })).status).toBe(403)
    await expect(startGateway(fleet, { trustProxy: ['not an address'] })).rejects.toMatchObject({
      code: 'BAD_TRUST_PROXY',
    })
  })

  test('a client from another computer also needs a key behind a proxy', async () => {
    const { url } = await startGateway(fleet, { trustProxy: ['127.0.0.0/8'] })
    const tasks = async (from: string) => (await get(`${url}/api/v1/tasks`, { 'x-forwarded-for': from })).status
    expect(await tasks('203.0.113.7')).toBe(401)
    expect(await tasks('127.0.0.1, 203.0.113.7, 127.0.0.9')).toBe(401)
    expect(await tasks('203.0.113.7, 127.0.0.1')).toBe(401)
    expect((await get(`${url}/api/v1/tasks`)).status).toBe(200)
    const extraHeaders = { 'x-forwarded-for': '203.0.113.7' }
    expect((await refusal(open(url!, undefined, { extraHeaders })))?.message).toBe('UNAUTHENTICATED')
  })

  test('wrong keys are counted by the last address that is not one of theirs', async () => {
    await new KeyStore(fleet.database.db).create({ name: 'any', scopes: ['read'] })
    const { url } = await startGateway(fleet, { trustProxy: ['127.0.0.1'] })
    const authorization = `Bearer tf_${'0'.repeat(12)}_${'A'.repeat(43)}`
    const wrong = async (from: string) =>
      (await get(`${url}/api/v1/tasks`, { authorization, 'x-forwarded-for': from })).status
    for (let spoofed = 0; spoofed < 20; spoofed += 1)
      expect(await wrong(`198.51.100.${spoofed}, 203.0.113.7`)).toBe(401)
    // One try comes back every five seconds, which a slow machine needs for twenty requests.
    await eventually(async () => (await wrong('198.51.100.99, 203.0.113.7')) === 429)
    expect(await wrong('203.0.113.7, 203.0.113.8')).toBe(401)
    const extraHeaders = { 'x-forwarded-for': '203.0.113.7' }
    await eventually(async () => {
      const refused = await refusal(open(url!, `tf_${'0'.repeat(12)}_${'A'.repeat(43)}`, { extraHeaders }))
      return refused?.data?.code === 'RATE_LIMITED'
    })
  })
})

describe('a client with a broken network', () => {
  const fleet = useFleet()

  test.each([
    ['websockets are refused', false],
    ['websockets are never answered', true],
  ])('goes by long polling where %s', async (_what, swallowUpgrades) => {
    const queue = ownQueue()
    const gateway = await startGateway(fleet)
    const begun = performance.now()
    const client = fleet.client(await startPlainProxy(fleet, { target: gateway.url!, swallowUpgrades }))
    const live = await client.subscribe({ filter: { queue } }, () => undefined)
    // Sooner than the 20 s after which a connection counts as failed.
    expect(performance.now() - begun).toBeLessThan(19_000)
    await client.tasks.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.length === 1)
  })

  test('reports the reason within 10 s', async () => {
    const mute = createTcpServer(() => undefined)
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
    fleet.cleanup(() => mute.close())
    const { port } = mute.address() as AddressInfo
    const noGateway = await listening(createServer((_request, response) => response.writeHead(502).end()))
    const misnamed = await startGateway(fleet, { publicUrl: 'https://fleet.example' })
    const behind = await startPlainProxy(fleet, { target: misnamed.url!, headers: { host: 'upstream' } })
    // Of two timers of a process the earlier one is run first, however busy the machine is.
    const late = sleep(10_000, 'too late', { ref: false })
    const reasons = Promise.all(
      [`http://127.0.0.1:${port}`, 'http://127.0.0.1:1', noGateway, behind].map(async (url) => {
        const client = fleet.client(url)
        const told = new Promise((resolve) => client.onState((_state, error) => error && resolve(error)))
        const [asked, state] = await Promise.all([client.tasks.list({}).catch((error: unknown) => error), told])
        return [asked, state].map((error) => (error as { code: string }).code)
      }),
    )
    const unreachable = ['UNREACHABLE', 'UNREACHABLE']
    expect(await Promise.race([reasons, late])).toEqual([
      unreachable,
      unreachable,
      unreachable,
      ['BAD_HOST', 'BAD_HOST'],
    ])
  })

  test('continues with another gateway when its own is gone, and its views stay correct', async () => {
    const queue = ownQueue()
    const [two, one] = [await startHost(fleet), await startHost(fleet)]
    const proxy = await startProxy(fleet, one.url!)
    const client = fleet.client(proxy.url)
    expect((await client.welcomed()).gateways).toEqual(expect.arrayContaining([one.url, two.url]))
    const live = await client.subscribe({ filter: { queue }, sort: { createdAt: 1 } }, () => undefined)
    const first = await client.tasks.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.length === 1)
    proxy.refuse()
    await one.stop()
    const second = await fleet.post([], { queue })
    await eventually(() => live.live && live.rows.length === 2)
    expect(live.rows.map(({ _id }) => _id)).toEqual([first._id, second._id.toHexString()])
    const third = await client.tasks.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.at(-1)?._id === third._id)
  })

  test('takes a list of gateways whose first is down', async () => {
    const gateway = await startGateway(fleet)
    const client = new FleetClient({ url: ['http://127.0.0.1:1', gateway.url!] })
    fleet.cleanup(() => client.close())
    expect(await client.welcomed()).toMatchObject({ gateways: [gateway.url] })
  })
})

/** A gateway that registers itself, as a process of its own does. */
async function startHost(fleet: ReturnType<typeof useFleet>): Promise<GatewayHost> {
  const host = new GatewayHost({ mongo: fleet.uri, listen: LOOPBACK, log: silent })
  fleet.cleanup(() => host.stop())
  await host.start()
  return host
}

describe('the page of a locked fleet', () => {
  const fleet = useFleet()

  test('goes on with sessions that each gateway makes, and its origin stays good when its gateway is gone', async () => {
    const key = await makeKey(fleet, { scopes: ['read'] })
    const [two, one] = [await startHost(fleet), await startHost(fleet)]
    const made: string[] = []
    const session = async (gateway: string): Promise<string> => {
      made.push(gateway)
      // What a browser adds to a request of a page of another origin.
      const headers = { authorization: `Bearer ${key}`, origin: one.url! }
      const answer = await fetch(`${gateway}/api/v1/sessions`, { method: 'POST', headers })
      expect(answer.headers.get('access-control-allow-origin')).toBe(one.url)
      return ((await answer.json()) as { token: string }).token
    }
    const client = new FleetClient({ url: one.url!, token: session })
    fleet.cleanup(() => client.close())
    await client.welcomed()
    await one.stop()
    await eventually(() => client.state === 'live' && made.at(-1) === two.url)
    expect(await client.tasks.list({})).toMatchObject({ tasks: expect.any(Array) })
    const preflight = (origin: string) =>
      fetch(`${two.url}/api/v1/sessions`, {
        method: 'OPTIONS',
        headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
      })
    expect((await preflight(one.url!)).headers.get('access-control-allow-headers')).toContain('authorization')
    const foreign = await preflight('https://elsewhere.example')
    expect([foreign.status, foreign.headers.get('access-control-allow-origin')]).toEqual([403, null])
  })
})

describe('createGateway', () => {
  const fleet = useFleet()

  /** A page, a request with a body and a socket, below the path of a server of one's own. */
  async function serves(url: string): Promise<void> {
    const queue = ownQueue()
    expect((await get(`${url}/`, { accept: 'text/html' })).text).toContain('<base href="/fleet/" />')
    const answer = await fetch(`${url}/api/v1/tasks`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'scripted', queue, input: { steps: [] } }),
    })
    expect([answer.status, await answer.clone().text()]).toEqual([201, expect.stringContaining('scripted')])
    for (const transports of [['websocket'], ['polling']]) {
      expect(
        await refusal(open(new URL(url).origin, undefined, { path: '/fleet/socket.io', transports })),
      ).toBeUndefined()
    }
    const live = await fleet.client(url).subscribe({ filter: { queue } }, () => undefined)
    expect(live.rows).toHaveLength(1)
  }

  test('serves a fleet within a server of node:http', async () => {
    const gateway = createGateway({ fleet: fleet.fleet, basePath: '/fleet' })
    const server = createServer((request, response) =>
      gateway.handler(request, response, () => response.end('the program itself')),
    )
    const detach = gateway.attach(server)
    const url = await listening(server)
    fleet.cleanup(() => server.close())
    fleet.cleanup(() => gateway.close())
    await serves(`${url}/fleet`)
    expect((await get(`${url}/fleets`)).text).toBe('the program itself')
    expect((await upgrade(url, {}, '/socket.io/?EIO=4&transport=websocket')).status).toBe(404)
    detach()
  })

  test.each([
    ['below a path of its own', '/fleet'],
    ['before everything else', '/'],
  ])('serves it within Express, %s', async (_where, mount) => {
    const gateway = createGateway({ fleet: fleet.fleet, basePath: '/fleet' })
    const app = express()
    app.use(mount, gateway.handler)
    app.get('/', (_request, response) => void response.send('the program itself'))
    const server = createServer(app)
    gateway.attach(server)
    fleet.cleanup(() => server.close())
    fleet.cleanup(() => gateway.close())
    const url = await listening(server)
    await serves(`${url}/fleet`)
    expect((await get(url)).text).toBe('the program itself')
  })

  test('serves it within Fastify, and closes with it', async () => {
    const app = fastify({ forceCloseConnections: true })
    app.get('/', () => 'the program itself')
    await app.register(createGateway({ fleet: fleet.fleet, basePath: '/fleet' }).plugin)
    fleet.cleanup(() => app.close())
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    await serves(`${url}/fleet`)
    expect((await get(url)).text).toBe('the program itself')
  })
})
