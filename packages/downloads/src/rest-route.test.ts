import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { downloadRoutes } from './rest-route.ts'

const fleet = useFleet()
const start = () => startRest(fleet, { scopes: ['read', 'write'], routes: downloadRoutes })
const A = 'https://a.example/a.iso'
const LIST = { 'content-type': 'text/plain; charset=utf-8' }
const METALINK = { 'content-type': 'application/metalink4+xml' }
const stored = (queue: string) => fleet.fleet.tasks.find({ queue }).sort({ _id: 1 }).toArray()

describe('POST /downloads', () => {
  test('stores a task for each download, and not twice', async () => {
    const queue = ownQueue()
    const { call } = await start()
    const downloads = [{ url: A, folder: 'films' }, { url: 'https://a.example/b.iso' }, { url: A, folder: 'films' }]
    const first = await call('POST', '/downloads', { downloads, queue, priority: 'high' })
    expect(first).toMatchObject({
      status: 201,
      body: {
        downloads: [
          { title: 'a.iso', status: 'pending', fresh: true, served: false },
          { title: 'b.iso', status: 'pending', fresh: true, served: false },
        ],
      },
    })
    const second = await call('POST', '/downloads', { downloads, queue })
    expect([second.status, (second.body.downloads as { fresh: boolean }[]).map(({ fresh }) => fresh)]).toEqual([
      200,
      [false, false],
    ])
    expect((await call('POST', '/downloads', { downloads: downloads.slice(0, 1), queue, again: true })).status).toBe(
      201,
    )
    expect(await stored(queue)).toMatchObject([
      { input: { url: A, folder: 'films' }, priority: 8, maxAttempts: 10 },
      { input: { url: 'https://a.example/b.iso' } },
      { priority: 5 },
    ])
  })

  test('takes lists and Metalink documents', async () => {
    const queue = ownQueue()
    const { call } = await start()
    const list = `# two\n${A}\n  out=x.iso\n  dir=own\nhttps://a.example/b.iso\n`
    expect(told(await call('POST', `/downloads?queue=${queue}&priority=9&folder=films`, list, LIST))).toBe('201')
    const document = `<metalink><file name="c.iso"><url>https://c.example/</url></file></metalink>`
    expect(told(await call('POST', `/downloads?queue=${queue}&folder=films`, document, METALINK))).toBe('201')
    expect(told(await call('POST', `/downloads?queue=${queue}&folder=films&again=true`, document, METALINK))).toBe(
      '201',
    )
    expect(await stored(queue)).toMatchObject([
      { input: { url: A, file: 'x.iso', folder: 'own' }, priority: 9 },
      { input: { url: 'https://a.example/b.iso', folder: 'films' } },
      { input: { url: 'https://c.example/', folder: 'films', file: 'c.iso' }, priority: 5 },
      { title: 'c.iso' },
    ])
  })

  test('is for keys that may store such tasks', async () => {
    const queue = ownQueue()
    const { as } = await start()
    const ask = (token: string | undefined) => as(token).call('POST', '/downloads', { downloads: [{ url: A }], queue })
    const reader = await makeKey(fleet, { scopes: ['read'] })
    const elsewhere = await makeKey(fleet, { scopes: ['write'], queues: ['elsewhere'] })
    const other = await makeKey(fleet, { scopes: ['write'], names: ['other'] })
    const writer = await makeKey(fleet, { scopes: ['write'], queues: [queue], names: ['download'] })
    expect([
      told(await ask(undefined)),
      told(await ask(reader)),
      told(await ask(elsewhere)),
      told(await ask(other)),
    ]).toEqual(['401 UNAUTHENTICATED', '403 FORBIDDEN', '403 QUEUE_NOT_ALLOWED', '403 NAME_NOT_ALLOWED'])
    expect(await stored(queue)).toEqual([])
    expect(await ask(writer)).toMatchObject({ status: 201, body: { downloads: [{ fresh: true }] } })
    expect(await ask(writer)).toMatchObject({ status: 200, body: { downloads: [{ title: 'a.iso', fresh: false }] } })
  })

  test('stores nothing of a bad request, and names the place', async () => {
    const queue = ownQueue()
    const { call } = await start()
    const good = { url: A }
    const bad: [unknown, Record<string, string> | undefined, string, string?][] = [
      [undefined, undefined, '400 BAD_REQUEST'],
      [[good], undefined, '400 BAD_REQUEST'],
      [{ downloads: [] }, undefined, '400 BAD_REQUEST', 'downloads'],
      [{ downloads: [good, { url: 5 }] }, undefined, '400 BAD_REQUEST', 'downloads.1.url'],
      [{ downloads: [good, { ...good, mirrors: 5 }] }, undefined, '400 BAD_REQUEST', 'downloads.1.mirrors'],
      [{ downloads: [{ ...good, hunter2: 1 }] }, undefined, '400 BAD_REQUEST', 'downloads.0'],
      [{ downloads: [good, { url: 'ftp://user:hunter2@a/' }] }, undefined, '400 BAD_INPUT', 'downloads.1'],
      [{ downloads: [good, { ...good, file: '../x' }] }, undefined, '400 BAD_INPUT', 'downloads.1'],
      [{ downloads: [good], queue: 'a b' }, undefined, '400 BAD_QUEUE'],
      [{ downloads: [good], priority: 'urgent' }, undefined, '400 OUT_OF_RANGE'],
      [{ downloads: Array.from({ length: 10_001 }, () => good) }, undefined, '413 TOO_MANY_TASKS'],
      [`${A}\nwww.a.example\n`, LIST, '400 BAD_INPUT', 'body:2'],
      ['# nothing\n', LIST, '400 BAD_REQUEST'],
      [
        '<metalink><file name="../x"><url>https://a/</url></file></metalink>',
        METALINK,
        '400 BAD_INPUT',
        'body: file 1',
      ],
      ['x', { 'content-type': 'text/html' }, '415 UNSUPPORTED_MEDIA_TYPE'],
      [new Uint8Array([0xff, 0xfe]), LIST, '400 BAD_STRING'],
      ['x'.repeat(9 * 2 ** 20), LIST, '413 INPUT_TOO_LARGE'],
    ]
    for (const [body, headers, told_, field] of bad) {
      const answer = await call('POST', `/downloads${headers ? `?queue=${queue}` : ''}`, body, headers)
      expect([JSON.stringify(body)?.slice(0, 80), told(answer), answer.body.field]).toEqual([
        ...[JSON.stringify(body)?.slice(0, 80), told_],
        field === undefined ? answer.body.field : field,
      ])
      expect(answer.text).not.toContain('hunter2@')
    }
    expect(told(await call('POST', '/downloads?again=yes', A, LIST))).toBe('400 BAD_REQUEST')
    expect(told(await call('POST', '/downloads?queue=x', { downloads: [good] }))).toBe('400 BAD_REQUEST')
    expect(told(await call('POST', '/tasks', A, LIST))).toBe('415 UNSUPPORTED_MEDIA_TYPE')
    expect(await stored(queue)).toEqual([])
  })

  test('is in the OpenAPI document', async () => {
    const { gateway } = await start()
    const { paths } = (await (await fetch(`${gateway.url}/api/openapi.json`)).json()) as {
      paths: Record<string, object>
    }
    expect(paths['/api/v1/downloads']).toMatchObject({ post: { 'x-scope': 'write', summary: expect.any(String) } })
  })
})
