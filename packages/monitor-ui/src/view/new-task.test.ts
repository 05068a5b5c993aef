import { describe, expect, it } from 'vitest'
import { EMPTY_FORM, enqueueRequest, fieldOf, formErrors, freshId } from './new-task.ts'

const download = { ...EMPTY_FORM, url: 'https://example.org/a.iso' }

describe('the form for a new task', () => {
  it('says what is wrong, field by field', () => {
    expect(Object.keys(formErrors(EMPTY_FORM))).toEqual(['url'])
    expect(Object.keys(formErrors({ ...download, url: 'ftp://x/y', file: '../etc/passwd', sha256: 'abc' }))).toEqual([
      'url',
      'file',
      'sha256',
    ])
    expect(Object.keys(formErrors({ ...EMPTY_FORM, mode: 'any', input: '{', version: '0' }))).toEqual([
      'name',
      'version',
      'input',
    ])
    expect(formErrors(download)).toEqual({})
  })

  it('becomes the shortest request that means it', () => {
    expect(enqueueRequest(download)).toEqual({
      name: 'download',
      input: { url: 'https://example.org/a.iso' },
      priority: 'medium',
    })
    expect(
      enqueueRequest({
        ...download,
        file: ' b.iso ',
        sha256: 'AB'.repeat(32),
        priority: 'high',
        position: 'front',
        queue: 'bulk',
        runAt: '2026-03-01T10:00',
      }),
    ).toEqual({
      name: 'download',
      input: { url: 'https://example.org/a.iso', file: 'b.iso', sha256: 'ab'.repeat(32) },
      priority: 'high',
      position: 'front',
      queue: 'bulk',
      runAt: new Date('2026-03-01T10:00').toISOString(),
    })
    expect(enqueueRequest({ ...EMPTY_FORM, mode: 'any', name: 'report', version: '3', input: '[1]' })).toMatchObject({
      name: 'report',
      version: 3,
      input: [1],
    })
  })

  it('finds the field that the server means', () => {
    expect(fieldOf('input.url', 'download')).toBe('url')
    expect(fieldOf('queue', 'download')).toBe('queue')
    expect(fieldOf('input.rows.0', 'any')).toBe('input')
    expect(fieldOf('name', 'download')).toBeUndefined()
    expect(fieldOf('deadline', 'any')).toBeUndefined()
    expect(fieldOf(undefined, 'any')).toBeUndefined()
  })

  it('makes ids of the database’s form', () => {
    expect(freshId(0x65a1b2c3 * 1_000)).toMatch(/^65a1b2c3[0-9a-f]{16}$/)
    expect(freshId()).not.toBe(freshId())
  })
})
