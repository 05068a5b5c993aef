import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startFileServer } from './file-server/index.ts'
import { environmentProxy, readProxy } from './proxies.ts'
import { type TestBed, testBed } from './test-bed.ts'
import { type RawServer, rawServer, reply } from './test-raw-server.ts'

const exec = promisify(execFile)
let bed: TestBed
beforeAll(async () => {
  bed = await testBed({ files: { 'f.bin': { size: 200_000 } } })
})
afterAll(() => bed.close())

const NAMES = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()])
const before = new Map(NAMES.map((name) => [name, process.env[name]]))
for (const name of NAMES) delete process.env[name]
afterEach(() => {
  for (const name of NAMES) delete process.env[name]
})
afterAll(() => {
  for (const [name, value] of before) if (value !== undefined) process.env[name] = value
})

/** A proxy that forwards requests for http: URLs, and connections for https: ones, to the file server, whatever their name. */
async function forwardingProxy(
  port = bed.server.port,
): Promise<{ url: string; seen: string[]; authorization: string[] }> {
  const seen: string[] = []
  const authorization: string[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (chunk) => {
      const head = chunk.toString('latin1')
      const [method = '', target = ''] = head.split(' ')
      seen.push(`${method} ${target}`)
      authorization.push(/^proxy-authorization: (.*)$/im.exec(head)?.[1] ?? '')
      const upstream = connect(port, '127.0.0.1')
      upstream.on('error', () => socket.destroy())
      if (method === 'CONNECT') socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      else upstream.write(head.replace(/http:\/\/[^/]+/, ''), 'latin1')
      socket.pipe(upstream).pipe(socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, authorization }
}

async function refusingProxy(status: string, headers = {}): Promise<RawServer> {
  const server = await rawServer(() => reply(status, headers))
  onTestFinished(() => server.stop())
  return server
}

const NAME = 'http://files.fleet-test.invalid'

describe('a download through a proxy', () => {
  test.each(['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'])('by %s', async (name) => {
    const proxy = await forwardingProxy()
    process.env[name] = proxy.url
    const sha256 = await bed.server.sha256('f.bin')
    expect(await bed.run({ url: `${NAME}/f.bin?x=1`, file: `by-${name}` })).toMatchObject({ sha256 })
    expect(proxy.seen).toEqual([`GET ${NAME}/f.bin?x=1`])
  })

  test('by an option of the worker, with a user name and a password', async () => {
    const proxy = await forwardingProxy()
    const url = proxy.url.replace('://', '://me:p%40ss@')
    expect(await bed.code({ url: `${NAME}/f.bin`, file: 'option' }, { proxy: url })).toBe('completed')
    expect(proxy.authorization).toEqual([`Basic ${btoa('me:p@ss')}`])
  })

  test('by the task, or by none if it says so', async () => {
    const [ofWorker, ofTask] = [await forwardingProxy(), await forwardingProxy()]
    const options = { proxy: ofWorker.url }
    expect(await bed.code({ url: `${NAME}/f.bin`, file: 'task', proxy: ofTask.url }, options)).toBe('completed')
    const direct = { url: `${bed.server.url}/f.bin`, file: 'direct', proxy: 'direct' }
    expect(await bed.code(direct, options)).toBe('completed')
    expect([ofWorker.seen.length, ofTask.seen.length]).toEqual([0, 1])
  })

  test('goes on where it was after the connection has ended', async () => {
    const proxy = await forwardingProxy()
    const sha256 = await bed.server.sha256('f.bin')
    const url = `${NAME}/f.bin?drop=100000`
    expect(await bed.run({ url, file: 'resumed' }, { proxy: proxy.url })).toMatchObject({
      sha256,
      fetchedBytes: 200_000,
    })
    expect(proxy.seen).toHaveLength(2)
  })

  test('to an https: URL passes through the proxy encrypted', async () => {
    const proxy = await forwardingProxy()
    const url = 'https://files.fleet-test.invalid/f.bin'
    // The file server behind the proxy speaks no TLS.
    expect(await bed.code({ url, file: 'tls' }, { proxy: proxy.url })).toBe('TLS_FAILED')
    expect(proxy.seen).toEqual(['CONNECT files.fleet-test.invalid:443'])
  })

  test('to an https: URL brings the file, and goes on after the connection has ended', async ({ skip }) => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-tls-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const [keyFile, certFile] = [join(folder, 'k'), join(folder, 'c')]
    const made = await exec('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
      ...['-keyout', keyFile, '-out', certFile, '-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1'],
    ]).catch(() => undefined)
    if (!made) skip('openssl is missing')
    const tls = { key: await readFile(keyFile, 'utf8'), cert: await readFile(certFile, 'utf8') }
    const secure = await startFileServer({ tls, files: { 'f.bin': { size: '8MiB' } } })
    onTestFinished(() => secure.stop())
    const proxy = await forwardingProxy(secure.port)
    const sha256 = await secure.sha256('f.bin')
    const input = { url: `${secure.url}/f.bin?drop=3MB`, file: 'secure' }
    const output = await bed.run(input, { proxy: proxy.url, ca: tls.cert })
    expect(output).toMatchObject({ sha256, fetchedBytes: 8 * 2 ** 20 })
    expect(proxy.seen).toEqual(Array(2).fill(`CONNECT 127.0.0.1:${secure.port}`))
    expect(await bed.code({ ...input, file: 'untrusted' }, { proxy: proxy.url })).toBe('TLS_SELF_SIGNED')
  })

  test.each([
    ['407 Proxy Authentication Required', {}, { code: 'PROXY_407', name: 'UnrecoverableError' }],
    ['502 Bad Gateway', {}, { code: 'PROXY_502', name: 'FleetError' }],
    ['503 No', { 'Retry-After': '7' }, { code: 'PROXY_503', name: 'RetryAfterError', delayMs: 7_000 }],
  ])('that answers CONNECT with %s %j', async (status, headers, error) => {
    const proxy = await refusingProxy(status, headers)
    const ended = bed.run({ url: 'https://files.fleet-test.invalid/f.bin', file: 'x' }, { proxy: proxy.url })
    await expect(ended).rejects.toMatchObject(error)
  })

  test('that refuses a user has a code of its own for http: URLs too', async () => {
    const proxy = await refusingProxy('407 No')
    expect(await bed.code({ url: `${NAME}/f.bin`, file: 'x' }, { proxy: proxy.url })).toBe('PROXY_407')
  })

  test('that is not there can be tried again', async () => {
    const proxy = await refusingProxy('200 OK')
    await proxy.stop()
    proxy.stop = async () => undefined
    for (const scheme of ['http', 'https'])
      expect(
        await bed.code({ url: `${scheme}://files.fleet-test.invalid/f.bin`, file: 'x' }, { proxy: proxy.url }),
      ).toBe('CONNECT_REFUSED')
  })

  test('that a task names is dialled only where downloads may go, and its target is refused by address', async () => {
    const proxy = await forwardingProxy()
    const input = { url: `${NAME}/f.bin`, file: 'x', proxy: proxy.url }
    expect(await bed.code(input, { allowPrivate: false })).toBe('BLOCKED_ADDRESS')
    const secure = { ...input, url: 'https://files.fleet-test.invalid/f.bin' }
    expect(await bed.code(secure, { allowPrivate: false })).toBe('BLOCKED_ADDRESS')
    const metadata = { url: 'http://169.254.169.254/latest', file: 'x' }
    expect(await bed.code(metadata, { proxy: proxy.url })).toBe('BLOCKED_ADDRESS')
    expect(proxy.seen).toEqual([])
  })

  test.each(['socks5://127.0.0.1:1080', 'ftp://x', 'http://', 'a b'])('%j is no proxy', async (proxy) => {
    expect(await bed.code({ url: `${NAME}/f.bin`, file: 'x', proxy })).toBe('BAD_PROXY')
  })
})

