import { describe, expect, test } from 'vitest'
import { planResume } from './resume-plan.ts'

const disk = { bytes: 400, etag: '"v1"', total: 1000 }
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
    expect(planResume(answer, disk).kind).toBe(kind)
  })

  test('a part that nobody asked for is not used', () => {
    expect(planResume(range('bytes 0-999/1000'), { bytes: 0, etag: undefined, total: undefined }).kind).toBe('refetch')
  })

  test('only strong validators are kept', () => {
    expect(planResume({ status: 200, headers: { etag: 'W/"v2"' } }, disk)).toMatchObject({ etag: undefined })
    expect(planResume({ status: 200, headers: { etag: '"v2"', 'content-length': '7' } }, disk)).toMatchObject({
      etag: '"v2"',
      total: 7,
    })
  })
})
