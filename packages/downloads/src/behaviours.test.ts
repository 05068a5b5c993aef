import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { RetryAfterError, UnrecoverableError } from '@taskfleet/protocol'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DownloadInput, DownloadOptions } from './contract.ts'
import { codeOf } from './failures.ts'
import { type TestBed, testBed } from './test-bed.ts'
import {
  BODY,
  cut,
  file,
  type Headers,
  type RawAnswer,
  type RawRequest,
  rawServer,
  reply,
  SHA256,
  SIZE,
} from './test-raw-server.ts'

/** How curl or a browser would end it. */
type End =
  /** With the right bytes; `sent` is the most that the server has to send, `name` what the file is called. */
  | { right: { sent?: number; requests?: number; name?: string; bytes?: number } }
  /** Asked again after so many milliseconds, at no cost. */
  | { waits: [least: number, most: number] }
  /** Asked again after the usual back-off. */
  | { retries: string | RegExp }
  | { final: string }

interface Behaviour {
  answer(request: RawRequest): RawAnswer
  end: End
  input?: Partial<DownloadInput>
  options?: Partial<DownloadOptions>
}

const HALF = SIZE / 2
const ONCE = { right: { sent: SIZE } }
const DATE = 'Wed, 01 Jan 2025 00:00:00 GMT'
const NOW = 'Thu, 02 Jan 2025 00:00:00 GMT'
const CHECKED = { sha256: SHA256 }

const always = (answer: RawAnswer, end: End, more: Partial<Behaviour> = {}): Behaviour => ({
  answer: () => answer,
  end,
  ...more,
})

/** Ends the first connection half-way; `rest` answers what is requested next. */
const broken = (
  headers: Headers,
  rest: (request: RawRequest) => RawAnswer,
  end: End = ONCE,
  more: Partial<Behaviour> = {},
): Behaviour => ({
  answer: (request) => (request.n === 1 ? cut(file(0, headers), HALF) : rest(request)),
  end,
  ...more,
})

/** A good server that honours `If-Range` only if it is one of these values. */
const honours =
  (headers: Headers, ...values: (string | undefined)[]) =>
  ({ from, headers: { 'if-range': ifRange } }: RawRequest) =>
    file(values.includes(ifRange) ? from : 0, headers)

