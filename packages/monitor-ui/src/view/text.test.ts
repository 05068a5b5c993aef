import { describe, expect, it } from 'vitest'
import { editableJson, prettyJson, safeLink, visibleLine, visibleText } from './text.ts'

describe('visible text', () => {
  it('spells out controls, bidirectional overrides and zero-width characters', () => {
    expect(visibleLine('invoice\u202efdp.exe')).toBe('invoice\\u{202e}fdp.exe')
    expect(visibleLine('a\u0000b\u0007c\nd')).toBe('a\\0b\\x07c\\nd')
    expect(visibleLine('pay\u200bpal\ufeff')).toBe('pay\\u{200b}pal\\u{feff}')
    expect(visibleLine('half \ud83d pair')).toBe('half \\u{d83d} pair')
  })

  it('leaves other scripts and emoji as they are', () => {
    expect(visibleLine('مرفق.pdf 日本語 👩‍👩‍👧')).toBe('مرفق.pdf 日本語 👩‍👩‍👧')
  })

  it('cuts long text and never in the middle of a character', () => {
    expect(visibleLine('x'.repeat(1_000_000), 10)).toBe('xxxxxxxxxx…')
    expect(visibleLine('ab👍cd', 3)).toBe('ab…')
    expect(visibleText('y'.repeat(50), 10)).toBe('yyyyyyyyyy… (40 more characters)')
  })

  it('keeps lines and tabs in texts of several lines', () => {
    expect(visibleText('a\r\n\tb\u202e')).toBe('a\n\tb\\u{202e}')
  })

  it('links only to http and https, without credentials', () => {
    expect(safeLink('https://example.org/a')).toBe('https://example.org/a')
    for (const bad of [
      'javascript:alert(1)',
      'data:text/html,x',
      '//evil',
      'http://user:pass@host/',
      'file:///etc',
      '',
    ]) {
      expect(safeLink(bad)).toBeUndefined()
    }
  })

  it('writes JSON to be edited so that nothing in it is hidden and nothing is lost', () => {
    const value = { a: 'x\u202ey\u{e0041}\n', b: [1] }
    const json = editableJson(value)
    expect(json).toContain('x\\u202ey\\udb40\\udc41\\n')
    expect(JSON.parse(json)).toEqual(value)
  })

  it('writes anything as JSON', () => {
    expect(prettyJson({ a: [1] })).toBe('{\n  "a": [\n    1\n  ]\n}')
    expect(prettyJson(undefined)).toBe('undefined')
  })
})
