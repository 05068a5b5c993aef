import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { fakeTask } from './fake-context.ts'
import { type TestBed, testBed } from './test-bed.ts'
import { BODY, cut, file, type RawAnswer, type RawRequest, rawServer, reply, SHA256, SIZE } from './test-raw-server.ts'

let bed: TestBed
beforeAll(async () => {
  bed = await testBed()
})
afterAll(() => bed.close())

async function serverThat(answer: (request: RawRequest) => RawAnswer) {
  const server = await rawServer(answer)
  onTestFinished(() => server.stop())
  return { ...server, file: `${server.url}/f.bin` }
}
const good = () => serverThat(({ from }) => file(from, { ETag: '"good"' }))
let files = 0
const next = () => `m${++files}`

describe('with mirrors', () => {
  test.each<[string, () => RawAnswer]>([
    ['404', () => reply('404 No')],
    ['403', () => reply('403 No')],
    ['500', () => reply('500 No')],
    ['503 for an hour', () => reply('503 No', { 'Retry-After': '3600' })],
    ['nothing but a closed connection', () => cut(file(), 0)],
    ['no HTTP', () => ({ head: 'hello\r\n\r\n' })],
  ])('a server that answers %s is left for the next one', async (_what, answer) => {
    const [bad, mirror] = [await serverThat(answer), await good()]
    const input = { url: bad.file, mirrors: [mirror.file], file: next() }
    expect(await bed.run(input)).toMatchObject({ sha256: SHA256, fetchedBytes: SIZE })
    expect(mirror.requests('/f.bin')).toHaveLength(1)
  })

  test('also one that does not exist, and before the name of the file is known', async () => {
    const [gone, mirror] = [await serverThat(() => reply('200 OK')), await good()]
    await gone.stop()
    const { file: name } = await bed.run({ url: gone.file, mirrors: [`${gone.url}/other`, mirror.file] })
    expect((await bed.read(name)).equals(BODY)).toBe(true)
  })

  test.each([
    ['goes on where it was, if a checksum was given', SHA256, SIZE],
    ['begins anew without one: the mirror may have another file', undefined, SIZE + 120_000],
  ])('a download whose server dies in the middle %s', async (_what, sha256, fetchedBytes) => {
    let alive = true
    const dying = await serverThat(() => {
      if (!alive) return reply('404 No')
      alive = false
      return cut(file(0, { ETag: '"dying"' }), 120_000)
    })
    const mirror = await good()
    const input = { url: dying.file, mirrors: [mirror.file], file: next(), ...(sha256 && { sha256 }) }
    expect(await bed.run(input)).toMatchObject({ sha256: SHA256, fetchedBytes })
  })

  describe('whose bytes are wrong', () => {
    const wrong = (headers = {}) => serverThat(() => ({ ...file(0, headers), body: Buffer.alloc(SIZE, 'x') }))
    const partsOf = async (name: string) => (await bed.files()).filter((one) => one.startsWith(name))

    test('they are thrown away, and the next one brings the right ones', async () => {
      const [bad, worse, mirror] = [await wrong({ ETag: '"x"' }), await wrong(), await good()]
      const input = { url: bad.file, mirrors: [worse.file, mirror.file], file: next(), sha256: SHA256 }
      expect(await bed.run(input)).toMatchObject({ sha256: SHA256, fetchedBytes: 3 * SIZE, resumedFrom: 0 })
      expect((await bed.read(input.file)).equals(BODY)).toBe(true)
      expect(await partsOf(input.file)).toEqual([input.file])
    })

    test('also by what the server itself says of the file', async () => {
      const digest = `sha-256=:${Buffer.from(SHA256, 'hex').toString('base64')}:`
      const [bad, mirror] = [await wrong({ 'Repr-Digest': digest }), await good()]
      const input = { url: bad.file, mirrors: [mirror.file], file: next() }
      expect(await bed.run(input)).toMatchObject({ sha256: SHA256 })
    })

    test('a mirror that only added to wrong bytes is asked for the whole', async () => {
      let alive = true
      const bad = await serverThat(() => {
        if (!alive) return reply('404 No')
        alive = false
        return cut({ ...file(0, { ETag: '"bad"' }), body: Buffer.alloc(SIZE, 'x') }, 120_000)
      })
      const mirror = await good()
      const input = { url: bad.file, mirrors: [mirror.file], file: next(), sha256: SHA256 }
      expect(await bed.run(input)).toMatchObject({ sha256: SHA256, fetchedBytes: 2 * SIZE })
      expect(mirror.requests('/f.bin').map(({ from }) => from)).toEqual([120_000, 0])
    })

    test('the task fails when all bytes are wrong, and nothing wrong is kept for another attempt', async () => {
      const [bad, worse] = [await wrong(), await wrong()]
      const all = { url: bad.file, mirrors: [worse.file], file: next(), sha256: SHA256 }
      expect(await bed.code(all)).toBe('CHECKSUM_MISMATCH')
      expect(await partsOf(all.file)).toEqual([])
      const busy = await serverThat(() => reply('500 No'))
      for (const [url, mirror] of [
        [bad.file, busy.file],
        [busy.file, bad.file],
      ] as const) {
        const input = { url, mirrors: [mirror], file: next(), sha256: SHA256 }
        expect(await bed.code(input)).toBe('HTTP_500')
        expect(await partsOf(input.file)).toEqual([])
      }
    })
  })

  test('headers stay with the origin that they are for', async () => {
    const [bad, mirror] = [await serverThat(() => reply('404 No')), await good()]
    await bed.run({ url: bad.file, mirrors: [mirror.file], file: next(), headers: { Authorization: 'secret' } })
    expect(bad.requests('/f.bin')[0]?.headers.authorization).toBe('secret')
    expect(mirror.requests('/f.bin')[0]?.headers.authorization).toBeUndefined()
  })

  test('the task fails when all fail, and is tried again if one of them may come back', async () => {
    const task = fakeTask()
    const [gone, busy] = [await serverThat(() => reply('404 No')), await serverThat(() => reply('500 No'))]
    expect(await bed.code({ url: busy.file, mirrors: [gone.file], file: next() }, {}, task)).toBe('HTTP_500')
    expect(await bed.code({ url: gone.file, mirrors: [gone.file], file: next() })).toBe('HTTP_404')
  })

  test('a bad address is refused before anything is requested', async () => {
    const mirror = await good()
    expect(await bed.code({ url: mirror.file, mirrors: ['ftp://h/x'], file: next() })).toBe('BAD_SCHEME')
    expect(mirror.requests('/f.bin')).toEqual([])
  })

  test('a task that is cancelled asks no other one', async () => {
    const [silent, mirror] = [await serverThat(() => ({ head: '', then: 'silence' })), await good()]
    const { ended, abort } = bed.start({ url: silent.file, mirrors: [mirror.file], file: next() })
    await expect.poll(() => silent.requests('/f.bin').length).toBe(1)
    abort('CANCELLED')
    await expect(ended).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(mirror.requests('/f.bin')).toEqual([])
  })
})