const endings: Record<string, Behaviour> = {
  'a whole file': always(file(), { right: { requests: 1 } }),
  'ends half-way': broken({ ETag: '"a"' }, ({ from }) => file(from, { ETag: '"a"' })),
  'ends after each 20 kB': {
    answer: ({ from }) => cut(file(from, { ETag: '"a"' }), 20_000),
    end: { right: { sent: SIZE, requests: 10 } },
    options: { stallMs: 5_000 },
  },
  'ends after each 70 kB, and knows no validator': {
    answer: ({ from }) => cut(file(from), 70_000),
    end: { right: { sent: SIZE, requests: 3 } },
  },
  'resets half-way': {
    answer: ({ n, from }) => (n === 1 ? cut(file(0, { ETag: '"a"' }), HALF, 'reset') : file(from, { ETag: '"a"' })),
    end: ONCE,
  },
  'falls silent half-way': {
    answer: ({ n, from }) => (n === 1 ? cut(file(0, { ETag: '"a"' }), HALF, 'silence') : file(from, { ETag: '"a"' })),
    end: ONCE,
    options: { stallMs: 200 },
  },
  'ends half-way each time, and ignores ranges': {
    answer: () => cut(file(0, { ETag: '"a"' }), HALF),
    end: { retries: 'LENGTH_MISMATCH' },
  },
  'ends before the first byte of the body': always(cut(file(0, { ETag: '"a"' }), 0), { retries: 'LENGTH_MISMATCH' }),
  'ends in the middle of the head': always({ head: 'HTTP/1.1 200 OK\r\nContent-Le' }, { retries: 'CONNECTION_LOST' }),
  'ends without an answer': always({ head: '' }, { retries: 'CONNECTION_LOST' }),
  'resets without an answer': always({ head: '', then: 'reset' }, { retries: 'CONNECTION_LOST' }),
  'says nothing': always({ head: '', then: 'silence' }, { retries: 'STALLED' }, { options: { stallMs: 200 } }),
  'falls silent in the head': always(
    { head: 'HTTP/1.1 200 OK\r\n', then: 'silence' },
    { retries: 'STALLED' },
    { options: { stallMs: 200 } },
  ),
  'sends no length and ends': always(reply('200 OK', { 'Content-Length': undefined }, BODY), { right: {} }),
  'keeps the connection after the last byte': always({ ...file(), then: 'stay' }, { right: {} }),
  'sends more than it announced': always(reply('200 OK', { 'Content-Length': '100' }, BODY), {
    right: { bytes: 100 },
  }),
  'is HTTP/1.0': always({ head: 'HTTP/1.0 200 OK\r\n\r\n', body: BODY }, { right: {} }),
  'sends chunks': always(
    reply(
      '200 OK',
      { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' },
      Buffer.concat([Buffer.from(`${SIZE.toString(16)}\r\n`), BODY, Buffer.from('\r\n0\r\n\r\n')]),
    ),
    { right: {} },
  ),
  'sends chunks with extensions and trailers': always(
    reply(
      '200 OK',
      { 'Content-Length': undefined, 'Transfer-Encoding': 'Chunked' },
      Buffer.concat([Buffer.from(`${SIZE.toString(16)};a=b\r\n`), BODY, Buffer.from('\r\n0\r\nX-Sum: 1\r\n\r\n')]),
    ),
    { right: {} },
  ),
  'ends in the middle of a chunk': {
    answer: ({ n, from }) =>
      n > 1
        ? file(from, { ETag: '"a"' })
        : reply(
            '200 OK',
            { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked', ETag: '"a"' },
            Buffer.concat([Buffer.from(`${SIZE.toString(16)}\r\n`), BODY.subarray(0, HALF)]),
          ),
    end: { right: { requests: 2 } },
  },
  'sends a bad chunk': always(
    reply('200 OK', { 'Content-Length': undefined, 'Transfer-Encoding': 'chunked' }, 'xyz\r\nabc'),
    { retries: /BAD_RESPONSE|LENGTH_MISMATCH/ },
  ),
}

const validators: Record<string, Behaviour> = {
  'a strong ETag': broken({ ETag: '"a"' }, honours({ ETag: '"a"' }, '"a"')),
  'an ETag without quotes': broken({ ETag: 'abc' }, honours({ ETag: 'abc' }, 'abc')),
  'an ETag in UTF-8': broken({ ETag: '"grün-✓"' }, ({ from, headers }) =>
    file(Buffer.from(headers['if-range'] ?? '', 'latin1').toString() === '"grün-✓"' ? from : 0, { ETag: '"grün-✓"' }),
  ),
  'an ETag with a comma': broken({ ETag: '"a, b"' }, honours({ ETag: '"a, b"' }, '"a, b"')),
  'an empty ETag': broken({ ETag: '""' }, honours({ ETag: '""' }, '""')),
  'the same ETag twice': broken({ ETag: ['"a"', '"a"'] }, honours({ ETag: ['"a"', '"a"'] }, '"a"')),
  'two ETags and a checksum': broken({ ETag: ['"a"', '"b"'] }, honours({ ETag: ['"a"', '"b"'] }, undefined), ONCE, {
    input: CHECKED,
  }),
  'an old Last-Modified': broken(
    { 'Last-Modified': DATE, Date: NOW },
    honours({ 'Last-Modified': DATE, Date: NOW }, DATE),
  ),
  'a Last-Modified that the range does not repeat': broken(
    { 'Last-Modified': DATE, Date: NOW },
    honours({ Date: NOW }, DATE),
  ),
  'a weak ETag with a Last-Modified': broken(
    { ETag: 'W/"a"', 'Last-Modified': DATE, Date: NOW },
    honours({ ETag: 'W/"a"', 'Last-Modified': DATE, Date: NOW }, DATE),
  ),
  'both, of which only the date is honoured': broken(
    { ETag: '"a"', 'Last-Modified': DATE, Date: NOW },
    honours({ ETag: '"a"', 'Last-Modified': DATE, Date: NOW }, DATE, undefined),
  ),
  'both, of which only the ETag is honoured': broken(
    { ETag: '"a"', 'Last-Modified': DATE, Date: NOW },
    honours({ ETag: '"a"', 'Last-Modified': DATE, Date: NOW }, '"a"', undefined),
  ),
  'an ETag that If-Range must not have': broken({ ETag: '"a"' }, honours({ ETag: '"a"' }, undefined), {
    right: { sent: HALF + SIZE + HALF },
  }),
  'none, with a checksum': broken({}, honours({}, undefined), ONCE, { input: CHECKED }),
  'another version, by ETag': broken({ ETag: '"old"' }, honours({ ETag: '"new"' }, '"new"'), {
    right: { sent: HALF + SIZE, requests: 2 },
  }),
  'another version, sent as a range': broken({ ETag: '"old"' }, ({ from }) => file(from, { ETag: '"new"' }), {
    right: { requests: 3 },
  }),
  'another version, by total': broken(
    {},
    ({ from }) => (from > 0 ? file(from, { 'Content-Range': `bytes ${from}-${SIZE - 1}/${SIZE + 1}` }) : file()),
    { right: { requests: 3 } },
  ),
}

const ranges: Record<string, Behaviour> = {
  ...Object.fromEntries(
    Object.entries({
      'in capitals': (from: number) => `Bytes ${from}-${SIZE - 1}/${SIZE}`,
      'with an equals sign': (from: number) => `bytes=${from}-${SIZE - 1}/${SIZE}`,
      'with two spaces': (from: number) => `bytes  ${from}-${SIZE - 1}/${SIZE}`,
      'with spaces around its numbers': (from: number) => `bytes ${from} - ${SIZE - 1} / ${SIZE}`,
      'without a unit': (from: number) => `${from}-${SIZE - 1}/${SIZE}`,
      'without a total': (from: number) => `bytes ${from}-${SIZE - 1}/*`,
      'with nothing behind the range': (from: number) => `bytes ${from}-${SIZE - 1}`,
    }).map(([kind, range]) => [
      `a Content-Range ${kind}`,
      broken({ ETag: '"a"' }, ({ from }) =>
        file(from, { ETag: '"a"', ...(from > 0 && { 'Content-Range': range(from) }) }),
      ),
    ]),
  ),
  'a range without Content-Range': broken(
    { ETag: '"a"' },
    ({ from }) => file(from, { ETag: '"a"', 'Content-Range': undefined }),
    { right: { sent: HALF + HALF + HALF + SIZE } },
  ),
  'a range with another start': broken(
    { ETag: '"a"' },
    ({ from }) => file(from, { ETag: '"a"', ...(from > 0 && { 'Content-Range': `bytes 0-${SIZE - 1}/${SIZE}` }) }),
    { right: {} },
  ),
  'several parts for one range': broken(
    { ETag: '"a"' },
    ({ from }) =>
      from > 0 ? reply('206 Partial Content', { 'Content-Type': 'multipart/byteranges; boundary=x' }, '--x--') : file(),
    { right: {} },
  ),
  'a whole file for a range': broken({ ETag: '"a"' }, () => file(0, { ETag: '"a"' }), { right: {} }),
  '400 for a range': broken({ ETag: '"a"' }, ({ from }) => (from > 0 ? reply('400 Bad Request') : file()), {
    right: {},
  }),
  '403 for a range': broken({ ETag: '"a"' }, ({ from }) => (from > 0 ? reply('403 Forbidden') : file()), { right: {} }),
  '501 for a range': broken({ ETag: '"a"' }, ({ from }) => (from > 0 ? reply('501 No') : file()), { right: {} }),
  '416 for a range': broken({ ETag: '"a"' }, ({ from }) => (from > 0 ? reply('416 No') : file()), { right: {} }),
  '416 with another size': broken(
    { ETag: '"a"' },
    ({ from }) => (from > 0 ? reply('416 No', { 'Content-Range': 'bytes */5' }) : file()),
    { right: {} },
  ),
  '416 that shows that all is there': {
    answer: ({ from }) =>
      from > 0
        ? reply('416 No', { 'Content-Range': `bytes */${SIZE}`, ETag: '"a"' })
        : cut(file(0, { ETag: '"a"', 'Content-Length': String(SIZE + 10) }), SIZE),
    end: { right: { sent: SIZE, requests: 2 } },
  },
  '416 for the whole': always(reply('416 No'), { final: 'HTTP_416' }),
  'a file in pieces': {
    answer: ({ from }) => {
      const to = Math.min(SIZE, from + 60_000)
      return reply(
        '206 Partial Content',
        { 'Content-Range': `bytes ${from}-${to - 1}/${SIZE}` },
        BODY.subarray(from, to),
      )
    },
    end: { right: { sent: SIZE, requests: 4 } },
  },
  'a file in pieces without a total': {
    answer: ({ from }) => {
      const to = Math.min(SIZE, from + 60_000)
      return from === to
        ? reply('416 No')
        : reply('206 Partial Content', { 'Content-Range': `bytes ${from}-${to - 1}/*` }, BODY.subarray(from, to))
    },
    end: { right: { sent: SIZE, requests: 5 } },
  },
  'a piece of nothing': always(reply('206 Partial Content', { 'Content-Range': 'bytes 5-9/10' }, 'abcde'), {
    retries: 'RESUME_FAILED',
  }),
}

const seconds = (status: string, header: string | string[], end: End, headers: Headers = {}): Behaviour =>
  always(reply(status, { 'Retry-After': header, ...headers }), end)

const notNow: Record<string, Behaviour> = {
  '429 and seconds': seconds('429 No', '7', { waits: [7_000, 7_000] }),
  '429 and a date': seconds('429 No', 'Thu, 02 Jan 2025 00:00:20 GMT', { waits: [20_000, 20_000] }, { Date: NOW }),
  '429 and an old form of a date': seconds(
    '429 No',
    'Thu Jan  2 00:00:20 2025',
    { waits: [20_000, 20_000] },
    { Date: NOW },
  ),
  '429 and twice the same': seconds('429 No', ['120', '120'], { waits: [120_000, 120_000] }),
  '429 and two delays': seconds('429 No', ['5', '120'], { waits: [120_000, 120_000] }),
  '429 and two dates': seconds(
    '429 No',
    ['Thu, 02 Jan 2025 00:00:20 GMT', 'Thu, 02 Jan 2025 00:00:30 GMT'],
    { waits: [30_000, 30_000] },
    { Date: NOW },
  ),
  '429 and a fraction': seconds('429 No', '30.5', { waits: [30_500, 30_500] }),
  '429 and quotes': seconds('429 No', ['"7"', '"9"'], { waits: [9_000, 9_000] }),
  '429 and a unit': seconds('429 No', '60s', { waits: [60_000, 60_000] }),
  '429 and minutes': seconds('429 No', '5 minutes', { waits: [300_000, 300_000] }),
  '429 and milliseconds': seconds('429 No', '2500ms', { waits: [2_500, 2_500] }),
  '429 and a time since 1970': seconds('429 No', '1735776020', { waits: [20_000, 20_000] }, { Date: NOW }),
  '429 and an hour': seconds('429 No', '3600', { waits: [3_600_000, 3_600_000] }),
  '429 and a year': seconds('429 No', '31536000', { waits: [86_400_000, 86_400_000] }),
  '429 and an absurd number': seconds('429 No', '9'.repeat(400), { waits: [86_400_000, 86_400_000] }),
  '429 and a negative number': seconds('429 No', '-1', { retries: 'HTTP_429' }),
  '429 and zero': seconds('429 No', '0', { retries: 'HTTP_429' }),
  '429 and a date that has passed': seconds('429 No', DATE, { retries: 'HTTP_429' }, { Date: NOW }),
  '429 and words': seconds('429 No', 'soon', { retries: 'HTTP_429' }),
  '429 and the reset of a rate limit': always(reply('429 No', { 'X-RateLimit-Reset': '30' }), {
    waits: [30_000, 30_000],
  }),
  '403 and an exhausted rate limit': always(
    reply('403 No', { Date: NOW, 'X-RateLimit-Remaining': '0', 'X-RateLimit-Reset': '1735776020' }),
    { waits: [20_000, 20_000] },
  ),
  '403 and a rate limit that is not exhausted': always(
    reply('403 No', { 'X-RateLimit-Remaining': '5', 'X-RateLimit-Reset': '30' }),
    { final: 'HTTP_403' },
  ),
  ...Object.fromEntries(
    ['202', '401', '403', '404', '413', '500', '502', '503', '504', '529'].map((status) => [
      `${status} and seconds`,
      seconds(`${status} No`, '9', { waits: [9_000, 9_000] }),
    ]),
  ),
  ...Object.fromEntries(
    ['202', '408', '421', '423', '425', '429', '500', '502', '503', '504', '520'].map((status) => [
      `${status} alone`,
      always(reply(`${status} No`), { retries: `HTTP_${status}` }),
    ]),
  ),
  ...Object.fromEntries(
    ['204', '304', '400', '401', '402', '403', '404', '405', '406', '410', '413', '418', '451', '501', '505'].map(
      (status) => [`${status} alone`, always(reply(`${status} No`), { final: `HTTP_${status}` })],
    ),
  ),
  '503 once, half-way': broken(
    { ETag: '"a"' },
    ({ n, from }) => (n === 2 ? reply('503 No', { 'Retry-After': '2' }) : file(from)),
    { waits: [2_000, 2_000] },
  ),
}

const redirect = (status: number, location: string | string[] | undefined, end: End = { right: {} }): Behaviour => ({
  answer: ({ path }) => (path.includes('target') ? file() : reply(`${status} Go`, { Location: location })),
  end,
})

const redirects: Record<string, Behaviour> = {
  ...Object.fromEntries([301, 302, 303, 307, 308].map((status) => [`${status}`, redirect(status, '/target')])),
  'to a relative address': redirect(302, 'target?x=1'),
  'to an address without a scheme': {
    answer: (r) => redirect(302, `//${r.headers.host}/target`).answer(r),
    end: { right: {} },
  },
  'with a fragment': redirect(302, '/target#part'),
  'with spaces and letters': {
    answer: ({ path }) => (path === '/target/gr%C3%BCn%20a' ? file() : reply('302 Go', { Location: '/target/grün a' })),
    end: { right: {} },
  },
  'with two addresses, of which curl takes the first': redirect(302, ['/target', '/other']),
  'to another scheme': redirect(302, 'ftp://127.0.0.1/target', { final: 'BAD_SCHEME' }),
  'to a file of this computer': redirect(302, 'file:///etc/passwd', { final: 'BAD_SCHEME' }),
  'to no address': redirect(302, 'http://', { final: 'BAD_SCHEME' }),
  'without an address': redirect(302, undefined, { final: 'HTTP_302' }),
  'in a circle': { answer: ({ path }) => reply('302 Go', { Location: path }), end: { final: 'TOO_MANY_REDIRECTS' } },
  'to itself, once': {
    answer: ({ n, path }) => (n === 1 ? reply('302 Go', { Location: path }) : file()),
    end: { right: {} },
  },
  'with a Retry-After and no address': always(reply('302 Go', { 'Retry-After': '5' }), { waits: [5_000, 5_000] }),
}

const named = (disposition: string, name: string): [string, Behaviour] => [
  disposition,
  always(file(0, { 'Content-Disposition': disposition }), { right: { name } }, { input: { file: undefined as never } }),
]

const names: Record<string, Behaviour> = Object.fromEntries([
  named('attachment; filename="한글 문서.pdf"', '한글 문서.pdf'),
  named('attachment; filename=naïve.txt', 'naïve.txt'),
  named("attachment; filename*=ISO-8859-1''caf%E9.txt", 'café.txt'),
  named('attachment; filename="x.pdf"; filename*=UTF-8\'\'%E6%96%87.pdf', '文.pdf'),
  named("attachment; filename*=UTF-8''%E6%96%88.pdf; filename=x.pdf", '斈.pdf'),
  named('attachment; filename*="UTF-8\'\'%E6%96%89.pdf"', '斉.pdf'),
  named('attachment; filename="=?UTF-8?Q?=E6=96=8A.pdf?="', '斊.pdf'),
  named('attachment; filename="100%25 sure.txt"', '100% sure.txt'),
  named('attachment; filename="99% sure.txt"', '99% sure.txt'),
  named('attachment; filename="a; filename=b.txt"', 'a; filename=b.txt'),
  named('attachment; name="x; filename=evil.exe"; filename="good.txt"', 'good.txt'),
  named('attachment; filename=my report.pdf', 'my report.pdf'),
  named('ATTACHMENT; FileName = "ok.txt"', 'ok.txt'),
  named("attachment; filename='report.pdf'", 'report.pdf'),
  named('attachment; filename*0="long"; filename*1="name.txt"', 'longname.txt'),
  named('inline; filename="in.txt"', 'in.txt'),
  named('filename="no type.txt"', 'no type.txt'),
  named('attachment; filename="/etc/passwd"', 'passwd'),
  named('attachment; filename="..\\\\..\\\\evil.exe"', 'evil.exe'),
  named('attachment; filename="unterminated.txt', 'unterminated.txt'),
])

const heads: Record<string, Behaviour> = {
  'early hints first': {
    answer: () => ({ ...file(), head: `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${file().head}` }),
    end: { right: {} },
  },
  '100 Continue first': {
    answer: () => ({ ...file(), head: `HTTP/1.1 100 Continue\r\n\r\n${file().head}` }),
    end: { right: {} },
  },
  '102 and 103 first': {
    answer: () => ({
      ...file(),
      head: `HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Hints\r\nX: y\r\n\r\n${file().head}`,
    }),
    end: { right: {} },
  },
  'lines that end without CR': always({ ...file(), head: file().head.replaceAll('\r', '') }, { right: {} }),
  'an empty line first': always({ ...file(), head: `\r\n${file().head}` }, { right: {} }),
  'a folded header': always(file(0, { 'X-Folded': 'a\r\n\tb\r\n c' }), { right: {} }),
  'a space before the colon': always(
    reply('200 OK', { 'Content-Length': undefined, 'Content-Length ': String(SIZE) }, BODY),
    {
      right: {},
    },
  ),
  'no space behind the colon': always({ ...file(), head: file().head.replaceAll(': ', ':') }, { right: {} }),
  'a line that is no header': always(
    { ...file(), head: file().head.replace('\r\n', '\r\nnonsense\r\n') },
    { right: {} },
  ),
  'a name that is none': always(file(0, { 'bad name': 'x', bäd: 'y', '': 'z' }), { right: {} }),
  'control characters in a header': always(file(0, { 'X-Odd': 'a\u0000b\u0001c\u007f' }), { right: {} }),
  'the same length twice': always(file(0, { 'Content-Length': [String(SIZE), String(SIZE)] }), { right: {} }),
  'the same length twice in a line': always(file(0, { 'Content-Length': `${SIZE}, ${SIZE}` }), { right: {} }),
  'the transfer encoding identity': always(file(0, { 'Transfer-Encoding': 'identity' }), { right: {} }),
  'a protocol in small letters': always({ ...file(), head: file().head.replace('HTTP', 'http') }, { right: {} }),
  'two spaces before the status': always({ ...file(), head: file().head.replace('1.1 ', '1.1  ') }, { right: {} }),
  'a version that is close': always({ ...file(), head: file().head.replace('1.1', '1.2') }, { right: {} }),
  'no reason': always({ ...file(), head: file().head.replace('200 OK', '200') }, { right: {} }),
  'a reason in UTF-8': always(reply('200 Größe ✓', {}, BODY), { right: {} }),
  'a large header': always(file(0, { 'X-Large': 'x'.repeat(60_000) }), { right: {} }),
  'many headers': always(
    file(0, Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`X-${n}`, 'y'.repeat(20)]))),
    { right: {} },
  ),
  'more headers than anybody takes': always(file(0, { 'X-Large': 'x'.repeat(400_000) }), { retries: 'BAD_RESPONSE' }),
  'letters in a header': always(file(0, { 'X-Name': 'grün ✓' }), { right: {} }),
  'another protocol': always({ head: 'SSH-2.0-OpenSSH_9.9\r\n\r\n' }, { retries: 'BAD_RESPONSE' }),
  'two lengths': always(reply('200 OK', { 'Content-Length': ['5', '7'] }, 'abcde'), { retries: 'LENGTH_MISMATCH' }),
  'a negative length': always(reply('200 OK', { 'Content-Length': '-5' }, 'abcde'), { retries: 'LENGTH_MISMATCH' }),
  'a length and chunks': always(
    reply('200 OK', { 'Content-Length': '5', 'Transfer-Encoding': 'chunked' }, '5\r\nabcde\r\n0\r\n\r\n'),
    { retries: 'LENGTH_MISMATCH' },
  ),
  'a page that asks for a password': always(reply('401 No', { 'WWW-Authenticate': 'Basic realm="x"' }), {
    final: 'HTTP_401',
  }),
  'the wrong checksum': always(file(), { final: 'CHECKSUM_MISMATCH' }, { input: { sha256: '0'.repeat(64) } }),
  'a larger file than is wanted': always(file(), { final: 'LENGTH_MISMATCH' }, { input: { size: 5 } }),
  'a larger file than is allowed': always(file(), { final: 'TOO_LARGE' }, { options: { maxBytes: 5 } }),
}