describe('the proxy of the environment', () => {
  const env = { http_proxy: 'proxy.example:3128', HTTPS_PROXY: 'http://secure.example', no_proxy: '' }
  const proxyOf = (url: string, more: Record<string, string> = {}) =>
    environmentProxy(new URL(url), { ...env, ...more })?.host

  test('is chosen by the scheme of the URL, and needs none itself', () => {
    expect(proxyOf('http://a.example/')).toBe('proxy.example:3128')
    expect(proxyOf('https://a.example/')).toBe('secure.example')
    expect(readProxy('proxy.example:3128').href).toBe('http://proxy.example:3128/')
  })

  test.each(['http://localhost/', 'http://127.0.0.1:8080/', 'http://[::1]/', 'http://a.localhost/'])(
    'is not used for %s',
    (url) => expect(proxyOf(url)).toBeUndefined(),
  )

  test.each([
    ['*', 'http://a.example/', true],
    ['a.example', 'http://a.example/', true],
    ['.example', 'http://a.example/', true],
    ['*.example', 'http://a.example/', true],
    ['example', 'http://a.example/', true],
    ['x.example, a.example', 'http://A.example/', true],
    ['x.example a.example', 'http://a.example./', true],
    ['a.example:80', 'http://a.example/', true],
    ['a.example:81', 'http://a.example/', false],
    ['ample', 'http://a.example/', false],
    ['b.a.example', 'http://a.example/', false],
    ['10.0.0.0/8', 'http://10.1.2.3/', true],
    ['10.0.0.0/8', 'http://11.1.2.3/', false],
    ['192.0.2.1', 'http://192.0.2.1/', true],
    ['192.0.2.1:80', 'http://192.0.2.1/', true],
    ['2001:db8::/32', 'http://[2001:db8::5]/', true],
    ['[2001:db8::5]:80', 'http://[2001:db8::5]/', true],
    ['10.0.0.0/99', 'http://10.1.2.3/', false],
    ['', 'http://a.example/', false],
  ])('NO_PROXY=%j and %s: %s', (list, url, exempt) => {
    expect(proxyOf(url, { no_proxy: list }) === undefined).toBe(exempt)
  })
})
