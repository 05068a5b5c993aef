import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DownloadOptions } from './contract.ts'
import { createDownload } from './download.ts'
import { fakeAttempt } from './fake-context.ts'
import { type OriginLimit, OriginLimits } from './origin-limits.ts'
import { type TestBed, testBed } from './test-bed.ts'

const url = (text: string): URL => new URL(text)
const at = (time: string) => () => new Date(`2026-03-02T${time}:00`)
const FULL = expect.objectContaining({ code: 'ORIGIN_FULL' })

describe('limits of connections', () => {
  test('each host that a pattern fits has its own, and the rest has none', () => {
    const limits = new OriginLimits([{ hosts: ['*.example', 'localhost:8080'], connections: 2 }])
    const leave = limits.enter(url('https://a.example/1'))
    limits.enter(url('https://a.example/2'))
    expect(() => limits.enter(url('https://A.example/3'))).toThrow(FULL)
    limits.enter(url('https://b.example/1'))
    for (let n = 0; n < 9; n += 1) limits.enter(url('https://example/1'))
    leave()
    leave()
    limits.enter(url('https://a.example/3'))
    expect(() => limits.enter(url('https://a.example/4'))).toThrow(FULL)
    for (let n = 0; n < 2; n += 1) limits.enter(url('http://localhost:8080/'))
    expect(() => limits.enter(url('http://localhost:8080/'))).toThrow(FULL)
  })

  test('a rule without hosts is for all of them together; one that is full takes from no other', () => {
    const limits = new OriginLimits([{ hosts: 'a.example', connections: 5 }, { connections: 1 }])
    const leave = limits.enter(url('https://b.example/'))
    for (let n = 0; n < 9; n += 1) expect(() => limits.enter(url('https://a.example/'))).toThrow(FULL)
    leave()
    limits.enter(url('https://a.example/'))
  })

  test.each([
    ['08:00-18:00', '07:59', 'open'],
    ['08:00-18:00', '08:00', 'closed'],
    ['08:00-18:00', '17:59', 'closed'],
    ['08:00-18:00', '18:00', 'open'],
    ['22:00-06:00', '21:59', 'open'],
    ['22:00-06:00', '23:30', 'closed'],
    ['22:00-06:00', '05:59', 'closed'],
    ['22:00-06:00', '06:00', 'open'],
  ])('no connections between %s: at %s it is %s', (between, time, state) => {
    const limits = new OriginLimits([{ connections: 0, between }], at(time))
    const enter = (): unknown => limits.enter(url('https://a.example/'))
    if (state === 'open') expect(enter()).toBeTypeOf('function')
    else expect(enter).toThrow(FULL)
  })

  test('a download that comes while its time is over comes again when it begins', () => {
    const limits = new OriginLimits([{ connections: 0, between: '22:00-06:00' }], at('23:30'))
    const hours = 6.5 * 3_600_000
    try {
      limits.enter(url('https://a.example/'))
      expect.unreachable()
    } catch (error) {
      const { delayMs } = error as { delayMs: number }
      expect([delayMs >= hours, delayMs <= hours + 10_000]).toEqual([true, true])
    }
  })
})

test('a rate is shared by all connections, and nobody waits without one', () => {
  const limits = new OriginLimits([{ hosts: 'a.example', bytesPerSecond: 1_000 }])
  expect(limits.pace(url('https://b.example/'))).toBeUndefined()
  const [one, two] = [limits.pace(url('https://a.example/'))!, limits.pace(url('https://a.example/'))!]
  const first = one(10_000)
  const second = two(10_000)
  expect([first > 9_000, first <= 10_000, second > 19_000, second <= 20_000]).toEqual([true, true, true, true])
})

test.each([
  [{ connections: -1 }, /'connections'/],
  [{ connections: 1.5 }, /'connections'/],
  [{ bytesPerSecond: 0 }, /'bytesPerSecond'/],
  [{ bytesPerSecond: Number.NaN }, /'bytesPerSecond'/],
  [{ hosts: 'https://a.example/' }, /'hosts'/],
  [{ hosts: [] }, /'hosts'/],
  [{ hosts: 'a.*.example' }, /'hosts'/],
  [{ between: '8-18' }, /'between'/],
  [{ between: '24:00-25:00' }, /'between'/],
  [{ between: '08:00-08:00' }, /different/],
] satisfies [OriginLimit, RegExp][])('%j is refused', (limit, told) => {
  expect(() => new OriginLimits([limit])).toThrow(
    expect.objectContaining({ code: 'BAD_LIMIT', message: expect.stringMatching(told) }),
  )
})

describe('downloads', () => {
  let bed: TestBed
  beforeAll(async () => {
    bed = await testBed({ files: { 'a.bin': { size: '1MiB' }, 'b.bin': { size: 1_000 } } })
  })
  afterAll(() => bed.close())

  /** Attempts of one worker. */
  const worker = (options: Partial<DownloadOptions>) => {
    const { run } = createDownload({ root: bed.root, allowPrivate: true, ...options })
    return (url: string, file: string) => run(fakeAttempt({ url: `${bed.server.url}/${url}`, file }).context)
  }

  test('keep to a rate together, and none is taken for stalled', async () => {
    const run = worker({ limits: [{ bytesPerSecond: 2 ** 20 }], stallMs: 300 })
    const started = performance.now()
    expect(await Promise.all([run('a.bin', '1'), run('a.bin', '2')])).toMatchObject([
      { bytes: 2 ** 20, sha256: await bed.server.sha256('a.bin') },
      { bytes: 2 ** 20 },
    ])
    // Two seconds, but for what a rate lets through at first and the last bytes, after which nobody waits.
    expect(performance.now() - started).toBeGreaterThan(700)
  })

  test('that find no connection free give back their slots, and the end of another makes room', async () => {
    const run = worker({ limits: [{ connections: 1 }], connections: 1 })
    const first = run('a.bin?hold=1000', 'held')
    await bed.server.held('a.bin')
    await expect(run('b.bin', 'other')).rejects.toMatchObject({ code: 'ORIGIN_FULL', name: 'RetryAfterError' })
    bed.server.release('a.bin')
    await first
    await expect(run('b.bin', 'other')).resolves.toMatchObject({ bytes: 1_000 })
    await expect(run('missing', 'none')).rejects.toMatchObject({ code: 'HTTP_404' })
    await expect(run('b.bin', 'last')).resolves.toMatchObject({ bytes: 1_000 })
  })

  test('with a limit that nobody understands are no definition', () => {
    expect(() => worker({ limits: [{ between: 'at night' }] })).toThrow(expect.objectContaining({ code: 'BAD_LIMIT' }))
  })
})
