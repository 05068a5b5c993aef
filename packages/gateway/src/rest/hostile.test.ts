import { PassThrough } from 'node:stream'
import { makeKey, type RestCaller, sendRaw, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import { readJson } from './body.ts'

const fleet = useFleet()
const make = () => taskFactory(fleet.fleet.store)
const missing = 'f'.repeat(24)
let open: RestCaller | undefined

/** After any request, the next one is served. */
const start = async (...options: Parameters<typeof startRest> extends [unknown, ...infer Rest] ? Rest : never) => {
  open = await startRest(fleet, ...options)
  return open
}
// Before the fixture stops the gateway: hooks run in reverse order of their registration.
afterEach(async () => {
  if (open === undefined) return
  const alive = await fetch(`${open.gateway.url}/health/live`)
  open = undefined
  expect(alive.status).toBe(200)
})

describe('keys', () => {
  test('1: no key, another scheme, an unknown, wrong, revoked or expired key, one in the address: the same answer', async () => {
    const { call, as } = await start()
    const wrong = (await makeKey(fleet, { scopes: ['read'] })).slice(0, -2)
    const expired = await makeKey(fleet, { scopes: ['read'], expiresAt: new Date(0) })
    const revoked = await makeKey(fleet, { scopes: ['read'] })
    await call('DELETE', `/keys/${revoked.split('_')[1]}`)
    const good = await makeKey(fleet, { scopes: ['read'] })
    const tokens = [
      undefined,
      `tf_${'0'.repeat(12)}_${'x'.repeat(43)}`,
      `${wrong}AA`,
      expired,
      revoked,
      'x'.repeat(5_000),
    ]
    const answers = await Promise.all([
      ...tokens.map((token) => as(token).call('GET', '/tasks')),
      as(undefined).call('GET', '/tasks', undefined, { authorization: `Basic ${good}` }),
      as(undefined).call('GET', '/tasks', undefined, { authorization: good }),
      as(undefined).call('GET', '/tasks', undefined, { authorization: 'Bearer ' }),
      as(undefined).call('GET', `/tasks?token=${good}`),
    ])
    expect(answers.map(told)).toEqual(answers.map(() => '401 UNAUTHENTICATED'))
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(answers[0]!.headers.get('www-authenticate')).toBe('Bearer')
  })

  test('2, 3: a missing scope is named, a queue and a name that are not allowed are refused', async () => {
    const { as } = await start()
    const read = as(await makeKey(fleet, { scopes: ['read'] }))
    expect(await read.call('POST', '/tasks', { name: 'x' })).toMatchObject({
      status: 403,
      body: { code: 'FORBIDDEN', field: 'write' },
    })
    const limited = as(await makeKey(fleet, { scopes: ['write', 'control'], queues: ['a'], names: ['n'] }))
    expect(told(await limited.call('POST', '/tasks', { name: 'n', queue: 'b' }))).toBe('403 QUEUE_NOT_ALLOWED')
    expect(told(await limited.call('POST', '/tasks', { name: 'm', queue: 'a' }))).toBe('403 NAME_NOT_ALLOWED')
    const task = await make().pending({ queue: 'b' })
    expect(told(await limited.call('POST', `/tasks/${task._id.toHexString()}/cancel`))).toBe('403 QUEUE_NOT_ALLOWED')
    const mine = await make().pending({ queue: 'a', name: 'n' })
    expect(told(await limited.call('PATCH', `/tasks/${mine._id.toHexString()}`, { queue: 'b' }))).toBe(
      '403 QUEUE_NOT_ALLOWED',
    )
  })

  test('19: a foreign host name and a foreign page', async () => {
    const { gateway } = await start()
    const { host } = new URL(gateway.url!)
    const ask = (headers: string) =>
      sendRaw(gateway.url!, `GET /api/v1/tasks HTTP/1.1\r\n${headers}\r\nConnection: close\r\n\r\n`)
    expect(await ask('Host: evil.example')).toMatch(/^HTTP\/1.1 403 [\s\S]*BAD_HOST/)
    expect(await ask(`Host: ${host}\r\nOrigin: http://evil.example`)).toMatch(/^HTTP\/1.1 403 [\s\S]*BAD_ORIGIN/)
  })

  test('18, 20: too many requests of one key are refused until the time is over, with any address in a header', async () => {
    const { call, as } = await start({ rateLimit: { requests: 5, within: 60_000 } })
    const other = await makeKey(fleet, { scopes: ['read'] })
    const answers = []
    for (let index = 0; index < 8; index += 1)
      answers.push(await call('GET', '/tasks', undefined, { 'x-forwarded-for': `10.0.0.${index}` }))
    expect(answers.map(told)).toEqual([
      ...Array.from({ length: 5 }, () => '200'),
      ...Array.from({ length: 3 }, () => '429 RATE_LIMITED'),
    ])
    expect(answers[1]!.headers.get('ratelimit-remaining')).toBe('3')
    expect(Number(answers[7]!.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(told(await as(other).call('GET', '/tasks'))).toBe('200')
  })
})

describe('bodies', () => {
  test('4: too large, endless, silent', async () => {
    const { call, gateway } = await start()
    const large = { name: 'x', input: { text: 'x'.repeat(256 * 1024) } }
    expect(told(await call('POST', '/tasks', large))).toBe('413 INPUT_TOO_LARGE')
    expect(told(await call('POST', '/tasks', [large]))).toBe('413 INPUT_TOO_LARGE')
    expect(told(await call('PATCH', `/tasks/${missing}`, { input: large }))).toBe('413 INPUT_TOO_LARGE')
    expect(told(await call('POST', '/tasks', `[${' '.repeat(8 * 1024 * 1024)}]`))).toBe('413 INPUT_TOO_LARGE')
    const { host } = new URL(gateway.url!)
    const token = await makeKey(fleet, { scopes: ['control'] })
    const head = `POST /api/v1/tasks/cancel HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\n`
    const endless = await sendRaw(gateway.url!, `${head}Transfer-Encoding: chunked\r\n\r\n`, (write) => {
      const timer = setInterval(() => write(`10000\r\n${' '.repeat(0x10000)}\r\n`), 1)
      onTestFinished(() => clearInterval(timer))
    })
    expect(endless).toMatch(/^HTTP\/1.1 413 [\s\S]*INPUT_TOO_LARGE/)
    const times = { silent: 50, whole: 5_000 }
    await expect(readJson(new PassThrough(), { limit: 100, times })).rejects.toMatchObject({ code: 'REQUEST_TIMEOUT' })
    const dripping = new PassThrough()
    const timer = setInterval(() => dripping.write(' '), 20)
    await expect(readJson(dripping, { limit: 10_000, times: { silent: 1_000, whole: 200 } })).rejects.toMatchObject({
      code: 'REQUEST_TIMEOUT',
    })
    clearInterval(timer)
  })

  test('4: a client that announces a body and sends nothing gets an error after ten seconds', async () => {
    const { gateway } = await start()
    const { host } = new URL(gateway.url!)
    const token = await makeKey(fleet, { scopes: ['write'] })
    const begun = performance.now()
    const answer = await sendRaw(
      gateway.url!,
      `POST /api/v1/tasks HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n`,
    )
    expect(answer).toMatch(/^HTTP\/1.1 408 [\s\S]*REQUEST_TIMEOUT/)
    expect(performance.now() - begun).toBeGreaterThan(9_000)
  }, 20_000)

  test.each<[string, string | Uint8Array, string]>([
    ['broken', '{"name":', '400 BAD_JSON'],
    ['with something after it', '{"name":"x"} x', '400 BAD_JSON'],
    ['two of them', '{"name":"x"}{"name":"x"}', '400 BAD_JSON'],
    ['UTF-16', Buffer.from('{"name":"x"}', 'utf16le'), '400 BAD_JSON'],
    ['UTF-16 with its mark', Buffer.from('\ufeff{"name":"x"}', 'utf16le'), '400 BAD_STRING'],
    ['no UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), '400 BAD_STRING'],
    ['half a surrogate pair', '{"name":"x","input":{"a":"\\ud800"}}', '400 BAD_STRING'],
    ['half of one as a key', '{"name":"x","input":{"\\udc00":1}}', '400 BAD_STRING'],
    ['NUL', '{"name":"x","input":["a\\u0000b"]}', '400 BAD_STRING'],
    ['NaN', '{"name":"x","priority":NaN}', '400 BAD_JSON'],
    ['nothing', '', '400 BAD_REQUEST'],
    ['a text', '"x"', '400 BAD_REQUEST'],
    ['null', 'null', '400 BAD_REQUEST'],
    ['a million deep', '['.repeat(1_000_000), '413 INPUT_TOO_LARGE|400 BAD_JSON'],
    ['a million deep and whole', `{"name":"x","input":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, '400 BAD_INPUT'],
  ])('5: %s', async (_what, body, expected) => {
    const { call } = await start()
    expect(expected.split('|')).toContain(told(await call('POST', '/tasks', body)))
  })

  test.each<[string, string, string, string]>([
    ['1e400', '{"name":"x","input":{"n":[1e400]}}', 'OUT_OF_RANGE', 'input.n.0'],
    ['an integer above 2^53', '{"name":"x","input":{"n":9007199254740993}}', 'OUT_OF_RANGE', 'input.n'],
    [
      'one in a list of tasks',
      '[{"name":"x"},{"name":"x","input":{"n":-9007199254740993}}]',
      'OUT_OF_RANGE',
      '1.input.n',
    ],
    ['half a surrogate pair as a key', '{"name":"x","input":{"a":{"\\ud800":1}}}', 'BAD_STRING', 'input.a.\ufffd'],
    ['half a surrogate pair', '{"name":"x","input":{"a":"\\udc00"}}', 'BAD_STRING', 'input.a'],
  ])('98: %s is refused with its path', async (_what, body, code, field) => {
    const { call } = await start()
    expect(await call('POST', '/tasks', body)).toMatchObject({ status: 400, body: { code, field } })
  })

  test('98: numbers that a double represents closely are stored', async () => {
    const { call } = await start()
    const answer = await call(
      'POST',
      '/tasks',
      '{"name":"x","input":{"n":[6.02214076e23,9007199254740991,0.12345678901234567890]}}',
    )
    expect(answer).toMatchObject({
      status: 201,
      body: { input: { n: [6.02214076e23, 2 ** 53 - 1, 0.12345678901234568] } },
    })
    const filter = encodeURIComponent('{"input.n":9007199254740993}')
    expect(await call('GET', `/tasks?filter=${filter}`)).toMatchObject({ status: 400, body: { code: 'OUT_OF_RANGE' } })
  })

  test('5: another media type', async () => {
    const { call } = await start()
    expect(told(await call('POST', '/tasks', 'name=x', { 'content-type': 'application/x-www-form-urlencoded' }))).toBe(
      '415 UNSUPPORTED_MEDIA_TYPE',
    )
  })

  test('6: keys with a meaning in JavaScript are harmless', async () => {
    const { call } = await start()
    const queue = ownQueue()
    const stored = await call(
      'POST',
      '/tasks',
      `{"name":"x","queue":"${queue}","input":{"constructor":{"prototype":{"x":1}},"toString":"y","hasOwnProperty":1}}`,
    )
    expect(stored.status).toBe(201)
    expect(stored.body.input).toEqual(
      JSON.parse('{"constructor":{"prototype":{"x":1}},"toString":"y","hasOwnProperty":1}'),
    )
    expect(told(await call('POST', '/tasks', '{"name":"x","input":{"__proto__":{"x":1}}}'))).toBe('400 BAD_INPUT')
    expect(told(await call('POST', '/tasks', '{"name":"x","__proto__":{"queue":"y"}}'))).toBe('400 UNKNOWN_FIELD')
    expect(told(await call('POST', '/tasks/cancel', '{"filter":{},"__proto__":{"dryRun":true}}'))).toBe(
      '400 UNKNOWN_FIELD',
    )
    expect(told(await call('POST', '/tasks/cancel', '{"__proto__":{"filter":{}}}'))).toMatch(/^400/)
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })

  test('7: invalid keys and absurd values, with their path', async () => {
    const { call } = await start()
    for (const key of ['$gt', 'a.b', '']) {
      const answer = await call('POST', '/tasks', { name: 'x', input: { deep: { [key]: 1 } } })
      expect(answer).toMatchObject({ status: 400, body: { code: 'BAD_INPUT', field: `input.deep.${key}` } })
    }
    const deep = `${'{"a":'.repeat(1_000)}1${'}'.repeat(1_000)}`
    expect(told(await call('POST', '/tasks', `{"name":"x","input":${deep}}`))).toBe('400 BAD_INPUT')
    const keys = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [`k${index}`, 1]))
    const wide = await call('POST', '/tasks', { name: 'x', input: keys })
    expect(wide.body.input).toEqual(keys)
  })

  test('8: values that look like expressions are read back as they were', async () => {
    const { call } = await start()
    const input = { a: '$$ROOT', b: ['$lease.id', '$$NOW'], c: '$$REMOVE' }
    const { body } = await call('POST', '/tasks', { name: 'x', input, key: '$name' })
    expect((await call('GET', `/tasks/${String(body._id)}`)).body).toMatchObject({ input, key: '$name' })
  })
})

test('17: a full queue takes no more tasks: 429, when to try again, and nothing stored', async () => {
  const { call } = await start()
  const queue = ownQueue()
  expect((await call('PATCH', `/queues/${queue}`, { maxWaiting: 2 })).body).toMatchObject({ maxWaiting: 2 })
  const batch = Array.from({ length: 3 }, () => ({ name: 'test', queue }))
  expect(told(await call('POST', '/tasks', batch))).toBe('429 QUEUE_FULL')
  expect((await call('POST', '/tasks', batch.slice(0, 2))).status).toBe(201)
  const refused = await call('POST', '/tasks', { name: 'test', queue })
  expect(told(refused)).toBe('429 QUEUE_FULL')
  expect(refused.headers.get('retry-after')).toBe('1')
  expect(refused.body).toMatchObject({ field: 'queue' })
  expect(await fleet.fleet.tasks.countDocuments({ queue })).toBe(2)
  await call('PATCH', `/queues/${queue}`, { maxWaiting: null })
  await expect.poll(async () => (await call('POST', '/tasks', batch)).status).toBe(201)
  for (const maxWaiting of [0, 1.5, '5', 1e9])
    expect(told(await call('PATCH', `/queues/${queue}`, { maxWaiting }))).toBe('400 BAD_VALUE')
})

describe('values', () => {
  test.each([
    ['GET', '/tasks/%7B%22$ne%22:null%7D'],
    ['GET', `/tasks/${'a'.repeat(23)}`],
    ['GET', `/tasks/${'a'.repeat(10_000)}`],
    ['GET', '/tasks?id[$gt]='],
    ['GET', `/tasks?id=${missing}&id=${missing}`],
    ['GET', '/tasks?id=5'],
    ['POST', '/tasks/constructor/cancel'],
    ['DELETE', '/tasks/__proto__'],
    ['GET', '/tasks/a,b/log'],
  ])('9: %s %s is no id', async (method, path) => {
    const { call } = await start()
    expect(told(await call(method, path))).toBe('400 BAD_ID')
  })

  test('9: an invalid id in the address', async () => {
    const { call } = await start()
    expect(told(await call('GET', '/tasks/%ff'))).toBe('400 BAD_REQUEST')
    expect(told(await call('POST', '/tasks/cancel', { ids: [{ $ne: null }] }))).toBe('400 BAD_ID')
  })

  test.each([
    ...['attempt', 'status', 'lease', 'rev', 'publicUrl', 'attempts'].map((field) => [
      field,
      '1',
      '400 READ_ONLY_FIELD',
    ]),
    ...['1e309', '"5"', '9007199254740992', '0', '11', '5.5'].map((value) => ['priority', value, '400 OUT_OF_RANGE']),
    ...['-1', '0', '51', '"5"'].map((value) => ['maxAttempts', value, '400 OUT_OF_RANGE']),
    ...['"never"', '"+275761-01-01T00:00:00Z"', '-1', '1700000000000', '{}'].map((value) => [
      'runAt',
      value,
      '400 BAD_DATE',
    ]),
    ...['"../../x"', `"${'x'.repeat(10_240)}"`, '""', '5'].map((value) => ['name', value, '400 BAD_NAME']),
    ['queue', '"$cmd"', '400 BAD_QUEUE'],
    ['nonsense', '1', '400 UNKNOWN_FIELD'],
  ])('10-12, 21: %s = %s', async (field, value, expected) => {
    const { call } = await start()
    const name = field === 'name' ? '' : '"name":"x",'
    expect(told(await call('POST', '/tasks', `{${name}"${field}":${value}}`))).toBe(expected)
    if (field === 'rev' || field === 'name') return
    const task = await make().pending()
    expect(told(await call('PATCH', `/tasks/${task._id.toHexString()}`, `{"${field}":${value}}`))).toBe(expected)
  })

  test('21: a name that no worker serves is accepted, waits, and is in the coverage', async () => {
    const { call } = await start()
    expect((await call('POST', '/tasks', { name: 'unheard-of' })).status).toBe(201)
    expect((await call('GET', '/coverage')).body.coverage).toContainEqual(
      expect.objectContaining({ name: 'unheard-of', served: false }),
    )
  })

  test.each([
    ['limit=0', 'BAD_SORT'],
    ['limit=-1', 'BAD_SORT'],
    ['limit=1e9', 'BAD_SORT'],
    ['limit=1000000000', 'BAD_SORT'],
    ['limit=5&limit=6', 'BAD_SORT'],
    ['sort=input.x', 'BAD_SORT'],
    ['sort={"priority":2}', 'BAD_SORT'],
    ['sort={', 'BAD_SORT'],
    ['sort[$gt]=1', 'BAD_SORT'],
    ['cursor=nonsense', 'BAD_CURSOR'],
    [`cursor=${Buffer.from('{"q":"x","at":[1]}').toString('base64url')}`, 'BAD_CURSOR'],
    ['cursor=bnVsbA', 'BAD_CURSOR'],
    ['filter={"$where":"1"}', 'BAD_FILTER'],
    ['filter=[', 'BAD_FILTER'],
    ['filter=5', 'BAD_FILTER'],
    ['filter={"lease.id":"x"}', 'UNKNOWN_FIELD'],
    ['fields=lease', 'BAD_FIELDS'],
    ['status=%00', 'BAD_VALUE|200'],
    ['skip=5', 'UNKNOWN_FIELD'],
    ['__proto__=1', 'UNKNOWN_FIELD|200'],
  ])('16: ?%s', async (query, codes) => {
    const { call } = await start()
    const answer = await call('GET', `/tasks?${query}`)
    expect(codes.split('|')).toContain(answer.body.code ?? '200')
  })

  test('16: the cursor of another query, and one with values that were changed', async () => {
    const { call, as } = await start()
    const queue = ownQueue()
    for (let index = 0; index < 3; index += 1) await make().pending({ queue })
    const { body } = await call('GET', `/tasks?queue=${queue}&limit=1`)
    const cursor = String(body.cursor)
    expect(told(await call('GET', `/tasks?limit=1&cursor=${cursor}`))).toBe('400 BAD_CURSOR')
    expect(told(await call('GET', `/tasks?queue=${queue}&limit=1&sort=priority&cursor=${cursor}`))).toBe(
      '400 BAD_CURSOR',
    )
    const { q } = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as { q: string }
    for (const at of [[{ $ne: null }], [[1]], [], [{ id: 'x' }], [{ date: 'x' }]]) {
      const forged = Buffer.from(JSON.stringify({ q, at })).toString('base64url')
      expect(told(await call('GET', `/tasks?queue=${queue}&limit=1&cursor=${forged}`))).toBe('400 BAD_CURSOR')
    }
    const limited = as(await makeKey(fleet, { scopes: ['read'], queues: ['none'] }))
    expect((await limited.call('GET', `/tasks?queue=${queue}&limit=1&cursor=${cursor}`)).body.tasks).toEqual([])
  })

  test('22: too many tasks in one batch, and none', async () => {
    const { call } = await start()
    const queue = ownQueue()
    const many = Array.from({ length: 10_001 }, () => ({ name: 'x', queue }))
    expect(told(await call('POST', '/tasks', many))).toBe('413 TOO_MANY_TASKS')
    expect(told(await call('POST', '/tasks', []))).toBe('400 BAD_REQUEST')
    expect(await fleet.fleet.tasks.countDocuments({ queue })).toBe(0)
    expect((await call('POST', '/tasks', many.slice(0, 200))).status).toBe(201)
    expect(await fleet.fleet.tasks.countDocuments({ queue })).toBe(200)
  })
})

test('62-64: a task written by another program is shown and listed, valid or not', async () => {
  const { call } = await start()
  const queue = ownQueue()
  const task = await make().failed({ queue })
  await fleet.fleet.tasks.updateOne({ _id: task._id }, {
    $set: {
      status: 'weird',
      attempt: '1',
      attempts: 'none',
      lease: {},
      extra: { toJSON: 'x', hasOwnProperty: 1 },
      'error.message': '<img onerror=alert(1)>',
    },
    $unset: { createdAt: 1 },
  } as never)
  const shown = await call('GET', `/tasks/${task._id.toHexString()}`)
  expect(shown).toMatchObject({ status: 200, body: { status: 'weird', attempts: 'none', extra: { toJSON: 'x' } } })
  expect(shown.headers.get('content-type')).toContain('application/json')
  expect((await call('GET', `/tasks?queue=${queue}`)).body.tasks).toHaveLength(1)
  for (const part of ['attempts', 'explain', 'log', 'audit']) {
    expect((await call('GET', `/tasks/${task._id.toHexString()}/${part}`)).status).toBeLessThan(500)
  }
  expect((await call('POST', `/tasks/${task._id.toHexString()}/cancel`)).status).toBe(409)
  expect((await call('GET', '/stats')).status).toBe(200)
  expect((await call('GET', '/queues')).status).toBe(200)
})
