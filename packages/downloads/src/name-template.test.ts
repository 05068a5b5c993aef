import { checkedTemplate, filledName, isTemplate } from '@taskfleet/download-contract/internal'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { codeOf } from './failures.ts'

const values = { served: 'film.mkv', host: 'files.example', date: new Date('2026-11-30T23:59:59Z'), id: 'a'.repeat(24) }
const filled = (template: string, over: Partial<typeof values> = {}): string => {
  try {
    return filledName(checkedTemplate(template), { ...values, ...over })
  } catch (error) {
    return codeOf(error)
  }
}

describe('a name with fields', () => {
  test('has the parts of the server’s name, host, day and id in it', () => {
    expect(filled('{name}.{ext}')).toBe('film.mkv')
    expect(filled('{date} {name} ({host}).{ext}')).toBe('2026-11-30 film (files.example).mkv')
    expect(filled('{id}.bin')).toBe(`${'a'.repeat(24)}.bin`)
    expect(filled('{name}.{ext}', { served: 'src.tar.gz' })).toBe('src.tar.gz')
    expect(filled('{name}-1.{ext}', { served: 'README' })).toBe('README-1')
    expect(filled('{host}', { host: '[2001:db8::1]' })).toBe('_2001_db8__1_')
  })

  test('is refused with an unknown field or a bad part, before anything is requested', () => {
    const bad = ['{nmae}.iso', '{Name}', '../{name}', '{name}/x', 'a\0{name}', '{name}.part', '{name} ', '{host}\\x']
    for (const template of bad) expect([template, filled(template)]).toEqual([template, 'BAD_FILENAME'])
    expect(filled('{host}', { host: 'nul' })).toBe('BAD_FILENAME')
  })

  test('is only one with a word in braces', () => {
    expect(['{name}', 'a{x}b'].map(isTemplate)).toEqual([true, true])
    expect(['a{1}', '{}', '{a-b}', 'plain.iso'].map(isTemplate)).toEqual([false, false, false, false])
    expect(filled('{1} {name}')).toBe('{1} film')
  })

  test('is never too long, whatever the server calls the file', () => {
    const made = filled('{date} {name}.{ext}', { served: `${'é'.repeat(75)}.mkv` })
    expect(Buffer.byteLength(made)).toBeLessThanOrEqual(160)
    expect(made).toMatch(/^2026-11-30 é+\.mkv$/)
    // A `$` in a name is a character like others.
    expect(filled('{name}', { served: '$&$1' })).toBe('$&$1')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 120 }), (served) => {
        const name = filled('{name}.{ext}', { served })
        expect(name === 'BAD_FILENAME' || Buffer.byteLength(name) <= 160).toBe(true)
      }),
    )
  })
})
