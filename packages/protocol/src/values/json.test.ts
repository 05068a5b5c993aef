import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkJson, markRounded, parseJson } from './json.ts'

describe('JSON from outside', () => {
  test.each<[string, string, string]>([
    ['{"input":{"n":1e400}}', 'OUT_OF_RANGE', 'input.n'],
    ['{"input":{"n":-1E+400}}', 'OUT_OF_RANGE', 'input.n'],
    ['{"input":[1,9007199254740993]}', 'OUT_OF_RANGE', 'input.1'],
    ['{"a":"\\"","n":-9007199254740992}', 'OUT_OF_RANGE', 'n'],
    [`{"n":${'9'.repeat(400)}}`, 'OUT_OF_RANGE', 'n'],
    ['{"\\ud800":1}', 'BAD_STRING', '\ufffd'],
    ['{"a":["\\udc00"]}', 'BAD_STRING', 'a.0'],
    ['{"a":{"b\\u0000":1}}', 'BAD_STRING', 'a.b\ufffd'],
    ['{"a":', 'BAD_JSON', ''],
  ])('%s is refused', (text, code, field) => {
    const wanted = field === '' ? { code } : { code, field }
    expect(() => parseJson(text)).toThrow(expect.objectContaining(wanted))
  })

  test.each([
    '{"n":9007199254740991}',
    '{"n":-9007199254740991}',
    '{"n":6.02214076e23}',
    '{"n":1.12345678901234567890}',
    '{"id":"9007199254740993","quoted":"\\\\\\"9007199254740993"}',
    '["\\ud83d\\ude00"]',
    '1e308',
  ])('%s is read as JSON.parse reads it', (text) => {
    expect(parseJson(text)).toEqual(JSON.parse(text))
  })

  test('other values are never changed', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        // As `JSON.stringify` writes them, whole numbers have no exponent below 1e21.
        const isRounded = (value: unknown): boolean =>
          Number.isInteger(value) && !Number.isSafeInteger(value) && Math.abs(value as number) < 1e21
        const expected = JSON.parse(text, (_key, value) => (isRounded(value) ? Number.POSITIVE_INFINITY : value))
        expect(JSON.parse(markRounded(text))).toEqual(expected)
      }),
    )
  })

  test('a very deep value is checked completely', () => {
    const deep = JSON.parse(`${'['.repeat(5_000)}1${']'.repeat(5_000)}`)
    expect(() => checkJson(deep)).not.toThrow()
  })
})
