import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { type connect, createServer, type LookupFunction, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { checkRoot } from './destination.ts'
import { startFileServer } from './file-server/index.ts'
import { type TestBed, testBed } from './test-bed.ts'

const exec = promisify(execFile)
const SIZE = 500_000
let bed: TestBed

beforeAll(async () => {
  bed = await testBed({ files: { 'f.bin': { size: SIZE } } })
})
afterAll(() => bed.close())
afterEach(async () => {
  for (const name of await bed.files()) await rm(join(bed.root, name), { recursive: true })
})

const at = (query: string, file = 'f.bin') => `${bed.server.url}/${file}?${query}`
const to = (url: string) => Buffer.from(url).toString() && encodeURIComponent(url)

describe('where a download may go to', () => {
  test.each([
    'file:///etc/passwd',
    'ftp://h/x',
    'data:,x',
    'gopher://h/',
    'http+unix://%2fx',
    'javascript:1',
    'no url',
    '//h/x',
    '',
  ])('%s is no scheme for it', async (url) => expect(await bed.code({ url, file: 'x' })).toBe('BAD_SCHEME'))

  test('HTTP:// is', async () => {
    expect(await bed.code({ url: at('').replace('http', 'HTTP'), file: 'x' })).toBe('completed')
  })

  test.each([
    ...[
      '127.0.0.1',
      'localhost',
      '0',
      '0x7f000001',
      '017700000001',
      '2130706433',
      '[::1]',
      '[::ffff:10.0.0.1]',
      '[64:ff9b::7f00:1]',
    ],
    ...[
      '10.1.2.3',
      '172.16.0.1',
      '192.168.0.1',
      '169.254.169.254',
      '100.64.0.1',
      '[fc00::1]',
      '[fe80::1]',
      '0.0.0.0',
      '127.1',
      '①②⑦.0.0.1',
    ],
  ])('http://%s/ is not dialled', async (host) => {
    const before = bed.server.served('f.bin').requests
    const url = `http://${host}:${bed.server.port}/f.bin`
    expect(await bed.code({ url, file: 'x' }, { allowPrivate: false })).toBe('BLOCKED_ADDRESS')
    expect(bed.server.served('f.bin').requests).toBe(before)
    expect(await bed.files()).toEqual([])
  })

  test("the worker's own addresses are not dialled even where private ones are allowed", async () => {
    const blockedAddresses = [`127.0.0.1:${bed.server.port}`]
    expect(await bed.code({ url: at(''), file: 'x' }, { blockedAddresses })).toBe('BLOCKED_ADDRESS')
  })

  test('a name counts by every address it has, and by those of the moment it is dialled', async () => {
    const answers = (...lists: string[][]): LookupFunction => {
      let call = 0
      return (_host, options, callback) => {
        const list = lists[Math.min(call++, lists.length - 1)] ?? []
        const all: LookupAddress[] = list.map((address) => ({ address, family: 4 }))
        process.nextTick(() => (options.all ? callback(null, all) : callback(null, all[0]?.address ?? '', 4)))
      }
    }
    const url = 'http://mixed.example/f.bin'
    expect(
      await bed.code({ url, file: 'x' }, { allowPrivate: false, lookup: answers(['93.184.216.34', '10.0.0.1']) }),
    ).toBe('BLOCKED_ADDRESS')
    // Rebinding: the first hop's look-up is harmless, the redirect asks again and gets ours.
    const rebound = `http://rebind.example:${bed.server.port}/f.bin?hops=1`
    const lookup = answers(['127.0.0.1'], ['169.254.1.1'])
    expect(await bed.code({ url: rebound, file: 'x' }, { lookup })).toBe('BLOCKED_ADDRESS')
  })
})

describe('redirects', () => {
  test('twenty are followed, one more is not, and loops end', async () => {
    expect(await bed.code({ url: at('hops=20'), file: 'x' })).toBe('completed')
    expect(await bed.code({ url: at('hops=21'), file: 'y' })).toBe('TOO_MANY_REDIRECTS')
    expect(await bed.code({ url: at(`redirect=${to(at('redirect=%3Fredirect'))}`), file: 'y' })).toMatch(
      /TOO_MANY_REDIRECTS|HTTP_302/,
    )
  })

  test.each([
    ['file:///etc/passwd', 'BAD_SCHEME'],
    ['http://169.254.169.254/latest', 'BLOCKED_ADDRESS'],
    ['http://[fe80::1]/', 'BLOCKED_ADDRESS'],
  ])('each hop is checked: %s', async (next, code) => {
    expect(await bed.code({ url: at(`redirect=${to(next)}`), file: 'x' })).toBe(code)
  })

  test('what the caller sent stays with its origin, and user info of a redirect is not used', async () => {
    const other = await startFileServer({ files: { 'o.bin': { size: 5 } } })
    const next = other.url.replace('://', '://user:pass@')
    const headers = { Authorization: 'Bearer secret', 'x-api-key': 'secret', cookie: 'a=b' }
    expect(await bed.code({ url: at(`redirect=${to(`${next}/o.bin`)}`), file: 'x', headers })).toBe('completed')
    expect(bed.server.served('f.bin').headers.at(-1)).toMatchObject({ authorization: 'Bearer secret', cookie: 'a=b' })
    expect(JSON.stringify(other.served('o.bin').headers)).not.toMatch(/secret|authorization|cookie/i)
    await other.stop()
  })

  test('the same origin gets them on every hop, and user info of the URL as basic authorization', async () => {
    const url = at('hops=2').replace('://', '://me:p%40ss@')
    const attempt = bed.start({ url, file: 'x', headers: { 'x-key': '1' } })
    await attempt.ended
    expect(bed.server.served('f.bin').headers.at(-1)).toMatchObject({
      authorization: `Basic ${btoa('me:p@ss')}`,
      'x-key': '1',
    })
    expect(attempt.logged.join()).not.toMatch(/p%40ss|p@ss|hops/)
  })
})

test.each([
  [{ Host: 'evil' }],
  [{ range: 'bytes=0-' }],
  [{ 'If-Range': '"x"' }],
  [{ 'content-length': '5' }],
  [{ 'x-a': 'a\r\nx-b: c' }],
  [{ 'x-a': 'a\0' }],
  [{ 'bad name': 'x' }],
  [{ '': 'x' }],
  [{ 'x-a': '…' }],
])('the headers %j are refused', async (headers) => {
  expect(await bed.code({ url: at(''), file: 'x', headers })).toBe('BAD_HEADER')
})

describe('the destination', () => {
  test.each(['../../etc/cron.d/x', '/abs', 'C:\\x', 'a\0b', '.', '..', 'CON', 'x'.repeat(300), 'dot.'])(
    '%j is refused',
    async (file) => {
      expect(await bed.code({ url: at(''), file })).toBe('BAD_FILENAME')
    },
  )

  test('a name that the server gives is made safe', async () => {
    const disposition = to('attachment; filename="../../evil.bin"')
    expect(await bed.run({ url: at(`disposition=${disposition}`) })).toMatchObject({ file: 'evil.bin' })
    expect(await bed.run({ url: at('') })).toMatchObject({ file: 'f.bin' })
    expect(await bed.files()).toEqual(['evil.bin', 'f.bin'])
  })

  test.each(['link', 'dangling', 'folder', 'fifo'])(
    'a %s in its place is neither followed nor replaced',
    async (kind) => {
      const outside = await mkdtemp(join(tmpdir(), 'taskfleet-outside-'))
      const path = join(bed.root, 'x')
      const target = join(outside, 'target')
      if (kind === 'link') await writeFile(target, 'precious')
      if (kind === 'folder') await mkdir(path)
      else if (kind === 'fifo') await exec('mkfifo', [path])
      else await symlink(target, path)
      for (const overwrite of [false, true])
        expect(await bed.code({ url: at(''), file: 'x', overwrite })).toBe('DEST_EXISTS')
      if (kind === 'link') expect(await readFile(target, 'utf8')).toBe('precious')
      if (kind === 'dangling') await expect(readFile(target)).rejects.toThrow()
      await rm(outside, { recursive: true })
    },
  )

  test('a link that appears during the download is not followed', async () => {
    const target = join(bed.root, 'target')
    await writeFile(target, 'precious')
    for (const overwrite of [false, true]) {
      const attempt = bed.start({ url: at('', 'f.bin'), file: `swap-${overwrite}`, overwrite })
      const { save } = attempt.context.checkpoint
      attempt.context.checkpoint.save = async (state) => {
        await save(state)
        await symlink(target, join(bed.root, `swap-${overwrite}`)).catch(() => undefined)
      }
      await expect(attempt.ended).rejects.toMatchObject({ code: 'DEST_EXISTS' })
    }
    expect(await readFile(target, 'utf8')).toBe('precious')
  })

  test('an existing file stays unless it is to be replaced', async () => {
    await writeFile(join(bed.root, 'x'), 'old')
    expect(await bed.code({ url: at(''), file: 'x' })).toBe('DEST_EXISTS')
    expect((await bed.read('x')).toString()).toBe('old')
    expect(await bed.code({ url: at(''), file: 'x', overwrite: true })).toBe('completed')
    expect((await bed.read('x')).length).toBe(SIZE)
  })

  test('the root must be a real, writable folder', async () => {
    await writeFile(join(bed.root, 'file'), '')
    await symlink(tmpdir(), join(bed.root, 'link'))
    await expect(checkRoot(join(bed.root, 'missing'))).rejects.toMatchObject({ code: 'NO_ROOT' })
    for (const root of ['/', join(bed.root, 'file'), join(bed.root, 'link')]) {
      await expect(checkRoot(root)).rejects.toMatchObject({ code: 'BAD_ROOT' })
    }
  })
})

describe('lengths', () => {
  test.each(['no-length', 'until-close'])('%s: the bytes that came count', async (fault) => {
    expect(
      await bed.run({ url: at(`fault=${fault}`), file: 'x', sha256: await bed.server.sha256('f.bin') }),
    ).toMatchObject({ bytes: SIZE })
  })

  test.each([
    ['short-length', { size: SIZE }, 'LENGTH_MISMATCH'],
    ['long-length', {}, /LENGTH_MISMATCH|CONNECTION_LOST/],
    ['negative-length', {}, 'LENGTH_MISMATCH'],
    ['two-lengths', {}, 'LENGTH_MISMATCH'],
    ['length-and-chunked', {}, 'LENGTH_MISMATCH'],
    ['not-http', {}, 'BAD_RESPONSE'],
    ['no-length', { size: SIZE - 1 }, 'LENGTH_MISMATCH'],
    ['no-length', { size: SIZE + 1 }, 'LENGTH_MISMATCH'],
  ])('%s with %j fails with %s', async (fault, input, code) => {
    expect(await bed.code({ url: at(`fault=${fault}`), file: 'x', ...input })).toMatch(code)
    expect((await bed.files()).filter((name) => name === 'x')).toEqual([])
  })

  test('an endless body ends at the limit, and a large one is not begun', async () => {
    expect(await bed.code({ url: at('fault=endless'), file: 'x', maxBytes: 2_000_000 })).toBe('TOO_LARGE')
    expect(await bed.code({ url: at(''), file: 'x' }, { maxBytes: SIZE - 1 })).toBe('TOO_LARGE')
    expect(await bed.code({ url: at(''), file: 'x', size: 10 ** 12 }, { maxBytes: SIZE })).toBe('TOO_LARGE')
    expect(await bed.files()).toEqual([])
  })

  test('an encoded body is stored as it was sent', async () => {
    const output = await bed.run({ url: at('fault=gzip'), file: 'x' })
    expect(output).toMatchObject({ bytes: SIZE, sha256: await bed.server.sha256('f.bin') })
  })

  test('an empty file is one', async () => {
    await bed.server.put('empty', { size: 0 })
    expect(await bed.run({ url: at('', 'empty'), file: 'x' })).toMatchObject({ bytes: 0 })
    expect(await bed.files()).toEqual(['x'])
  })
})

describe('checksums', () => {
  test('a wrong one keeps the file from its name', async () => {
    expect(await bed.code({ url: at(''), file: 'x', sha256: '0'.repeat(64) })).toBe('CHECKSUM_MISMATCH')
    expect(await bed.files()).toEqual([])
  })

  test.each(['md5:abc', 'sha512:00', 'xyz', ''])('%j is none', async (sha256) => {
    expect(await bed.code({ url: at(''), file: 'x', sha256 })).toBe('BAD_CHECKSUM')
  })

  test('upper case and a prefix are fine', async () => {
    const sha256 = (await bed.server.sha256('f.bin')).toUpperCase()
    expect(await bed.run({ url: at(''), file: 'x', sha256: `sha256:${sha256}` })).toMatchObject({
      sha256: sha256.toLowerCase(),
    })
    expect(
      createHash('sha256')
        .update(await bed.read('x'))
        .digest('hex'),
    ).toBe(sha256.toLowerCase())
  })
})

describe('servers that stop or refuse', () => {
  test.each(['stall', 'silent'])('%s: the attempt does not wait for ever', async (fault) => {
    expect(await bed.code({ url: at(`fault=${fault}`), file: 'x' }, { stallMs: 300 })).toBe('STALLED')
  })

  test('a trickle is too slow where a rate is asked for', async () => {
    expect(await bed.code({ url: at('rate=2KB'), file: 'x' }, { stallMs: 300, minBytesPerSecond: 100_000 })).toBe(
      'TOO_SLOW',
    )
  })

  test('a reset half-way ends one try, not the attempt', async () => {
    const sha256 = await bed.server.sha256('f.bin')
    expect(await bed.run({ url: at('reset=300000'), file: 'x' })).toMatchObject({ sha256 })
    expect(await bed.files()).toEqual(['x'])
  })

  test('a port where nobody listens', async () => {
    const free = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => free.once('listening', resolve))
    const { port } = free.address() as { port: number }
    await new Promise((resolve) => free.close(resolve))
    expect(await bed.code({ url: `http://127.0.0.1:${port}/`, file: 'x' })).toBe('CONNECT_REFUSED')
    const lookup: LookupFunction = (_host, _options, callback) =>
      callback(Object.assign(new Error('no'), { code: 'ENOTFOUND' }), '')
    expect(await bed.code({ url: 'http://nowhere.example/', file: 'x' }, { lookup })).toBe('HOST_NOT_FOUND')
  })

  test('a host that never accepts the connection', async () => {
    const hole = await blackHole()
    const input = { url: `https://127.0.0.1:${hole.port}/`, file: 'x' }
    expect(await bed.code(input, { connectTimeoutMs: 300 })).toBe('CONNECT_TIMEOUT')
    await hole.stop()
  })

  test.each([
    ['status=404', { code: 'HTTP_404', name: 'UnrecoverableError' }],
    ['status=401', { code: 'HTTP_401', name: 'UnrecoverableError' }],
    ['status=500', { code: 'HTTP_500', name: 'FleetError' }],
    ['status=408', { code: 'HTTP_408', name: 'FleetError' }],
    ['status=429&retryAfter=86400', { code: 'HTTP_429', name: 'RetryAfterError', delayMs: 86_400_000 }],
    ['status=503&retryAfter=7', { code: 'HTTP_503', name: 'RetryAfterError', delayMs: 7000 }],
    ['status=429&retryAfter=Fri,%2031%20Dec%201999%2023:59:59%20GMT', { code: 'HTTP_429', name: 'FleetError' }],
    [
      'status=429&retryAfter=Sun,%2031%20Dec%202999%2023:59:59%20GMT',
      { code: 'HTTP_429', name: 'RetryAfterError', delayMs: 86_400_000 },
    ],
    ['status=429&retryAfter=soon', { code: 'HTTP_429', name: 'FleetError' }],
    ['status=204', { code: 'HTTP_204', name: 'UnrecoverableError' }],
  ])('%s', async (query, error) => {
    await expect(bed.run({ url: at(query), file: 'x' })).rejects.toMatchObject(error)
    expect(await bed.files()).toEqual([])
  })
})

