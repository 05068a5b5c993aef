import { RetryAfterError, UnrecoverableError } from '@taskfleet/protocol'
import { oddErrors } from '@taskfleet/testkit/odd-errors'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { toTaskError } from './task/fingerprint.ts'
import { maskSecrets } from './task/mask-secrets.ts'
import { asError } from './thrown.ts'

describe('whatever is thrown', () => {
  test.each(Object.keys(oddErrors()))('%s is an error that can be read, logged and stored', (kind) => {
    const thrown = oddErrors()[kind]
    const error = asError(thrown)
    expect(error).toBeInstanceOf(Error)
    const lines: string[] = []
    pino({}, { write: (line) => void lines.push(line) }).error({ err: error }, 'failed')
    expect(JSON.parse(lines[0]!)).toMatchObject({ msg: 'failed', err: { message: expect.any(String) } })
    const stored = toTaskError(thrown)
    expect(stored).toMatchObject({
      code: expect.any(String),
      name: expect.any(String),
      fingerprint: expect.any(String),
    })
    expect(stored.message.length).toBeGreaterThan(0)
    expect(JSON.stringify(stored).length).toBeLessThan(20_000)
    expect(JSON.stringify(stored)).not.toMatch(/\\ud[89a-f]/)
  })

  test('a sound error is the same one', () => {
    const error = new TypeError('wrong', { cause: new Error('why') })
    expect(asError(error)).toBe(error)
  })

  test('one of ours keeps its class and what it says, however odd the rest is', () => {
    const later = Object.defineProperty(new RetryAfterError('BUSY', 'later', 1_234), 'stack', { value: 42 })
    expect(asError(later)).toBeInstanceOf(RetryAfterError)
    expect(asError(later)).toMatchObject({ code: 'BUSY', message: 'later', delayMs: 1_234 })
    const never = Object.defineProperty(new UnrecoverableError('NO_WAY', 'never'), 'message', { value: undefined })
    expect(asError(never)).toBeInstanceOf(UnrecoverableError)
  })

  test('only a text counts as a code', () => {
    expect(toTaskError(Object.assign(new Error('x'), { code: { $gt: 1 } })).code).toBe('HANDLER_FAILED')
    expect(toTaskError(Object.assign(new Error('x'), { code: 11_000 })).code).toBe('HANDLER_FAILED')
    expect(toTaskError(Object.assign(new Error('x'), { code: 'ENOSPC' })).code).toBe('ENOSPC')
  })
})

describe('secrets in an error', () => {
  test.each([
    ['GET https://ana:hunter2@host/path failed', 'GET https://***@host/path failed'],
    ['GET https://hunter2@host/path', 'GET https://***@host/path'],
    ['https://host/a?x=1&token=hunter2&y=2', 'https://host/a?x=1&token=***&y=2'],
    ['https://host/a?X-Amz-Signature=hunter2#top', 'https://host/a?X-Amz-Signature=***#top'],
    ['https://host/a?key=hunter2', 'https://host/a?key=***'],
    ['access_token=hunter2; other=1', 'access_token=***; other=1'],
    ['password="hunter2 and more"', 'password=***'],
    ['{"apiKey":"hunter2","n":1}', `{"apiKey":'***',"n":1}`],
    ["{ token: 'hunter2', n: 1 }", "{ token: '***', n: 1 }"],
    ['Authorization: Bearer hunter2hunter2', 'Authorization: Bearer ***'],
    ['mongodb+srv://ana:hunter2@host/db', 'mongodb+srv://***@host/db'],
    ['design=5 and signal=6, author: x, key: "k"', 'design=5 and signal=6, author: x, key: "k"'],
    ['user@example.com wrote to http://host/x@y', 'user@example.com wrote to http://host/x@y'],
  ])('%s', (text, masked) => {
    expect(maskSecrets(text)).toBe(masked)
  })

  test('are neither in its message nor in its stack, cut or not', () => {
    const url = 'https://ana:hunter2@host/?token=hunter3'
    for (const padding of [0, 3_970, 3_990, 63_000]) {
      const error = new Error(`${'x'.repeat(padding)} ${url} ${'y'.repeat(70_000)}`)
      expect(JSON.stringify(toTaskError(error))).not.toMatch(/hunter/)
    }
  })
})
