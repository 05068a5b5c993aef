import { readFile } from 'node:fs/promises'
import { freePort } from '@taskfleet/dev-mongo'
import { hasNginx, startNginx } from '@taskfleet/testkit/fleet/real-nginx'
import { LOOPBACK, ownQueue, silent, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { GatewayHost } from './gateway-host.ts'

/** The configuration that docs/operations.md gives, for other ports and one more certificate. */
async function documented(target: string): Promise<string> {
  const page = await readFile(new URL('../../../docs/operations.md', import.meta.url), 'utf8')
  const [, config] = page.match(/```nginx\n(.*?)```/s)!
  const http = config!
    .replace('listen 443 ssl;', 'listen 127.0.0.1:PORT ssl; CERTIFICATE')
    .replace('server_name example.com;', 'server_name localhost;')
    .replace('http://127.0.0.1:4100', target)
  expect(http).toContain('CERTIFICATE')
  expect(http).toContain(target)
  return http
}

describe.skipIf(!hasNginx)('behind nginx', () => {
  const fleet = useFleet()
  /** The page, REST and a live query, all through the proxy. */
  async function serves(url: string, base = '/'): Promise<void> {
    const queue = ownQueue()
    const page = await fetch(url, { headers: { accept: 'text/html' } })
    expect([page.status, await page.text()]).toEqual([200, expect.stringContaining(`<base href="${base}" />`)])
    const rest = await fetch(`${url}/api/v1/tasks?queue=${queue}`)
    expect([rest.status, await rest.json()]).toEqual([200, expect.objectContaining({ tasks: [] })])
    const client = fleet.client(url)
    const live = await client.subscribe({ filter: { queue } }, () => undefined)
    await client.tasks.enqueue({ name: 'scripted', queue, input: { steps: [] } })
    await eventually(() => live.rows.length === 1)
  }

  test('with the documented configuration: TLS, a path of its own, websockets', async () => {
    const port = await freePort()
    const gateway = await startGateway(fleet, {
      publicUrl: `https://localhost:${port}`,
      basePath: '/fleet',
      trustProxy: ['loopback'],
    })
    const url = await startNginx(fleet, { http: await documented(new URL(gateway.url!).origin), scheme: 'https', port })
    await serves(`${url}/fleet`, '/fleet/')
  })

  test('a bare proxy_pass: by long polling', async () => {
    const gateway = await startGateway(fleet)
    const http = `server { listen 127.0.0.1:PORT; location / { proxy_pass ${gateway.url}; } }`
    await serves(await startNginx(fleet, { http, scheme: 'http' }))
  })

  test('a bare proxy_pass that removes the path', async () => {
    const gateway = await startGateway(fleet, { basePath: '/fleet' })
    const target = new URL(gateway.url!).origin
    const http = `server { listen 127.0.0.1:PORT; location /fleet/ { proxy_pass ${target}/; } }`
    await serves(`${await startNginx(fleet, { http, scheme: 'http' })}/fleet`, '/fleet/')
  })

  /** Two gateways behind one address, as `proxy_pass http://fleet` finds them. */
  async function twoGateways(inUpstream: string, inLocation: string): Promise<string> {
    const hosts = [0, 1].map(() => new GatewayHost({ mongo: fleet.uri, listen: LOOPBACK, log: silent }))
    for (const host of hosts) fleet.cleanup(() => host.stop())
    for (const host of hosts) await host.start()
    const servers = hosts.map(({ url }) => `server ${new URL(url!).host};`).join(' ')
    const http = `upstream fleet { ${inUpstream} ${servers} }
server { listen 127.0.0.1:PORT; location / { proxy_pass http://fleet; proxy_set_header Host $http_host; ${inLocation} } }`
    return startNginx(fleet, { http, scheme: 'http' })
  }

  const UPGRADES =
    'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;'

  test.each([
    ['in turns, by websockets', '', UPGRADES],
    ['by the address of the client, by long polling', 'ip_hash;', ''],
  ])('two gateways %s', async (_how, inUpstream, inLocation) => {
    await serves(await twoGateways(inUpstream, inLocation))
  })

  test('two gateways in turns without websockets: the client reports what is missing', async () => {
    const client = fleet.client(await twoGateways('', ''))
    await expect(client.welcomed()).rejects.toMatchObject({
      code: 'UNREACHABLE',
      message: expect.stringContaining('sticky'),
    })
  })
})
