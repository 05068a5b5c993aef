import { describe, expect, test } from 'vitest'
import { attachment } from './disposition.ts'
import { type FileRequest, planFile } from './file-plan.ts'

const modified = new Date('2026-01-01T00:00:00.500Z')
const version = { size: 100, etag: '"v1"', modified }
const NOW = Date.parse('2026-01-02T00:00:00Z')
const plan = (request: Partial<FileRequest>, over: Partial<typeof version> = {}, now = NOW) => {
  const planned = planFile({ method: 'GET', ...request }, { ...version, ...over }, now)
  return 'from' in planned ? `${planned.status} ${planned.from}-${planned.to}` : String(planned.status)
}

describe('a request for a file', () => {
  test.each<[string | undefined, string]>([
    [undefined, '200 0-100'],
    ['bytes=0-0', '206 0-1'],
    ['bytes=10-', '206 10-100'],
    ['bytes=10-19', '206 10-20'],
    ['Bytes = 10-1000', '206 10-100'],
    ['bytes=-10', '206 90-100'],
    ['bytes=-1000', '206 0-100'],
    ['bytes=100-', '416'],
    ['bytes=-0', '416'],
    ['bytes=20-10', '200 0-100'],
    ['bytes=-', '200 0-100'],
    ['bytes=0-1,5-6', '200 0-100'],
    ['items=0-1', '200 0-100'],
    ['bytes=a-b', '200 0-100'],
    [`bytes=0-${'9'.repeat(400)}`, '200 0-100'],
  ])('with the range %s is answered by %s', (range, planned) => {
    expect(plan({ range })).toBe(planned)
  })

  test('of an empty file has no range', () => {
    expect([
      plan({}, { size: 0 }),
      plan({ range: 'bytes=0-' }, { size: 0 }),
      plan({ range: 'bytes=-5' }, { size: 0 }),
    ]).toEqual(['200 0-0', '416', '416'])
  })

  test('by HEAD has no range', () => {
    expect(plan({ method: 'HEAD', range: 'bytes=0-1' })).toBe('200 0-100')
  })

  test.each([
    ['"v1"', '206 5-100'],
    ['W/"v1"', '200 0-100'],
    ['"v2"', '200 0-100'],
    ['Thu, 01 Jan 2026 00:00:00 GMT', '206 5-100'],
    ['Thu, 01 Jan 2026 00:00:01 GMT', '200 0-100'],
    ['nonsense', '200 0-100'],
  ])('with If-Range %s is answered by %s', (ifRange, planned) => {
    expect(plan({ range: 'bytes=5-', ifRange })).toBe(planned)
  })

  test('with a date that may hold for two versions gets the whole', () => {
    const ifRange = 'Thu, 01 Jan 2026 00:00:00 GMT'
    expect(plan({ range: 'bytes=5-', ifRange }, {}, modified.getTime())).toBe('200 0-100')
  })

  test('with If-None-Match gets nothing again', () => {
    expect(['"v0", W/"v1"', '*', '"v1"'].map((ifNoneMatch) => plan({ ifNoneMatch }))).toEqual(['304', '304', '304'])
    expect(plan({ ifNoneMatch: '"v2"', range: 'bytes=1-1' })).toBe('206 1-2')
  })
})

test.each([
  ['a b.iso', `attachment; filename="a b.iso"; filename*=UTF-8''a%20b.iso`],
  ['"\r\n\\;%.exe', `attachment; filename="____;_.exe"; filename*=UTF-8''%22%0D%0A%5C%3B%25.exe`],
  [
    "für 'uns' (1).txt",
    `attachment; filename="f_r 'uns' (1).txt"; filename*=UTF-8''f%C3%BCr%20%27uns%27%20%281%29.txt`,
  ],
  ['\ud800x', `attachment; filename="_x"; filename*=UTF-8''%EF%BF%BDx`],
])('the name %j is safe in a header', (name, header) => {
  expect(attachment(name)).toBe(header)
})
