import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readChecksum } from '@taskfleet/download-contract/internal'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { serverChecksum } from './checksums.ts'
import { fakeTask } from './fake-context.ts'
import { HashThreads } from './hash-threads.ts'
import { type TestBed, testBed } from './test-bed.ts'
import { BODY, cut, file, type Headers, rawServer, SHA256, SIZE } from './test-raw-server.ts'

const hex = (algorithm: string, bytes: Buffer = BODY) => createHash(algorithm).update(bytes).digest('hex')
const base64 = (algorithm: string) => createHash(algorithm).update(BODY).digest('base64')

describe.each([0, 2])('with %i threads', (most) => {
  let bed: TestBed
  const threads = new HashThreads({ most })
  beforeAll(async () => {
    bed = await testBed({}, threads)
  })
  afterAll(() => bed.close())

  async function urlOf(headers: Headers, half = false) {
    const server = await rawServer(({ from, n }) => {
      const answer = file(from, { ETag: '"a"', ...headers })
      return half && n === 1 ? { ...cut(answer, 150_000), then: 'stay' } : answer
    })
    onTestFinished(() => server.stop())
    return `${server.url}/f.bin`
  }

  test.each([
    ['sha-512', 'sha512'],
    ['sha-256', 'sha256'],
    ['sha-1', 'sha1'],
    ['md5', 'md5'],
  ])('%s of the caller', async (name, algorithm) => {
    const url = await urlOf({})
    const right = `${name}:${hex(algorithm)}`
    expect(await bed.run({ url, file: name, checksum: right })).toMatchObject({ sha256: SHA256 })
    // It is there and right.
    expect(await bed.run({ url, file: name, checksum: `${name}=${base64(algorithm)}` })).toMatchObject({
      fetchedBytes: 0,
    })
    await writeFile(join(bed.root, name), 'other')
    expect(await bed.code({ url, file: name, checksum: right })).toBe('DEST_EXISTS')
    await rm(join(bed.root, name))
    const wrong = `${name}:${hex(algorithm, Buffer.from('x'))}`
    expect(await bed.code({ url, file: name, checksum: wrong })).toBe('CHECKSUM_MISMATCH')
    expect(await bed.files()).toEqual([])
  })

  test.each([
    ['Repr-Digest', { 'Repr-Digest': `sha-256=:${base64('sha256')}:` }],
    ['another algorithm', { 'Repr-Digest': `sha-512=:${base64('sha512')}:` }],
    ['the older Digest', { Digest: `md5=${base64('md5')},unixsum=5` }],
    ['several, of which the weaker is wrong', { Digest: `md5=${'A'.repeat(22)}==, SHA-512=${base64('sha512')}` }],
    ['one that says nothing', { 'Repr-Digest': 'sha-256=:abc:', Digest: 'nonsense' }],
  ])('of the server: %s', async (_, headers) => {
    const url = await urlOf(headers)
    expect(await bed.run({ url, file: 'x' })).toMatchObject({ sha256: SHA256 })
    await rm(join(bed.root, 'x'))
  })

  test.each([
    ['Repr-Digest', { 'Repr-Digest': `sha-512=:${createHash('sha512').update('x').digest('base64')}:` }],
    ['Digest', { Digest: `SHA-256=${createHash('sha256').update('x').digest('base64')}` }],
  ])('a wrong %s of the server keeps the file from its name', async (_, headers) => {
    expect(await bed.code({ url: await urlOf(headers), file: 'x' })).toBe('CHECKSUM_MISMATCH')
    expect(await bed.files()).toEqual([])
  })

  test('what the server said counts in the next attempt as well', async () => {
    const task = fakeTask()
    const url = await urlOf({ Digest: `SHA-512=${base64('sha512')}` }, true)
    const input = { url, file: 'x', checksum: `sha-1:${hex('sha1')}` }
    const first = bed.start(input, { stallMs: 60_000 }, task)
    await expect.poll(() => first.progress.at(-1)?.done).toBe(150_000)
    first.abort('SHUTDOWN')
    await expect(first.ended).rejects.toMatchObject({ code: 'SHUTDOWN' })
    expect(task.saved).toMatchObject({ digest: { sha512: hex('sha512') } })
    expect(await bed.run(input, {}, task)).toMatchObject({ resumedFrom: 150_000, bytes: SIZE, sha256: SHA256 })
    await rm(join(bed.root, 'x'))
    expect(threads.taken).toBe(0)
  })

  test.each(['sha-512:00', 'crc32:00000000', 'md5', '', 'md5:xyz'])('%j is no checksum', async (checksum) => {
    expect(await bed.code({ url: 'http://127.0.0.1:9/', file: 'x', checksum })).toBe('BAD_CHECKSUM')
  })
})

test('a checksum is read in hex or base64, whatever its name looks like', () => {
  const md5 = hex('md5')
  for (const text of [`md5:${md5.toUpperCase()}`, `MD5=${base64('md5')}`, ` md5 : ${md5} `])
    expect(readChecksum(text)).toEqual(['md5', md5])
  expect(serverChecksum({ 'repr-digest': `md5=:${base64('md5')}:, sha-256=:${base64('sha256')}:;q=1` })).toEqual({
    sha256: SHA256,
  })
})
