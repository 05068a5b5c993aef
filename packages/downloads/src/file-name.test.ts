import { basename, join } from 'node:path'
import { checkedName } from '@taskfleet/download-contract/internal'
import { describe, expect, test } from 'vitest'
import { codeOf } from './failures.ts'
import { nameFromServer } from './server-name.ts'

const hostile = [
  ...[
    '../../etc/cron.d/x',
    '/abs',
    '/',
    '.',
    '..',
    '',
    'a/b',
    'a\\b',
    'C:\\x',
    'C:x',
    '\\\\host\\share',
    'a\0b',
    'a\nb',
    'a\x7fb',
  ],
  ...[
    'CON',
    'con.txt',
    'NUL',
    'LPT1.log',
    'trailing.',
    'trailing ',
    ' leading',
    'x'.repeat(300),
    'é'.repeat(90),
    '\ud800',
    'a\u202egnp.exe',
  ],
  ...[
    'a.part',
    'x.download-lock',
    '..\u2215..',
    '%2e%2e%2f',
    '....//',
    '..;/x',
    '~/x',
    '.\u200b.',
    '․․',
    '\u2028',
    '..\\..\\x',
  ],
]

const codeFor = (name: string) => {
  try {
    checkedName(name)
    return 'ok'
  } catch (error) {
    return codeOf(error)
  }
}

describe('file names', () => {
  test.each(hostile.slice(0, 27))('%j is refused', (name) => {
    expect(codeFor(name)).toBe('BAD_FILENAME')
  })

  test.each(['a.iso', '.hidden', 'with space.txt', 'Ünïcödé 文件.tar.gz', 'a'.repeat(160), 'console.txt', '..a'])(
    '%j is fine',
    (name) => {
      expect(checkedName(name)).toBe(name.normalize('NFC'))
    },
  )

  test('two spellings of one name are one file', () => {
    expect(checkedName('e\u0301.txt')).toBe(checkedName('\u00e9.txt'))
  })

  test('no name leads out of the root, wherever it comes from', () => {
    for (const name of hostile) {
      const urls = [
        `http://h/x/${encodeURIComponent(name.replace(/\p{Cs}/u, 'x'))}`,
        `http://h/${encodeURIComponent('a/../')}..%2f..%2fx`,
      ]
      const headers = [
        `attachment; filename="${name}"`,
        `attachment; filename=${name}`,
        `attachment; filename*=UTF-8''${escape(name)}`,
      ]
      for (const url of urls) {
        for (const header of [undefined, ...headers]) {
          const made = nameFromServer(header, new URL(url))
          expect(basename(join('/root', made))).toBe(made)
          expect(join('/folder', made).startsWith('/folder/')).toBe(true)
          expect(codeFor(made)).toBe('ok')
        }
      }
    }
  })

  test.each([
    ['attachment; filename="plain.zip"', 'plain.zip'],
    ['attachment; filename=token.zip; size=5', 'token.zip'],
    ['attachment; filename="a \\"quoted\\" b.zip"', 'a "quoted" b.zip'],
    [`attachment; filename="fallback.zip"; filename*=UTF-8''%e2%82%ac%20rates.zip`, '€ rates.zip'],
    ['attachment; filename="../../x.zip"', 'x.zip'],
    ['attachment; filename="CON"', '_CON_'],
    ['inline', 'from-path.bin'],
    [undefined, 'from-path.bin'],
  ])('the header %j gives %j', (header, name) => {
    expect(nameFromServer(header, new URL('http://h/dir/from-path.bin?x=1'))).toBe(name)
  })

  test('a URL without a path gives a name too', () => {
    expect(nameFromServer(undefined, new URL('http://h/'))).toBe('download')
    expect(nameFromServer(undefined, new URL('http://h/a/%zz'))).toBe('%zz')
  })
})
