import { execFile } from 'node:child_process'
import { write } from 'node:fs'
import { mkdtemp, open, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { codeOf } from './failures.ts'
import { fakeTask } from './fake-context.ts'
import { BLOCK, hashThreads } from './hash-threads.ts'
import { PartWriter } from './part-writer.ts'
import { type TestBed, testBed } from './test-bed.ts'

const exec = promisify(execFile)
let bed: TestBed
let small: string
let mounted = false

beforeAll(async () => {
  bed = await testBed({
    files: { 'big.bin': { size: '16MiB' }, 'huge.bin': { size: '256MiB' }, 'some.bin': { size: '2.5MiB' } },
  })
  small = await mkdtemp(join(tmpdir(), 'taskfleet-small-'))
  mounted = await exec('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', small]).then(
    () => true,
    () => false,
  )
})
afterAll(async () => {
  if (mounted) await exec('umount', [small])
  await rm(small, { recursive: true })
  await bed.close()
})

describe('a disk without room', () => {
  test('is noticed before the first byte where the length is known', async ({ skip }) => {
    if (!mounted) skip('only root can mount a small disk')
    expect(await bed.code({ url: `${bed.server.url}/big.bin`, file: 'x' }, { root: small })).toBe('INSUFFICIENT_SPACE')
  })

  test('is not promised to two downloads at the same time', async ({ skip }) => {
    if (!mounted) skip('only root can mount a small disk')
    const url = `${bed.server.url}/some.bin`
    const first = bed.start({ url: `${url}?hold=1MiB`, file: 'first' }, { root: small })
    await bed.server.held('some.bin')
    await expect(bed.run({ url, file: 'second' }, { root: small })).rejects.toThrow(/other downloads here need [1-9]/)
    bed.server.release('some.bin')
    await first.ended
    await rm(join(small, 'first'))
    expect(await bed.code({ url, file: 'second' }, { root: small })).toBe('completed')
    await rm(join(small, 'second'))
  })

  test('keeps what it shall keep free', async ({ skip }) => {
    if (!mounted) skip('only root can mount a small disk')
    const url = `${bed.server.url}/some.bin`
    expect(await bed.code({ url, file: 'x' }, { root: small, keepFreeBytes: 2 ** 21 })).toBe('INSUFFICIENT_SPACE')
    expect(await bed.code({ url, file: 'x' }, { root: small, keepFreeBytes: 0 })).toBe('completed')
    await rm(join(small, 'x'))
  })

  test('keeps it from files of unknown length too', async ({ skip }) => {
    if (!mounted) skip('only root can mount a small disk')
    const input = { url: `${bed.server.url}/some.bin?fault=no-length&rate=400KiB`, file: 'x' }
    const task = fakeTask()
    expect(await bed.code(input, { root: small, keepFreeBytes: 3 * 2 ** 20 }, task)).toBe('INSUFFICIENT_SPACE')
    for (const name of await readdir(small)) await rm(join(small, name))
  })

  test('ends an attempt of unknown length with ENOSPC, and leaves what fits to the next one', async ({ skip }) => {
    if (!mounted) skip('only root can mount a small disk')
    const input = { url: `${bed.server.url}/big.bin?fault=no-length`, file: 'x' }
    const task = fakeTask()
    expect(await bed.code(input, { root: small }, task)).toBe('ENOSPC')
    expect(await readdir(small)).toEqual([expect.stringMatching(/\.idle\.part$/)])
  })

  test('read-only, it is not tried again', async ({ skip }) => {
    if (!mounted) skip('only root can mount a small disk')
    await exec('mount', ['-o', 'remount,ro', small])
    expect(await bed.code({ url: `${bed.server.url}/big.bin`, file: 'x' }, { root: small })).toMatch(/BAD_ROOT|EROFS/)
    await exec('mount', ['-o', 'remount,rw', small])
  })

  test('a folder that is removed half-way has a code of its own', async () => {
    const gone = await mkdtemp(join(tmpdir(), 'taskfleet-gone-'))
    const attempt = bed.start({ url: `${bed.server.url}/big.bin?hold=8MiB`, file: 'x' }, { root: gone })
    await bed.server.held('big.bin')
    await rm(gone, { recursive: true })
    bed.server.release('big.bin')
    await expect(attempt.ended).rejects.toMatchObject({ code: 'NO_ROOT' })
  })
})

test('parts that nobody has written to for long are removed', async () => {
  const root = await mkdtemp(join(tmpdir(), 'taskfleet-swept-'))
  const put = async (name: string, daysOld: number) => {
    const path = join(root, name)
    await writeFile(path, 'x')
    const at = new Date(Date.now() - daysOld * 86_400_000)
    await utimes(path, at, at)
  }
  const id = '65f000000000000000000001'
  await put(`old.iso.${id}.lease-1.idle.part`, 31)
  await put(`old.iso.${id}.lease-2.part`, 31)
  await put('.old.iso.download-lock', 31)
  await put(`young.iso.${id}.lease-1.idle.part`, 29)
  await put('somebody.part', 400)
  await put('old.iso', 400)
  await bed.run({ url: `${bed.server.url}/some.bin`, file: 'new.bin' }, { root })
  expect((await readdir(root)).sort()).toEqual([
    'new.bin',
    'old.iso',
    'somebody.part',
    `young.iso.${id}.lease-1.idle.part`,
  ])
  await rm(root, { recursive: true })
})

describe('the part writer', () => {
  test.each(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS'])(
    'reports %s once, writes nothing behind it, and lets go of the file',
    async (code) => {
      const path = join(bed.root, `part-${code}`)
      const handle = await open(path, 'w+')
      const failures: Error[] = []
      let calls = 0
      const failing = (...args: Parameters<typeof write>) => {
        calls++
        if (calls < 3) return write(...args)
        const done = args.at(-1) as unknown as (error: Error) => void
        process.nextTick(() => done(Object.assign(new Error(code), { code })))
      }
      const writer = new PartWriter(handle, {
        path,
        task: { owned: true, proven: async () => {} },
        flushBytes: 2 ** 20,
        threads: hashThreads,
        write: failing as typeof write,
      })
      writer.onFailure = (failure) => failures.push(failure)
      const chunk = Buffer.alloc(700_000, 7)
      const fill = async () => {
        for (let i = 0; i < 20; i++) if (!writer.write(chunk)) await writer.idle()
        await writer.settle()
      }
      await expect(fill()).rejects.toMatchObject({ code })
      expect(failures.map(codeOf)).toEqual([code])
      expect(() => writer.write(chunk)).toThrow()
      await writer.idle()
      expect((await handle.stat()).size).toBe(2 * BLOCK)
      expect(calls).toBe(3)
      await handle.close()
      await rm(path)
    },
  )
})

test('a large download needs little memory', async () => {
  let peak = 0
  const before = process.memoryUsage.rss()
  const watch = setInterval(() => {
    peak = Math.max(peak, process.memoryUsage.rss())
  }, 20)
  const output = await bed.run({
    url: `${bed.server.url}/huge.bin`,
    file: 'huge.bin',
    sha256: await bed.server.sha256('huge.bin'),
  })
  clearInterval(watch)
  expect(output.bytes).toBe(256 * 2 ** 20)
  expect(peak - before).toBeLessThan(100 * 2 ** 20)
})
