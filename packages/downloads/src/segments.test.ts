import { readdir } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { DownloadInput, DownloadState } from './contract.ts'
import { fakeTask } from './fake-context.ts'
import { type TestBed, testBed } from './test-bed.ts'
import { type Misbehaviour, type RangeServer, type RangeServerOptions, rangeServer } from './test-range-server.ts'

const MIB = 2 ** 20
const SIZE = 12 * MIB
let bed: TestBed
const servers: RangeServer[] = []

beforeAll(async () => {
  bed = await testBed()
})
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop()
})
afterAll(() => bed.close())

async function slow(options: Partial<RangeServerOptions> = {}): Promise<RangeServer> {
  const server = await rangeServer({ size: SIZE, rate: 4 * MIB, ...options })
  servers.push(server)
  return server
}

let files = 0
const wanted = ({ url }: RangeServer): DownloadInput & { file: string } => ({ url: `${url}/f`, file: `f${++files}` })

/** What an answer other than the first one is. */
const later = (bad: Misbehaviour) => ({ misbehave: ({ n }: { n: number }) => (n > 0 ? bad : undefined) })

describe('a server that gives each connection little', () => {
  it('is asked over several connections, for each byte once', async () => {
    const server = await slow()
    const input = wanted(server)
    const { ended, progress } = bed.start(input)
    expect(await ended).toMatchObject({ bytes: SIZE, sha256: server.sha256, fetchedBytes: SIZE, resumedFrom: 0 })
    expect((await bed.read(input.file)).equals(server.body)).toBe(true)
    expect(server.mostAtOnce).toBeGreaterThan(2)
    expect(server.mostAtOnce).toBeLessThanOrEqual(8)
    for (const { headers } of server.requests.slice(1)) expect(headers['if-range']).toBe('"one"')
    const done = progress.map((one) => one.done ?? 0)
    expect(done).toEqual([...done].sort((a, b) => a - b))
    expect(done.at(-1)).toBe(SIZE)
    expect(await readdir(bed.root)).not.toContainEqual(expect.stringContaining('.part'))
  })

  it('is asked over one where the task or the worker wants that', async () => {
    const server = await slow({ rate: 40 * MIB })
    await bed.run({ ...wanted(server), connections: 1 })
    await bed.run(wanted(server), { connections: 1 })
    expect(server.requests).toHaveLength(2)
  })

  it('gets a few more connections from all downloads of a process, not a few from each', async () => {
    const server = await slow()
    const ends = await Promise.all([1, 2, 3].map(() => bed.run(wanted(server), { connections: 3 })))
    expect(ends.map(({ sha256 }) => sha256)).toEqual([server.sha256, server.sha256, server.sha256])
    expect(server.mostAtOnce).toBeLessThanOrEqual(3 + 2)
  })
})

describe('a server that lets nobody have more than one connection', () => {
  it.each<[string, Misbehaviour]>([
    ['503 for the second', { status: 503 }],
    ['429 with a time to wait', { status: 429, headers: { 'retry-after': '3600' } }],
    ['403 for the second', { status: 403 }],
    ['a connection that ends before its first byte', { cutAfter: 0 }],
    ['the whole file for each range', { ignoreRange: true }],
    ['another range', { headers: { 'content-range': `bytes 5-${SIZE - 1}/${SIZE}` } }],
    ['a range of another version', { headers: { etag: '"two"' }, body: Buffer.alloc(SIZE, 'x') }],
    ['a range of a file of another length', { headers: { 'content-range': `bytes 0-5/${SIZE + 1}` } }],
  ])('%s', async (_what, bad) => {
    const server = await slow({ rate: 12 * MIB, ...later(bad) })
    const input = wanted(server)
    expect(await bed.run(input)).toMatchObject({ sha256: server.sha256, fetchedBytes: SIZE })
    expect((await bed.read(input.file)).equals(server.body)).toBe(true)
    expect(server.requests.length).toBeLessThan(8)
  })

  it('cuts each further one after a few bytes, and is not asked for more again and again', async () => {
    const server = await slow({ misbehave: ({ others }) => (others > 0 ? { cutAfter: 1000 } : undefined) })
    const input = wanted(server)
    expect(await bed.run(input)).toMatchObject({ sha256: server.sha256, fetchedBytes: SIZE })
    expect((await bed.read(input.file)).equals(server.body)).toBe(true)
    expect(server.requests.length).toBeLessThan(10)
  })

  it('says that it has no ranges, and is asked for none', async () => {
    const server = await slow({ rate: 12 * MIB, misbehave: () => ({ headers: { 'accept-ranges': 'none' } }) })
    await bed.run(wanted(server))
    expect(server.requests).toHaveLength(1)
  })
})

