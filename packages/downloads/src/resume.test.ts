import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { readRequest } from './request.ts'
import { type TestBed, testBed } from './test-bed.ts'

const SIZE = 3_000_000
let bed: TestBed
let number = 0

beforeAll(async () => {
  bed = await testBed()
})
afterAll(() => bed.close())

/** A file of its own, a third of which a first attempt has fetched before its worker was shut down. */
async function halfDownloaded(query = '', kept = true) {
  const file = `file-${++number}.bin`
  await bed.server.put(file, { size: SIZE, seed: number })
  const url = (more: string) => `${bed.server.url}/${file}?${query}${more}`
  const task = fakeTask()
  const attempt = bed.start({ url: url('hold=1000000'), file }, {}, task)
  await bed.server.held(file)
  await expect.poll(() => attempt.progress.at(-1)?.done).toBe(1_000_000)
  attempt.abort('SHUTDOWN')
  await expect(attempt.ended).rejects.toMatchObject({ code: 'SHUTDOWN' })
  const left = (await bed.files()).filter((name) => name.startsWith(file))
  expect(left).toEqual(kept ? [expect.stringMatching(/\.idle\.part$/)] : [])
  // The checkpoint is about one URL; the second half of the story has another query.
  const again = (more: string) => {
    task.saved = { ...(task.saved as object), source: sourceOf(url(more)) }
    return { url: url(more), file }
  }
  const check = async () => {
    expect(sha256(await bed.read(file))).toBe(await bed.server.sha256(file))
    expect((await bed.files()).filter((name) => name.startsWith(file))).toEqual([file])
  }
  return { file, task, again, check }
}

const sourceOf = (url: string) => readRequest({ url }, { root: '' }).source
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

describe('a resumed download', () => {
  test('fetches only what is missing, and its hash covers the rest as well', async () => {
    const { file, task, again, check } = await halfDownloaded()
    const output = await bed.run({ ...again(''), sha256: (await bed.server.sha256(file)).toUpperCase() }, {}, task)
    expect(output).toMatchObject({ file, bytes: SIZE, resumedFrom: 1_000_000, fetchedBytes: 2_000_000 })
    expect(bed.server.served(file)).toMatchObject({ requests: 2, bytes: SIZE, ranges: ['bytes=1000000-'] })
    await check()
  })

  test('goes on after each of several ends of a connection, also at the last bytes, in one attempt', async () => {
    const { file, task, again, check } = await halfDownloaded()
    const output = await bed.run(again('drop=2000000&reset=2999990'), {}, task)
    expect(output).toMatchObject({ bytes: SIZE, resumedFrom: 1_000_000 })
    expect(bed.server.served(file).ranges[0]).toBe('bytes=1000000-')
    expect(bed.server.served(file).ranges.length).toBeGreaterThan(1)
    await check()
  })

  test.each([
    ['ignore-range', 'the server ignored the range'],
    ['full-with-content-range', 'the server ignored the range'],
    ['wrong-total&faultTimes=1', 'the file has 3000007 bytes now'],
    ['other-etag&faultTimes=1', 'another version'],
    ['unsatisfiable-shorter&faultTimes=1', 'the server has no byte 1000000'],
  ])('starts again after %s, and says why', async (fault, why) => {
    const { task, again, check } = await halfDownloaded()
    const attempt = bed.start(again(`fault=${fault}`), {}, task)
    expect(await attempt.ended).toMatchObject({ bytes: SIZE, resumedFrom: 0, fetchedBytes: SIZE })
    expect(attempt.logged.join('\n')).toContain(why)
    await check()
  })

  test.each([
    ['other-start&faultTimes=1', 'the range sent starts at 999999'],
    ['unsatisfiable&faultTimes=1', 'the server has no byte 1000000'],
  ])('requests the rest in another way after %s', async (fault, why) => {
    const { task, again, check } = await halfDownloaded()
    const attempt = bed.start(again(`fault=${fault}`), {}, task)
    expect(await attempt.ended).toMatchObject({ bytes: SIZE, resumedFrom: 1_000_000, fetchedBytes: 2_000_000 })
    expect(attempt.logged.join('\n')).toContain(why)
    await check()
  })

  test('asks again where a range came short', async () => {
    const { file, task, again, check } = await halfDownloaded()
    expect(await bed.run(again('fault=short-range&faultTimes=1'), {}, task)).toMatchObject({ fetchedBytes: 2_000_000 })
    expect(bed.server.served(file)).toMatchObject({ bytes: SIZE, ranges: ['bytes=1000000-', 'bytes=2000001-'] })
    await check()
  })

  test('starts again when the file changed on the server', async () => {
    const { file, task, again, check } = await halfDownloaded()
    await bed.server.put(file, { size: SIZE + 5, seed: 99 })
    const attempt = bed.start(again(''), {}, task)
    expect(await attempt.ended).toMatchObject({ bytes: SIZE + 5, resumedFrom: 0 })
    expect(attempt.logged.join('\n')).toContain('the file changed on the server')
    await check()
  })

  test.each(['weak-etag', 'no-etag'])('does not keep what a server has sent with %s', async (fault) => {
    const { file, task, again, check } = await halfDownloaded(`fault=${fault}&`, false)
    expect(await bed.run(again(''), {}, task)).toMatchObject({ bytes: SIZE, resumedFrom: 0 })
    expect(bed.server.served(file).ranges).toEqual([])
    await check()
  })

  test('gives up on a server that sends parts nobody asked for', async () => {
    await bed.server.put('parts.bin', { size: SIZE })
    const url = `${bed.server.url}/parts.bin?status=206`
    expect(await bed.code({ url, file: 'parts.bin' })).toBe('RESUME_FAILED')
  })

  test('takes 416 for the end where the length was never told', async () => {
    const file = 'unknown-length.bin'
    await bed.server.put(file, { size: SIZE, seed: 5 })
    const task = fakeTask()
    const input = { url: `${bed.server.url}/${file}?fault=no-length&drop=${SIZE}`, file }
    expect(await bed.run(input, {}, task)).toMatchObject({ bytes: SIZE, fetchedBytes: SIZE })
    expect(bed.server.served(file).ranges).toEqual([`bytes=${SIZE}-`])
  })

  test('starts again where the part file is on another host', async () => {
    const { file, task, again } = await halfDownloaded()
    const elsewhere = await testBed()
    expect(await bed.run(again(''), { root: elsewhere.root }, task)).toMatchObject({ bytes: SIZE, resumedFrom: 0 })
    expect(await elsewhere.files()).toEqual([file])
    await elsewhere.close()
  })

  test('ignores a checkpoint that is not one of ours', async () => {
    for (const saved of [{ source: 5 }, 'x', null, { source: 'x', file: '../../etc/passwd', part: '../x', bytes: 1 }]) {
      const { file, task, again, check } = await halfDownloaded()
      const input = again('')
      task.saved = saved
      expect(await bed.run(input, {}, task)).toMatchObject({ file, resumedFrom: 0 })
      await check()
    }
  })
})
