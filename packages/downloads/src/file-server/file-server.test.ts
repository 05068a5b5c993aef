import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { byteSize, type FileServer, startFileServer } from './index.ts'

let server: FileServer
let folder: string
const text = 'a real file on the disk'

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskfleet-files-'))
  await writeFile(join(folder, 'real.txt'), text)
  server = await startFileServer({
    files: {
      'made.bin': { size: '2.5MiB', seed: 3 },
      'real.txt': { path: join(folder, 'real.txt') },
      empty: { size: 0 },
    },
  })
})

afterAll(async () => {
  await server.stop()
  await rm(folder, { recursive: true })
})

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${server.url}/${path}`, { headers })
const bytes = async (response: Response) => Buffer.from(await response.arrayBuffer())

describe('the file server', () => {
  test('serves made content that is the same each time and whose hash it knows', async () => {
    const [first, second] = await Promise.all([get('made.bin').then(bytes), get('made.bin').then(bytes)])
    expect(first.length).toBe(byteSize('2.5MiB'))
    expect(first.equals(second)).toBe(true)
    expect(createHash('sha256').update(first).digest('hex')).toBe(await server.sha256('made.bin'))
  })

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=5-', 5, 2621440],
    ['bytes=1048570-1048590', 1048570, 1048591],
    ['bytes=1048579-1048580', 1048579, 1048581],
    ['bytes=-10', 2621430, 2621440],
    ['bytes=2621439-9999999', 2621439, 2621440],
  ])('serves the range %s with the bytes of the whole', async (range, from, to) => {
    const whole = await get('made.bin').then(bytes)
    const response = await get('made.bin', { range })
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${from}-${to - 1}/2621440`)
    expect((await bytes(response)).equals(whole.subarray(from, to))).toBe(true)
  })

  test('serves real files, ranges of them, and empty ones', async () => {
    expect((await get('real.txt').then(bytes)).toString()).toBe(text)
    expect((await get('real.txt', { range: 'bytes=2-5' }).then(bytes)).toString()).toBe('real')
    expect((await get('empty').then(bytes)).length).toBe(0)
  })

  test('answers a range only for the version that If-Range names', async () => {
    const etag = (await get('made.bin')).headers.get('etag') ?? ''
    expect((await get('made.bin', { range: 'bytes=9-', 'if-range': etag })).status).toBe(206)
    expect((await get('made.bin', { range: 'bytes=9-', 'if-range': '"old"' })).status).toBe(200)
    await server.put('made.bin', { size: '2.5MiB', seed: 4 })
    expect((await get('made.bin', { range: 'bytes=9-', 'if-range': etag })).status).toBe(200)
  })

  test('answers 416 behind the end, 404 for what it lacks, and HEAD without a body', async () => {
    const behind = await get('made.bin', { range: 'bytes=2621440-' })
    expect([behind.status, behind.headers.get('content-range')]).toEqual([416, 'bytes */2621440'])
    expect((await get('nothing')).status).toBe(404)
    const head = await fetch(`${server.url}/made.bin`, { method: 'HEAD' })
    expect([head.headers.get('content-length'), (await bytes(head)).length]).toEqual(['2621440', 0])
  })

  test('drops the connection after exactly the bytes asked for, once, and counts what it served', async () => {
    await server.put('drop.bin', { size: '3MB' })
    await expect(get('drop.bin?drop=1000000').then(bytes)).rejects.toThrow()
    expect(server.served('drop.bin').bytes).toBe(1_000_000)
    expect((await get('drop.bin?drop=1000000', { range: 'bytes=1000000-' }).then(bytes)).length).toBe(2_000_000)
    expect(server.served('drop.bin')).toMatchObject({ requests: 2, bytes: 3_000_000, ranges: ['bytes=1000000-'] })
  })

  test('keeps to a rate', async () => {
    const started = performance.now()
    await get('made.bin?rate=10MB').then(bytes)
    expect(performance.now() - started).toBeGreaterThan(200)
  })

  test('names a size that it does not understand', () => {
    expect(() => byteSize('5 parsecs')).toThrow(/5 parsecs/)
    expect([byteSize('5MB'), byteSize('1GiB'), byteSize(7), byteSize('12')]).toEqual([5e6, 2 ** 30, 7, 12])
  })
})