let bed: TestBed
beforeAll(async () => {
  bed = await testBed()
})
afterAll(() => bed.close())

/** By group and name. */
const all = new Map<string, Behaviour>()

describe.each(Object.entries({ endings, validators, ranges, 'not now': notNow, redirects, names, heads }))(
  'a server: %s',
  (group, behaviours) => {
    for (const [name, behaviour] of Object.entries(behaviours)) all.set(`${group} ${name}`, behaviour)

    test.concurrent.for(Object.entries(behaviours))('%s', async ([name, behaviour], { expect }) => {
      const { end, input, options } = behaviour
      const own = await rawServer((request) => behaviour.answer(request))
      try {
        const wanted = `${group}-${name}`.replace(/[^\w]/g, '-').slice(0, 100)
        const url = `${own.url}/path/f.bin`
        const attempt = bed.start({ url, file: wanted, ...input }, { stallMs: 2_000, ...options })
        const result = await attempt.ended.then(
          (output) => ({ output }),
          (error: Error & { delayMs?: number }) => ({ error }),
        )
        if ('right' in end) {
          expect(result).toHaveProperty('output')
          const { output } = result as { output: { file: string; bytes: number } }
          const { sent, requests, bytes = SIZE } = end.right
          expect(output).toMatchObject({ file: end.right.name ?? wanted, bytes })
          expect((await bed.read(output.file)).equals(BODY.subarray(0, bytes))).toBe(true)
          await rm(join(bed.root, output.file))
          if (sent !== undefined) expect(own.sent('/path/f.bin')).toBeLessThanOrEqual(sent)
          if (requests !== undefined) expect(own.requests('/path/f.bin').length).toBe(requests)
          return
        }
        expect(result).toHaveProperty('error')
        const { error } = result as { error: Error & { delayMs?: number } }
        expect(error instanceof RetryAfterError).toBe('waits' in end)
        expect(error instanceof UnrecoverableError).toBe('final' in end)
        if ('waits' in end) {
          expect(error.delayMs).toBeGreaterThanOrEqual(end.waits[0])
          expect(error.delayMs).toBeLessThanOrEqual(end.waits[1])
        } else expect(codeOf(error)).toMatch('final' in end ? end.final : end.retries)
      } finally {
        await own.stop()
      }
    })
  },
)

test('there are enough of them', () => expect(all.size).toBeGreaterThanOrEqual(80))
