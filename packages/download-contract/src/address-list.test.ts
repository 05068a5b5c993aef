import { describe, expect, test } from 'vitest'
import { parseAddressList, readAddressList } from './address-list.ts'

const inputs = (text: string) => readAddressList(text, 'list.txt').map(({ input }) => input)
const refusal = (text: string): string => {
  try {
    return JSON.stringify(inputs(text))
  } catch (error) {
    return `${(error as { code: string }).code} ${(error as Error).message}`
  }
}

describe('a list of addresses', () => {
  test('has one in each line; blank lines and comments are ignored', () => {
    const text = '\ufeff# films\n\nhttps://a.example/1\r\n  \n   # no option\n\thttps=1\n'
    expect(refusal(text)).toMatch(/^BAD_INPUT list\.txt:6: there is no option 'https' here, only out, dir/)
    expect(inputs('\ufeff# films\n\nhttps://a.example/1\r\nhttp://a.example/2?x=1#y\n')).toEqual([
      { url: 'https://a.example/1' },
      { url: 'http://a.example/2?x=1#y' },
    ])
    expect(readAddressList('\n\nhttps://a.example/1', '-')[0]!.where).toBe('-:3')
    expect(inputs('')).toEqual([])
  })

  test('has options of aria2 in indented lines, and mirrors between tabs', () => {
    const text = [
      'https://a.example/x\thttps://b.example/x\t\thttp://c.example/x',
      '  out={name}-{date}.{ext}',
      '  dir=films/2026',
      '',
      `\tchecksum=sha-256=${'ab'.repeat(32)}`,
      '  header=Authorization: Bearer a:b',
      '  header=X-Empty:',
      '  user-agent=curl/8',
      '  referer=https://a.example/',
      '  all-proxy=http://proxy.example:3128',
      'https://a.example/y',
    ].join('\n')
    expect(inputs(text)).toEqual([
      {
        url: 'https://a.example/x',
        mirrors: ['https://b.example/x', 'http://c.example/x'],
        file: '{name}-{date}.{ext}',
        folder: 'films/2026',
        checksum: `sha-256=${'ab'.repeat(32)}`,
        headers: {
          Authorization: 'Bearer a:b',
          'X-Empty': '',
          'user-agent': 'curl/8',
          referer: 'https://a.example/',
        },
        proxy: 'http://proxy.example:3128',
      },
      { url: 'https://a.example/y' },
    ])
  })

  test.each([
    ['ftp://a.example/1', 1, "ftp: addresses can't be downloaded"],
    ['https://a.example/1\nwww.a.example', 2, 'this is no address'],
    ['https://', 1, 'this is no complete address'],
    ['https://a.example/1\tmagnet:?xt=1', 1, 'magnet: addresses'],
    ['  out=x', 1, 'there is no address above it'],
    ['https://a.example/1\n  out', 2, 'an indented line is an option'],
    ['https://a.example/1\n  constructor=1', 2, "there is no option 'constructor'"],
    ['https://a.example/1\n\n  out=../x', 3, 'has a folder, a drive'],
    ['https://a.example/1\n  out={nmae}', 2, 'is no field of a file name'],
    ['https://a.example/1\n  dir=/srv/films', 2, 'is absolute'],
    ['https://a.example/1\n  dir=a/../b', 2, 'is no file name'],
    ['https://a.example/1\n  checksum=sha-256=12', 2, 'a checksum is'],
    ['https://a.example/1\n  header=nothing', 2, "a header is written as 'Name: value'"],
    ['https://a.example/1\n  header=Host: b.example', 2, 'is set by the download itself'],
    [`https://a.example/${'x'.repeat(9_000)}`, 1, 'url: Too big'],
  ])('names the line of %j', (text, line, why) => {
    const refused = refusal(text)
    expect(refused).toContain(`BAD_INPUT list.txt:${line}: `)
    expect(refused).toContain(why)
  })

  test('has every bad line named, each with its own reason', () => {
    const text = [
      'ftp://a.example/1',
      '  out=..',
      '  nonsense=1',
      'https://a.example/2',
      '  dir=/srv',
      '  out=x',
      'https://a.example/3',
      'magnet:?xt=1',
    ].join('\n')
    const { downloads, bad } = parseAddressList(text, 'list.txt')
    expect(bad.map(({ line, error }) => [line, error.code])).toEqual([
      [1, 'BAD_INPUT'],
      [3, 'BAD_INPUT'],
      [5, 'BAD_INPUT'],
      [8, 'BAD_INPUT'],
    ])
    expect(downloads.map(({ where }) => where)).toEqual(['list.txt:1', 'list.txt:4', 'list.txt:7', 'list.txt:8'])
    expect(parseAddressList('  out=x', 'list.txt').bad[0]!.error.message).toContain('there is no address above it')
  })

  test('never repeats an address in an error, since it may hold a secret', () => {
    for (const text of ['ftp://user:hunter2@a/', 'https://a/?t=hunter2\n  out=..', 'hunter2'])
      expect(refusal(text)).not.toContain('hunter2')
  })
})
