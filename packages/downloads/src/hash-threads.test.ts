import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { BLOCK, HashThreads } from './hash-threads.ts'
import { PartWriter } from './part-writer.ts'
import { type TestBed, testBed } from './test-bed.ts'

const SIZE = 3_000_001
const TEN = Array.from({ length: 10 }, (_, number) => `${number}.bin`)
const threads = new HashThreads({ most: 2 })
let bed: TestBed
beforeAll(async () => {
  const files = Object.fromEntries([...TEN, 'one.bin'].map((name, seed) => [name, { size: SIZE, seed: seed + 1 }]))
  bed = await testBed({ files }, threads)
})
afterAll(() => bed.close())

const url = (file: string, query = '') => `${bed.server.url}/${file}?${query}`

describe.each([0, 1, 2])('with %i threads', (most) => {
  test.each([1, 7, 4_093, BLOCK - 1, BLOCK, BLOCK + 1, 1_000_003])(
    'the hash is that of the file, in chunks of %i bytes',
    async (size) => {
      const own = new HashThreads({ most })
      const path = join(bed.root, `chunks-${most}-${size}`)
      const handle = await open(path, 'w+')
      const task = { owned: true, proven: async () => {} }
      const writer = new PartWriter(handle, { path, task, flushBytes: 2 ** 20, threads: own })
      const bytes = randomBytes(Math.min(size * 1_000, 2_500_000) + 11)
      for (let at = 0; at < bytes.length; at += size) {
        const chunk = bytes.subarray(at, at + size)
        // Every other one is received in place, as far as there is space.
        const placed = at % (2 * size) === 0 ? chunk.copy(writer.space()) : 0
        if (placed > 0 && !writer.filled(placed)) await writer.idle()
        if (placed < chunk.length && !writer.write(chunk.subarray(placed))) await writer.idle()
      }
      expect(await writer.finish()).toEqual({ sha256: createHash('sha256').update(bytes).digest('hex') })
      expect((await readFile(path)).equals(bytes)).toBe(true)
      await writer.close()
      await handle.close()
      expect(own.taken).toBe(0)
    },
  )
})

describe('downloads that are hashed in threads', () => {
  test('ten at once share two threads, and give back all blocks', async () => {
    const outputs = await Promise.all(TEN.map((file) => bed.run({ url: url(file), file })))
    for (const [at, file] of TEN.entries()) expect(outputs[at]?.sha256).toBe(await bed.server.sha256(file))
    expect(threads.workers).toHaveLength(2)
    expect(threads.taken).toBe(0)
  })

  test('a body of unknown length, an empty one and a resumed one have the right hash', async () => {
    const sha256 = await bed.server.sha256('one.bin')
    expect(await bed.run({ url: url('one.bin', 'fault=no-length'), file: 'chunked.bin' })).toMatchObject({ sha256 })
    await bed.server.put('empty.bin', { size: 0 })
    const empty = createHash('sha256').digest('hex')
    expect(await bed.run({ url: url('empty.bin'), file: 'empty.bin' })).toMatchObject({ sha256: empty })
    const task = fakeTask()
    const input = { url: url('one.bin', 'hold=1000000'), file: 'resumed.bin' }
    const first = bed.start(input, {}, task)
    await bed.server.held('one.bin')
    await expect.poll(() => first.progress.at(-1)?.done).toBe(1_000_000)
    first.abort('SHUTDOWN')
    await expect(first.ended).rejects.toMatchObject({ code: 'SHUTDOWN' })
    expect(await bed.run(input, {}, task)).toMatchObject({ sha256, resumedFrom: 1_000_000 })
    expect(threads.taken).toBe(0)
  })

  test('fail when their thread dies, and go on in a new one where they were', async () => {
    const task = fakeTask()
    const input = { url: url('one.bin', 'hold=2000000'), file: 'survivor.bin' }
    const attempt = bed.start(input, {}, task)
    await bed.server.held('one.bin')
    await expect.poll(() => attempt.progress.at(-1)?.done).toBe(2_000_000)
    const before = threads.workers
    for (const worker of before) await worker.terminate()
    bed.server.release('one.bin')
    await expect(attempt.ended).rejects.toMatchObject({ code: 'HASH_THREAD_LOST' })
    expect(threads.taken).toBe(0)
    const output = await bed.run(input, {}, task)
    expect(output).toMatchObject({ bytes: SIZE, sha256: await bed.server.sha256('one.bin') })
    expect(output.resumedFrom).toBeGreaterThan(0)
    expect(before).not.toContain(threads.workers[0])
  })

  test.each(['CANCELLED', 'SHUTDOWN'] as const)('give back their blocks when they end with %s', async (code) => {
    const name = `held-${code}.bin`
    await bed.server.put(name, { size: SIZE })
    const attempts = TEN.map((_, at) =>
      bed.start({ url: url(name, 'hold=1500000&holdTimes=10'), file: `${code}-${at}` }),
    )
    await Promise.all(attempts.map(({ progress }) => expect.poll(() => progress.at(-1)?.done).toBe(1_500_000)))
    expect(threads.taken).toBeGreaterThan(0)
    for (const attempt of attempts) attempt.abort(code)
    for (const { ended } of attempts) await expect(ended).rejects.toMatchObject({ code })
    expect(threads.taken).toBe(0)
  })
})

describe('threads', () => {
  test('end when they were idle for a while, and start again', async () => {
    const own = new HashThreads({ most: 1, idleMs: 10 })
    const digest = async () => {
      const hash = own.open()
      await hash.update(Buffer.from('abc'))
      const sha256 = await hash.digest()
      hash.close()
      return sha256
    }
    const expected = createHash('sha256').update('abc').digest('hex')
    expect(await digest()).toBe(expected)
    const [worker] = own.workers
    await once(worker!, 'exit')
    expect(own.workers).toEqual([])
    expect(await digest()).toBe(expected)
  })

  test('do not keep the process alive, but a hash that is under way does', async () => {
    const script = `
      import { HashThreads } from ${JSON.stringify(new URL('./hash-threads.ts', import.meta.url).href)}
      const hash = new HashThreads({ most: 1 }).open()
      await hash.update(Buffer.from('abc'))
      console.log(await hash.digest())
      hash.close()
    `
    const args = ['--conditions=taskfleet-source', '--import', 'tsx', '--input-type=module', '--eval', script]
    const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 })
    expect(stdout.trim()).toBe(createHash('sha256').update('abc').digest('hex'))
  })
})
