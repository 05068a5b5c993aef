import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { downloadDefinition } from './download.ts'
import { fakeTask } from './fake-context.ts'
import { BLOCK } from './hash-threads.ts'
import { type TestBed, testBed } from './test-bed.ts'
import { cut, file, type RawAnswer, type RawRequest, rawServer, SHA256, SIZE } from './test-raw-server.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed()
})
afterAll(() => bed.close())

const ETAG = { ETag: '"a"' }
async function serverThat(answer: (request: RawRequest) => RawAnswer) {
  const server = await rawServer(answer)
  onTestFinished(() => server.stop())
  return `${server.url}/f.bin`
}
const partsOf = async (name: string) => (await bed.files()).filter((one) => one.startsWith(name))

describe('an attempt that brings nothing', () => {
  test('stores no checkpoint, so that it counts', async () => {
    const task = fakeTask()
    const url = await serverThat(() => cut(file(0, ETAG), 0))
    expect(await bed.code({ url, file: 'nothing' }, {}, task)).toBe('LENGTH_MISMATCH')
    expect(task.saved).toBeUndefined()
    expect(await partsOf('nothing')).toEqual([])
  })

  test('leaves the part file and the checkpoint of the one before as they were', async () => {
    const task = fakeTask()
    let mode: 'half' | 'nothing' | 'refused' | 'whole' = 'half'
    const url = await serverThat(({ n, from }) => {
      if (mode === 'half') return n === 1 ? cut(file(0, ETAG), 100_000) : cut(file(from, ETAG), 0)
      return cut(file(mode === 'refused' ? 0 : from, ETAG), mode === 'whole' ? SIZE : 0)
    })
    const input = { url, file: 'kept' }
    expect(await bed.code(input, {}, task)).toBe('LENGTH_MISMATCH')
    const saved = structuredClone(task.saved)
    const parts = await partsOf('kept')
    expect(parts).toEqual([expect.stringMatching(/\.idle\.part$/)])
    // The second of these would throw away what is there, if it had anything in its place.
    for (mode of ['nothing', 'refused'] as const) {
      expect(await bed.code(input, {}, task)).toBe('LENGTH_MISMATCH')
      expect(task.saved).toEqual(saved)
      expect(await partsOf('kept')).toEqual(parts)
    }
    mode = 'whole'
    expect(await bed.run(input, {}, task)).toMatchObject({ resumedFrom: 100_000, sha256: SHA256 })
    expect(await partsOf('kept')).toEqual(['kept'])
  })

  test('also where the attempt before was killed, so that its part is a copy', async () => {
    const task = fakeTask()
    let ready = false
    const url = await serverThat(({ from }) => {
      if (from === 0) return { ...cut(file(0, ETAG), 150_000), then: 'stay' }
      return cut(file(from, ETAG), ready ? SIZE : 0)
    })
    const input = { url, file: 'copied' }
    const killed = bed.start(input, { stallMs: 60_000 }, task)
    // The rest of the bytes waits for a block to be full.
    await expect.poll(async () => (await partsOf('copied')).length).toBe(1)
    const [part = ''] = await partsOf('copied')
    await expect.poll(async () => (await bed.read(part)).length).toBe(BLOCK)
    const saved = structuredClone(task.saved)
    expect(await bed.code(input, {}, task)).toBe('LENGTH_MISMATCH')
    expect(task.saved).toEqual(saved)
    expect(await partsOf('copied')).toEqual([part.replace(/\.part$/, '.idle.part')])
    ready = true
    expect(await bed.run(input, {}, task)).toMatchObject({ resumedFrom: BLOCK, sha256: SHA256 })
    killed.lease.owned = false
    killed.abort('LEASE_LOST')
    await expect(killed.ended).rejects.toThrow()
    expect(await partsOf('copied')).toEqual(['copied'])
  })
})

describe('a server that never lets a download get further', () => {
  test('is not asked for ever', async () => {
    const task = fakeTask()
    const url = await serverThat(() => cut(file(0, ETAG), SIZE / 2))
    const codes: string[] = []
    const ends: string[] = []
    for (let attempt = 0; attempt < 12; attempt++) {
      const error = await bed.run({ url, file: 'never' }, {}, task).catch((thrown: Error & { code: string }) => thrown)
      codes.push((error as { code: string }).code)
      ends.push((error as Error).name)
      if (ends.at(-1) === 'UnrecoverableError') break
    }
    expect(new Set(codes)).toEqual(new Set(['LENGTH_MISMATCH']))
    expect(ends.at(-1)).toBe('UnrecoverableError')
    expect(ends.length).toBeGreaterThan(3)
    expect(await partsOf('never')).toEqual([])
  })
})

test('a download has no time limit as long as it gets further', () => {
  const { retry, stall } = downloadDefinition({ root: bed.root })
  expect(retry).toMatchObject({ counts: 'without-progress' })
  expect(stall).toBe('15m')
  expect(downloadDefinition({ root: bed.root })).not.toHaveProperty('timeout')
})
