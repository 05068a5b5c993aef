import { describe, expect, test } from 'vitest'
import { type OnDisk, planResume, rangeRequests, versionOf } from './resume-plan.ts'

const disk: OnDisk = { bytes: 400, total: 1000, version: { etag: '"v1"' }, checked: false, fresh: false }
const asked = { from: 400, ifRange: '"v1"' }
const range = (contentRange: string, etag = '"v1"') => ({
  status: 206,
  headers: { 'content-range': contentRange, etag },
})

describe('what to do with an answer to a resumed download', () => {
  test.each([
    ['206 exact', range('bytes 400-999/1000'), 'append'],
    ['206 short', range('bytes 400-599/1000'), 'append'],
    ['206 with an unknown total', range('bytes 400-999/*'), 'append'],
    ['206 with another start', range('bytes 399-999/1000'), 'refetch'],
    ['206 with another total', range('bytes 400-999/1007'), 'refetch'],
    ['206 of another version', range('bytes 400-999/1000', '"v2"'), 'refetch'],
    ['206 with a weak validator', range('bytes 400-999/1000', 'W/"v1"'), 'refetch'],
    ['206 without a validator', { status: 206, headers: { 'content-range': 'bytes 400-999/1000' } }, 'refetch'],
    ['206 without Content-Range', { status: 206, headers: { etag: '"v1"' } }, 'refetch'],
    [
      '206 with several parts',
      { status: 206, headers: { etag: '"v1"', 'content-type': 'multipart/byteranges' } },
      'refetch',
    ],
    ['200 full', { status: 200, headers: { etag: '"v1"', 'content-length': '1000' } }, 'restart'],
    ['200 with Content-Range', { status: 200, headers: { 'content-range': 'bytes 400-999/1000' } }, 'restart'],
    ['416 of another size', { status: 416, headers: { 'content-range': 'bytes */390' } }, 'refetch'],
    ['416 complete', { status: 416, headers: { 'content-range': 'bytes */400' } }, 'complete'],
    [
      '416 complete of another version',
      { status: 416, headers: { 'content-range': 'bytes */400', etag: '"v2"' } },
      'refetch',
    ],
  ])('%s: %o is %s', (_name, answer, kind) => {
    expect(planResume(answer, disk, asked).kind).toBe(kind)
  })

  test('a first part that was not requested is used, another one is not', () => {
    const empty: OnDisk = { ...disk, bytes: 0, total: undefined, version: {} }
    const plan = planResume(range('bytes 0-399/1000'), empty, undefined)
    expect(plan).toMatchObject({ kind: 'restart', total: 1000, piece: true, version: { etag: '"v1"' } })
    expect(planResume(range('bytes 5-399/1000'), empty, undefined).kind).toBe('refetch')
  })

  test.each([
    'Bytes 400-999/1000',
    'bytes=400-999/1000',
    'bytes  400-999/1000',
    'bytes: 400-999/1000',
    'bytes 400 - 999 / 1000',
    '400-999/1000',
    'bytes 400-999',
    'bytes 400-999/*',
  ])('the range %j is understood', (header) => {
    expect(planResume(range(header), disk, asked)).toEqual({ kind: 'append', total: 1000 })
  })

  test.each(['items 400-999/1000', 'bytes 999-400/1000', 'bytes 400-1000/1000', 'bytes 400-/1000', 'bytes */1000', ''])(
    'the range %j is not',
    (header) => {
      expect(planResume(range(header), disk, asked).kind).toBe('refetch')
    },
  )

  test('a date confirms a version where it was requested, repeated or not', () => {
    const lastModified = 'Wed, 01 Jan 2025 00:00:00 GMT'
    const dated: OnDisk = { ...disk, version: { lastModified } }
    const answer = (headers: object) => ({
      status: 206,
      headers: { 'content-range': 'bytes 400-999/1000', ...headers },
    })
    const [first] = rangeRequests(dated)
    expect(first).toEqual({ from: 400, ifRange: lastModified })
    expect(planResume(answer({}), dated, first).kind).toBe('append')
    expect(planResume(answer({ 'last-modified': lastModified }), dated, first).kind).toBe('append')
    const later = { 'last-modified': 'Thu, 02 Jan 2025 00:00:00 GMT' }
    expect(planResume(answer(later), dated, first)).toMatchObject({ kind: 'refetch', changed: true })
    expect(planResume(answer({}), dated, { from: 400, ifRange: undefined })).toMatchObject({ changed: false })
  })

  test('a checksum, or bytes that came a moment ago, need no validator, but none may differ', () => {
    for (const more of [{ checked: true }, { fresh: true }]) {
      const open: OnDisk = { ...disk, version: { weakEtag: 'W/"v1"' }, ...more }
      expect(rangeRequests(open)).toEqual([{ from: 400, ifRange: undefined }])
      expect(planResume(range('bytes 400-999/1000', 'W/"v1"'), open, rangeRequests(open)[0]).kind).toBe('append')
      expect(planResume(range('bytes 400-999/1000', 'W/"v2"'), open, rangeRequests(open)[0]).kind).toBe('refetch')
    }
    expect(rangeRequests({ ...disk, version: { weakEtag: 'W/"v1"' } })).toEqual([])
  })

  test('416 without a size ends a file of unknown length only where that can be verified', () => {
    const answer = { status: 416, headers: {} }
    expect(planResume(answer, { ...disk, total: undefined, checked: true }, asked).kind).toBe('complete')
    expect(planResume(answer, { ...disk, total: undefined }, asked).kind).toBe('refetch')
    expect(planResume(answer, { ...disk, checked: true }, asked).kind).toBe('refetch')
  })
})

describe('the validators of an answer', () => {
  const date = 'Wed, 01 Jan 2025 00:00:10 GMT'
  test.each([
    [{ etag: '"v2"' }, { etag: '"v2"' }],
    [{ etag: '""' }, { etag: '""' }],
    [{ etag: 'd41d8cd9' }, { etag: 'd41d8cd9' }],
    [{ etag: '"gr\xc3\xbcn, \\"' }, { etag: '"gr\xc3\xbcn, \\"' }],
    [{ etag: 'W/"v2"' }, { weakEtag: 'W/"v2"' }],
    [{ etag: 'w/v2' }, { weakEtag: 'w/v2' }],
    [{ etag: '' }, {}],
    [{ 'last-modified': 'Wed, 01 Jan 2025 00:00:09 GMT' }, { lastModified: 'Wed, 01 Jan 2025 00:00:09 GMT' }],
    [{ 'last-modified': date }, {}],
    [{ 'last-modified': 'Wednesday, 01-Jan-25 00:00:00 GMT' }, { lastModified: 'Wednesday, 01-Jan-25 00:00:00 GMT' }],
    [{ 'last-modified': 'Wed Jan  1 00:00:00 2025' }, { lastModified: 'Wed Jan  1 00:00:00 2025' }],
    [{ 'last-modified': 'yesterday' }, {}],
  ])('%j are %j', (headers, version) => {
    expect(versionOf({ date, ...headers }, Date.now())).toEqual(version)
  })

  test('without a date of the server, the time of arrival counts', () => {
    expect(versionOf({ 'last-modified': date }, Date.parse(date) + 1_000)).toEqual({ lastModified: date })
    expect(versionOf({ 'last-modified': date }, Date.parse(date) + 999)).toEqual({})
  })

  test('two are compared without If-Range first, since servers differ in which one they honour', () => {
    const version = { etag: '"v1"', lastModified: date }
    expect(rangeRequests({ ...disk, version }).map(({ ifRange }) => ifRange)).toEqual([undefined, '"v1"'])
  })
})
