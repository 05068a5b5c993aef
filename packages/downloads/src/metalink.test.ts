import { describe, expect, test } from 'vitest'
import { readMetalink } from './lists.ts'

const SHA256 = 'ab'.repeat(32)
const SHA512 = 'CD'.repeat(64)

const v4 = (files: string): string =>
  `<?xml version="1.0" encoding="UTF-8"?>\n<metalink xmlns="urn:ietf:params:xml:ns:metalink"><published>2026-01-01</published>${files}</metalink>`
const one = (inside: string, name = 'a.iso'): string => v4(`<file name="${name}">${inside}</file>`)
const URL = '<url>https://a.example/a.iso</url>'
const inputs = async (text: string, below?: string) =>
  (await readMetalink(text, 'x.meta4', below)).map(({ input }) => input)
const refusal = (text: string): Promise<string> =>
  inputs(text).then(
    (found) => JSON.stringify(found),
    (error: { code: string; message: string }) => `${error.code} ${error.message}`,
  )

describe('a Metalink document', () => {
  test('is a download for each file: addresses by priority, size, strongest hash, name', async () => {
    const text = v4(`
      <file name="images/a.iso">
        <identity>A &amp; B</identity>
        <size> 1048576 </size>
        <hash type="md5">${'00'.repeat(16)}</hash>
        <hash type="sha-512">${SHA512}</hash>
        <hash type="sha-256">${SHA256}</hash>
        <hash type="sha-999">1</hash>
        <pieces length="262144" type="sha-1"><hash>${'11'.repeat(20)}</hash></pieces>
        <url location="de">https://last.example/a.iso</url>
        <url priority="2">http://second.example/a.iso?x=1&amp;y=&#50;</url>
        <url priority="1">ftp://first.example/a.iso</url>
        <url priority="1"><![CDATA[https://first.example/a.iso?x=1&y=2]]></url>
        <url priority="9">http://second.example/a.iso?x=1&amp;y=2</url>
        <metaurl mediatype="torrent" priority="1">https://a.example/a.torrent</metaurl>
      </file>
      <file name="b.iso"><url>https://b.example/</url></file>`)
    expect(await inputs(text)).toEqual([
      {
        url: 'https://first.example/a.iso?x=1&y=2',
        mirrors: ['http://second.example/a.iso?x=1&y=2', 'https://last.example/a.iso'],
        file: 'a.iso',
        folder: 'images',
        size: 1_048_576,
        checksum: `sha-512:${SHA512.toLowerCase()}`,
      },
      { url: 'https://b.example/', file: 'b.iso' },
    ])
    expect((await readMetalink(text, 'x.meta4'))[1]!.where).toBe('x.meta4: file 2')
    expect(await inputs('\ufeff<metalink/>')).toEqual([])
  })

  test('of version 3 is read too, also with a prefix', async () => {
    const text = `<m:metalink version="3.0" xmlns:m="http://www.metalinker.org/"><m:files><m:file name="a.iso">
      <m:size>5</m:size><m:verification><m:hash type="sha1">${'1F'.repeat(20)}</m:hash><m:hash type="sha256">${SHA256}</m:hash></m:verification>
      <m:resources><m:url type="bittorrent">http://a.example/a.torrent</m:url><m:url type="http" preference="10">http://ten.example/a.iso</m:url>
      <m:url type="http" preference="100">http://best.example/a.iso</m:url></m:resources></m:file></m:files></m:metalink>`
    const checksum = `sha-256:${SHA256}`
    const [url, mirrors] = ['http://best.example/a.iso', ['http://ten.example/a.iso']]
    expect(await inputs(text)).toEqual([{ url, mirrors, file: 'a.iso', size: 5, checksum }])
  })

  test('has names below a folder, made safe', async () => {
    expect(await inputs(one(URL, 'a/b:c/con'), 'films/')).toMatchObject([{ folder: 'films/a/b_c', file: '_con_' }])
    expect(await inputs(one(URL, ' .a.part'))).toMatchObject([{ file: '_a.part_' }])
  })

  test('has at most as many mirrors as a download', async () => {
    const many = Array.from({ length: 70 }, (_, n) => `<url priority="${n + 1}">http://h${n}.example/</url>`).join('')
    const [input] = await inputs(one(many))
    expect([input!.mirrors!.length, input!.mirrors!.at(-1)]).toEqual([50, 'http://h50.example/'])
  })

  test.each([
    [one(URL, '../a.iso'), 'x.meta4: file 1: its name "../a.iso" has \'..\''],
    [one(URL, 'a/../../b'), "has '..'"],
    [one(URL, 'a\\..\\b'), "has '..'"],
    [one(URL, '/etc/passwd'), 'is absolute'],
    [one(URL, 'C:\\a'), 'is absolute'],
    [one(URL, 'a//b'), 'an empty part'],
    [one(URL, '{id}.iso'), 'a word in braces'],
    [one(URL, ''), 'has no name'],
    [v4(`<file>${URL}</file>`), 'has no name'],
    [one('<url>ftp://a.example/</url>'), 'has no http: or https: address'],
    [one('<url>https://</url>'), 'this is no complete address'],
    [one(`${URL}<size>12 MB</size>`), 'is no number of bytes'],
    [one(`${URL}<hash type="sha-256">12</hash>`), 'is no checksum of that type'],
    [`${v4('')}`.replace('metalink>', 'meta>'), 'is no well-formed XML'],
    ['<html><body/></html>', 'is no Metalink document'],
    ['https://a.example/1', 'x.meta4 is no'],
    ['', 'x.meta4 is no'],
    [`<!DOCTYPE m [<!ENTITY a "b">]>${one(URL)}`, 'has a document type'],
    [`<!DOCTYPE m SYSTEM "file:///etc/passwd">${one(URL)}`, 'has a document type'],
  ])('is refused with the place of the bad file: %s', async (text, why) => {
    const refused = await refusal(text)
    expect(refused).toMatch(/^BAD_INPUT x\.meta4/)
    expect(refused).toContain(why)
  })

  test('never repeats an address in an error, since it may hold a secret', async () => {
    expect(await refusal(one('<url>https://user:hunter2@</url>'))).not.toContain('hunter2')
    expect(await refusal('<metalink><hunter2></metalink>')).not.toContain('hunter2')
  })
})
