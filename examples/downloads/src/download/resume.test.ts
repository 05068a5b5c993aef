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

/** A file of its own, half of which a first attempt has fetched before the connection was dropped. */
async function halfDownloaded(query = '') {
  const file = `file-${++number}.bin`
  await bed.server.put(file, { size: SIZE, seed: number })
  const url = (more: string) => `${bed.server.url}/${file}?${query}${more}`
  const task = fakeTask()
  expect(await bed.code({ url: url('drop=1000000'), file }, {}, task)).toMatch(/LENGTH_MISMATCH|CONNECTION_LOST/)
  expect((await bed.files()).filter((name) => name.startsWith(file))).toEqual([expect.stringMatching(/\.idle\.part$/)])
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

  test('goes on after each of several resets, also at the last bytes', async () => {
    const { file, task, again, check } = await halfDownloaded()
    const input = again('drop=2000000')
    expect(await bed.code(input, {}, task)).toMatch(/LENGTH_MISMATCH|CONNECTION_LOST/)
    const last = again('reset=2999990')
    expect(await bed.code(last, {}, task)).toMatch(/LENGTH_MISMATCH|CONNECTION_LOST/)
    await bed.run(last, {}, task)
    expect(bed.server.served(file).ranges.slice(0, 2)).toEqual(['bytes=1000000-', 'bytes=2000000-'])
    await check()
  })

  test.each([
    ['ignore-range', 'the server ignored the range'],
    ['full-with-content-range', 'the server ignored the range'],
    ['other-start&faultTimes=1', 'the range sent starts at 999999'],
    ['wrong-total&faultTimes=1', 'the file has 3000007 bytes now'],
    ['other-etag&faultTimes=1', 'another version'],
    ['unsatisfiable-shorter&faultTimes=1', 'the server has no byte 1000000'],
    ['unsatisfiable&faultTimes=1', 'the server has no byte 1000000'],
  ])('starts again after %s, and says why', async (fault, why) => {
    const { task, again, check } = await halfDownloaded()
    const attempt = bed.start(again(`fault=${fault}`), {}, task)
    expect(await attempt.ended).toMatchObject({ bytes: SIZE, resumedFrom: 0, fetchedBytes: SIZE })
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

  test.each(['weak-etag', 'no-etag'])('does not ask for a range where the server has %s', async (fault) => {
    const { file, task, again, check } = await halfDownloaded(`fault=${fault}&`)
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
    expect(await bed.code(input, {}, task)).toMatch(/LENGTH_MISMATCH|CONNECTION_LOST|BAD_RESPONSE/)
    expect(await bed.run(input, {}, task)).toMatchObject({ bytes: SIZE, fetchedBytes: 0, resumedFrom: SIZE })
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
