import { RetryAfterError, UnrecoverableError } from '@taskfleet/protocol'
import { oddErrors } from '@taskfleet/testkit/odd-errors'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'
import { toTaskError } from './task/fingerprint.ts'
import { asError } from './thrown.ts'

describe('any thrown value', () => {
  test.each(Object.keys(oddErrors()))('%s is an error that can be read, logged and stored', (kind) => {
    const thrown = oddErrors()[kind]
    const error = asError(thrown)
    expect(error).toBeInstanceOf(Error)
    const lines: string[] = []
    pino({}, { write: (line) => void lines.push(line) }).error({ err: error }, 'failed')
    expect(lines[0]!.length).toBeLessThan(1_000_000)
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

  test('an own error keeps its class and message, even if the rest is malformed', () => {
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
  test('are neither in its message nor in its stack, cut or not', () => {
    const url = 'https://ana:hunter2@host/?token=hunter3'
    for (const padding of [0, 3_970, 3_990, 63_000]) {
      const error = new Error(`${'x'.repeat(padding)} ${url} ${'y'.repeat(70_000)}`)
      expect(JSON.stringify(toTaskError(error))).not.toMatch(/hunter/)
    }
  })
})
