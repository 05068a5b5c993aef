import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TaskDocument } from '@taskfleet/core'
import { callerOf, makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { LOOPBACK, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { defineTask } from './define-task.ts'

const fleet = useFleet()
const body = randomBytes(300_000)
/** More than sockets and buffers take. */
const LARGE = 32 * 2 ** 20
let above: string
let root: string
beforeAll(async () => {
  above = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-files-')))
  root = join(above, 'root')
  await mkdir(join(root, 'films'), { recursive: true })
  await writeFile(join(root, 'films', 'für "uns".bin'), body)
  await writeFile(join(root, 'large.bin'), Buffer.alloc(LARGE, 'x'))
  await writeFile(join(root, 'empty.bin'), '')
  await writeFile(join(above, 'secret'), 'secret')
  await symlink(join(above, 'secret'), join(root, 'link'))
})
afterAll(() => rm(above, { recursive: true }))

const filed = (over: object = {}) =>
  defineTask({
    name: 'filed',
    input: z.object({ file: z.unknown() }),
    run: ({ input }) => ({ file: input.file }),
    files: { root, path: ({ file }: { file: unknown }) => file as string, ...over },
  })

/** A completed task with this output. It ended on this host, unless it says otherwise. */
async function completed(file: unknown, over: { queue?: string; worker?: string; host?: string } = {}) {
  const { queue = 'default', ...ended } = over
  const task = await taskFactory(fleet.fleet.store).completed({ name: 'filed', queue })
  const id = task._id.toHexString()
  const { hostname } = await import('node:os')
  const place = { host: hostname(), ...ended }
  await fleet.fleet.tasks.updateOne(
    { _id: task._id },
    { $set: { output: { file }, host: place.host, ...(ended.worker && { 'attempts.0.worker': ended.worker }) } },
  )
  return `/files/${id}`
}
const NAMED = 'films/für "uns".bin'

describe('the file of a completed task', () => {
  test('comes from the worker that ran the task, through any gateway, in ranges', async () => {
    const queue = ownQueue()
    const one = await startRest(fleet)
    const two = await startGateway(fleet)
    const runner = await fleet.runner({ queue, tasks: [filed()], listen: LOOPBACK })
    const stored = await fleet.fleet.enqueue(filed(), { file: NAMED }, { queue })
    const task: TaskDocument = await fleet.ended(stored._id)
    const path = `/api/v1/files/${task._id.toHexString()}`
    const key = await makeKey(fleet, { scopes: ['read'], queues: [queue] })
    const ask = (url: string | undefined, headers: Record<string, string> = {}, method = 'GET') =>
      fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${key}`, ...headers } })
    for (const url of [one.gateway.url, two.url, runner.url]) {
      const whole = await ask(url)
      expect([whole.status, Buffer.from(await whole.arrayBuffer()).equals(body)]).toEqual([200, true])
      const { headers } = whole
      expect(Object.fromEntries(headers)).toMatchObject({
        'content-length': '300000',
        'accept-ranges': 'bytes',
        'content-type': 'application/octet-stream',
        'content-disposition': `attachment; filename="f_r _uns_.bin"; filename*=UTF-8''f%C3%BCr%20%22uns%22.bin`,
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; sandbox",
      })
      const etag = headers.get('etag')!
      const part = await ask(url, { range: 'bytes=1000-1999', 'if-range': etag })
      expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 1000-1999/300000'])
      expect(Buffer.from(await part.arrayBuffer()).equals(body.subarray(1_000, 2_000))).toBe(true)
      const changed = await ask(url, { range: 'bytes=1000-', 'if-range': '"other"' })
      expect([changed.status, (await changed.arrayBuffer()).byteLength]).toEqual([200, 300_000])
      const beyond = await ask(url, { range: 'bytes=300000-' })
      expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */300000'])
      expect(await beyond.json()).toMatchObject({ code: 'RANGE_NOT_SATISFIABLE' })
      const head = await ask(url, { range: 'bytes=0-1' }, 'HEAD')
      expect([head.status, head.headers.get('content-length'), head.headers.get('etag')]).toEqual([200, '300000', etag])
      const same = await ask(url, { 'if-none-match': etag })
      expect([same.status, await same.text()]).toEqual([304, ''])
    }
  })

  test('is for keys that may read the task', async () => {
    const queue = ownQueue()
    const { gateway, as } = await startRest(fleet)
    await fleet.runner({ queue, tasks: [filed()], listen: LOOPBACK })
    const path = await completed('empty.bin', { queue })
    const other = await makeKey(fleet, { scopes: ['read'], queues: ['another'] })
    const named = await makeKey(fleet, { scopes: ['read'], names: ['another'] })
    const writer = await makeKey(fleet, { scopes: ['write'] })
    const reader = await makeKey(fleet, { scopes: ['read'], queues: [queue], names: ['filed'] })
    const answers = await Promise.all(
      [undefined, 'tf_wrong_key', other, named, writer, reader].map((key) => as(key).call('GET', path)),
    )
    expect(answers.map(told)).toEqual([
      ...['401 UNAUTHENTICATED', '401 UNAUTHENTICATED', '403 QUEUE_NOT_ALLOWED', '403 NAME_NOT_ALLOWED'],
      ...['403 FORBIDDEN', '200'],
    ])
    expect((await callerOf(gateway, reader).call('HEAD', path)).headers.get('content-length')).toBe('0')
  })

  test('is there only once the task has completed, and its handler has one', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const bare = defineTask({ name: 'filed', input: z.any(), run: () => null })
    await fleet.runner({ queue, tasks: [filed({ size: () => 1 })], listen: LOOPBACK })
    const make = taskFactory(fleet.fleet.store)
    const running = await make.running({ queue })
    const failed = await make.failed({ queue })
    const paths = [
      `/files/${running._id.toHexString()}`,
      `/files/${failed._id.toHexString()}`,
      `/files/${'f'.repeat(24)}`,
      '/files/x',
    ]
    expect(await Promise.all(paths.map(async (path) => told(await call('GET', path))))).toEqual([
      ...['409 NOT_COMPLETED', '409 NOT_COMPLETED', '404 NOT_FOUND', '400 BAD_ID'],
    ])
    expect(told(await call('GET', await completed(NAMED)))).toBe('404 NO_FILE')
    await fleet.runner({ queue: ownQueue(), tasks: [bare], listen: LOOPBACK })
    expect(told(await call('GET', await completed('nothing')))).toBe('404 NO_FILE')
  })

  test.each([
    ['link'],
    ['../secret'],
    ['/etc/passwd'],
    ['films/../../secret'],
    ['films'],
    [7],
    [null],
    ['a\0b'],
    ['nothing'],
  ])('is never outside of its folder: %j', async (file) => {
    const { call } = await startRest(fleet)
    await fleet.runner({ queue: ownQueue(), tasks: [filed()], listen: LOOPBACK })
    expect(told(await call('GET', await completed(file)))).toBe('404 NO_FILE')
  })

  test('is away with its host, unless other hosts share the disk', async () => {
    const { call } = await startRest(fleet)
    const path = await completed(NAMED, { host: 'elsewhere', worker: 'gone' })
    expect(told(await call('GET', path))).toBe('503 HOST_AWAY')
    const alone = await fleet.runner({ queue: ownQueue(), tasks: [filed()], listen: LOOPBACK })
    expect(told(await call('GET', path))).toBe('503 HOST_AWAY')
    await alone.stop({ grace: 0 })
    await fleet.runner({ queue: ownQueue(), tasks: [filed({ shared: true })], listen: LOOPBACK })
    expect((await call('HEAD', path)).headers.get('content-length')).toBe('300000')
    await fleet.runner({ queue: ownQueue(), tasks: [filed()] })
    expect((await call('HEAD', path)).status).toBe(200)
  })

  test('a client that stops reading holds up nobody, and one that leaves closes the file', async () => {
    const { call, gateway } = await startRest(fleet)
    const key = await makeKey(fleet, { scopes: ['read'] })
    await fleet.runner({ queue: ownQueue(), tasks: [filed()], listen: LOOPBACK })
    const path = await completed('large.bin')
    const slow = get(`${gateway.url}/api/v1${path}`, { headers: { authorization: `Bearer ${key}` } })
    const [answer] = (await once(slow, 'response')) as [IncomingMessage]
    answer.pause()
    const others = await Promise.all(
      [0, 1, 2].map((n) => call('GET', path, undefined, { range: `bytes=${n * 1_000}-${n * 1_000 + 9}` })),
    )
    expect(others.map(({ text }) => text)).toEqual(Array.from({ length: 3 }, () => 'x'.repeat(10)))
    const left = new Promise((resolve) => answer.once('close', resolve))
    slow.destroy()
    await left
    expect((await call('GET', path)).text).toHaveLength(LARGE)
  })

  test('a worker sends it only for a token of the fleet, for exactly that task', async () => {
    const { as } = await startRest(fleet)
    const runner = await fleet.runner({ queue: ownQueue(), tasks: [filed()], listen: LOOPBACK })
    const id = (await completed(NAMED)).split('/').at(-1)!
    const key = await makeKey(fleet, { scopes: ['read'] })
    const session = (await as(key).call('POST', '/sessions')).body.token as string
    const ask = async (token?: string) => {
      const headers: HeadersInit = token === undefined ? {} : { authorization: `Bearer ${token}` }
      const answer = await fetch(`${runner.url}/task-files/${id}`, { headers })
      return `${answer.status} ${((await answer.json()) as { code: string }).code}`
    }
    expect([await ask(), await ask(key), await ask(session)]).toEqual([
      '401 UNAUTHENTICATED',
      '401 UNAUTHENTICATED',
      expect.stringMatching(/^40[013] /),
    ])
  })
})
