import { createHash } from 'node:crypto'
import { defineTask } from '@taskfleet/worker'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { downloadDefinition, downloadInput } from './index.ts'
import { type TestBed, testBed } from './test-bed.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed({ files: { 'dir/movie.mkv': { size: '5MiB' } } })
})
afterAll(() => bed.close())

describe('a download', () => {
  test('brings the file, its hash and its progress', async () => {
    const attempt = bed.start({ url: `${bed.server.url}/dir/movie.mkv?token=secret` })
    const { seconds, ...output } = await attempt.ended
    const sha256 = await bed.server.sha256('dir/movie.mkv')
    const bytes = 5 * 2 ** 20
    expect(output).toEqual({ file: 'movie.mkv', bytes, sha256, fetchedBytes: bytes, resumedFrom: 0 })
    expect(seconds).toBeGreaterThan(0)
    expect(
      createHash('sha256')
        .update(await bed.read('movie.mkv'))
        .digest('hex'),
    ).toBe(sha256)
    expect(attempt.progress.at(-1)).toEqual({ done: bytes, total: bytes, unit: 'bytes' })
    expect(await bed.files()).toEqual(['movie.mkv'])
  })

  test('keeps secrets of the URL out of its log and its checkpoint', async () => {
    const task = { id: '0123456789abcdef01234567', attempts: 0, saved: undefined }
    const url = `${bed.server.url.replace('://', '://user:hunter2@')}/dir/movie.mkv?token=secret`
    const attempt = bed.start({ url, file: 'again.mkv', headers: { authorization: 'Bearer hunter3' } }, {}, task)
    await attempt.ended
    expect(JSON.stringify([attempt.logged, task.saved])).not.toMatch(/hunter|secret|token/)
  })

  test('goes on without a checkpoint that could not be stored in passing', async () => {
    const attempt = bed.start({ url: `${bed.server.url}/dir/movie.mkv?rate=2MB`, file: 'slow.mkv' })
    const { save } = attempt.context.checkpoint
    let calls = 0
    attempt.context.checkpoint.save = async (state) => {
      if (++calls === 2) throw new Error('the database is away')
      await save(state)
    }
    await expect(attempt.ended).resolves.toMatchObject({ file: 'slow.mkv' })
    expect(attempt.logged.join()).toContain('the database is away')
  })

  test('is a task that can be defined, and refuses fields it does not know', () => {
    expect(defineTask(downloadDefinition({ root: bed.root })).name).toBe('download')
    expect(downloadInput.safeParse({ url: 'http://h/', fiel: 'x' }).success).toBe(false)
  })
})