describe('connections that end early', () => {
  it('leave their rest to others', async () => {
    const server = await slow({ misbehave: ({ n }) => ({ cutAfter: n === 0 ? 2 * MIB : 700_000 + n * 10_000 }) })
    const input = wanted(server)
    const { sha256, fetchedBytes } = await bed.run(input)
    expect({ sha256, fetchedBytes }).toEqual({ sha256: server.sha256, fetchedBytes: SIZE })
    expect((await bed.read(input.file)).equals(server.body)).toBe(true)
  })
})

describe('an attempt that ends in the middle', () => {
  async function halfWay(end: 'killed' | 'paused') {
    const server = await slow()
    const task = fakeTask()
    const input = wanted(server)
    const first = bed.start(input, {}, task)
    await server.sentMoreThan(SIZE / 2)
    if (end === 'killed') first.lease.owned = false
    first.abort(end === 'killed' ? 'LEASE_LOST' : 'PAUSED')
    await expect(first.ended).rejects.toThrow()
    return { server, task, input, state: task.saved as DownloadState }
  }

  it('and was paused goes on with all that it had', async () => {
    const { server, task, input, state } = await halfWay('paused')
    expect(state.ahead?.length).toBeGreaterThan(0)
    const before = server.sent
    const { sha256, fetchedBytes, resumedFrom } = await bed.run(input, {}, task)
    expect(sha256).toBe(server.sha256)
    expect(fetchedBytes + resumedFrom).toBe(SIZE)
    expect(resumedFrom).toBeGreaterThan(before / 2)
    expect((await bed.read(input.file)).equals(server.body)).toBe(true)
  })

  it('and was killed goes on with what its checkpoint has', async () => {
    const { server, task, input, state } = await halfWay('killed')
    const { sha256, fetchedBytes, resumedFrom } = await bed.run(input, {}, task)
    expect(sha256).toBe(server.sha256)
    expect(fetchedBytes + resumedFrom).toBe(SIZE)
    const ahead = state.ahead ?? []
    const stored = ahead.reduce((sum, at, i) => (i % 2 === 0 ? sum - at : sum + at), state.bytes)
    expect(resumedFrom).toBe(stored)
    expect((await bed.read(input.file)).equals(server.body)).toBe(true)
  })

  it('begins anew for workers that know only parts without holes', async () => {
    const { state } = await halfWay('paused')
    // Such a worker compares the digest of the URL.
    expect(state.source).toMatch(/^[0-9a-f]{32}\+segments$/)
  })

  it('begins anew when the file is another one by now', async () => {
    const { server, task, input } = await halfWay('paused')
    const other = Buffer.alloc(SIZE - 1000, 'x')
    servers.splice(servers.indexOf(server), 1)
    await server.stop()
    const next = await rangeServer({
      size: other.length,
      rate: 40 * MIB,
      misbehave: () => ({ headers: { etag: '"two"' }, body: other }),
    })
    servers.push(next)
    // The same address as before, for the checkpoint.
    const moved = { ...(task.saved as DownloadState) }
    const probe = fakeTask()
    const url = `${next.url}/f`
    const paused = bed.start({ url, file: `probe${files}` }, {}, probe)
    await next.sentMoreThan(2 * MIB)
    paused.abort('PAUSED')
    await paused.ended.catch(() => undefined)
    task.saved = { ...moved, source: `${(probe.saved as DownloadState).source.replace('+segments', '')}+segments` }
    const output = await bed.run({ ...input, url }, {}, task)
    expect(output.bytes).toBe(other.length)
    expect((await bed.read(input.file)).equals(other)).toBe(true)
  })
})

describe('an attempt that is cancelled', () => {
  it('ends at once and leaves nothing', async () => {
    const server = await slow()
    const input = wanted(server)
    const { ended, abort } = bed.start(input)
    await server.sentMoreThan(SIZE / 2)
    abort('CANCELLED')
    await expect(ended).rejects.toMatchObject({ code: 'CANCELLED' })
    // Parts of other tests have ids in their names, which may contain this name.
    const own = new RegExp(`^\\.?${input.file}(\\.|$)`)
    expect((await bed.files()).filter((name) => own.test(name))).toEqual([])
  })
})
