import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { DownloadInput } from './contract.ts'
import { createDownload } from './download.ts'
import { fakeAttempt } from './fake-context.ts'
import { file, type RawAnswer, type RawRequest, rawServer, reply, SHA256 } from './test-raw-server.ts'

let root: string
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'taskfleet-origins-'))
})
afterAll(() => rm(root, { recursive: true }))

async function serverThat(answer: (request: RawRequest) => RawAnswer) {
  const server = await rawServer(answer)
  onTestFinished(() => server.stop())
  return server
}

/** Of one worker. */
function worker() {
  const { run } = createDownload({ root, allowPrivate: true })
  return (input: DownloadInput) => run(fakeAttempt(input).context)
}

describe('an origin that asks to be left alone', () => {
  test.each(['429 Too Many Requests', '503 Service Unavailable'])(
    'with %s is asked by no other download',
    async (status) => {
      const server = await serverThat(({ path }) =>
        path === '/busy' ? reply(status, { 'Retry-After': '3600' }) : file(),
      )
      const other = await serverThat(() => file())
      const download = worker()
      const name = (suffix: string) => `${status.slice(0, 3)}-${suffix}`
      await expect(download({ url: `${server.url}/busy`, file: name('a') })).rejects.toMatchObject({
        code: `HTTP_${status.slice(0, 3)}`,
      })
      await expect(download({ url: `${server.url}/f`, file: name('b') })).rejects.toMatchObject({
        code: 'ORIGIN_CLOSED',
        delayMs: expect.closeTo(3_600_000, -5),
      })
      expect(server.requests('/f')).toEqual([])
      expect(await download({ url: `${other.url}/f`, file: name('c') })).toMatchObject({ sha256: SHA256 })
    },
  )

  test('is asked again after its time', async () => {
    const server = await serverThat(({ path }) => (path === '/busy' ? reply('503 No', { 'Retry-After': '1' }) : file()))
    const download = worker()
    const code = (path: string) =>
      download({ url: server.url + path, file: 'again' }).then(
        () => 'completed',
        (error: { code: string }) => error.code,
      )
    expect(await code('/busy')).toBe('HTTP_503')
    await expect.poll(() => code('/f')).toBe('completed')
  })

  test.each([
    ['without a time', { status: '503 No', headers: {} }],
    ['about one file', { status: '404 No', headers: { 'Retry-After': '3600' } }],
  ])('%s stays open', async (_what, { status, headers }) => {
    const server = await serverThat(({ path }) => (path === '/busy' ? reply(status, headers) : file()))
    const download = worker()
    await expect(download({ url: `${server.url}/busy`, file: 'x' })).rejects.toThrow()
    const name = `open-${status.slice(0, 3)}`
    expect(await download({ url: `${server.url}/f`, file: name })).toMatchObject({ sha256: SHA256 })
  })
})