describe('certificates', () => {
  const hasOpenssl = exec('openssl', ['version']).then(
    () => true,
    () => false,
  )
  test('an expired one, a self-signed one and that of another host are fatal', async ({ skip }) => {
    if (!(await hasOpenssl)) skip('openssl is missing')
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-tls-'))
    const served = async (days: string, name: string) => {
      const [key, cert] = [join(folder, 'k'), join(folder, 'c')]
      const start = [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
        '-nodes',
        '-keyout',
        key,
        '-out',
        cert,
      ]
      await exec('openssl', [...start, '-subj', '/CN=test', '-addext', `subjectAltName=${name}`, '-days', days])
      const tls = { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') }
      return { server: await startFileServer({ tls, files: { f: { size: 5 } } }), ca: tls.cert }
    }
    const cases: [days: string, name: string, trusted: boolean, code: string][] = [
      ['1', 'IP:127.0.0.1', true, 'completed'],
      ['1', 'IP:127.0.0.1', false, 'TLS_SELF_SIGNED'],
      ['1', 'DNS:other.example', true, 'TLS_WRONG_HOST'],
      ['-1', 'IP:127.0.0.1', true, 'TLS_EXPIRED'],
    ]
    for (const [days, name, trusted, code] of cases) {
      const { server, ca } = await served(days, name).catch(() => ({ server: undefined, ca: '' }))
      // Newer versions of openssl refuse to make an expired certificate.
      if (!server) continue
      expect(await bed.code({ url: `${server.url}/f`, file: 'x', overwrite: true }, trusted ? { ca } : {})).toBe(code)
      const downgrade = `${server.url}/f?redirect=${to(at(''))}`
      if (code === 'completed') expect(await bed.code({ url: downgrade, file: 'y' }, { ca })).toBe('DOWNGRADE')
      await server.stop()
    }
    await rm(folder, { recursive: true })
  })
})

/** Accepts connections and never says a word, so that a TLS handshake does not end. */
async function blackHole(): Promise<{ port: number; stop(): Promise<void> }> {
  const sockets = new Set<ReturnType<typeof connect>>()
  const server: Server = createServer((socket) => void sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as { port: number }).port,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy()
        server.close(() => resolve())
      }),
  }
}
