import { type ChildProcess, spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KeyStore, type Scope } from '@taskfleet/core'
import type { CallbackRow, EventRow, KeyRow } from '@taskfleet/protocol'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { GatewayProcess } from '@taskfleet/testkit/fleet/gateway-process'
import { type Run, useCli } from '@taskfleet/testkit/fleet/test-cli'
import { ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { afterEach, describe, expect, test } from 'vitest'

const absent = 'f'.repeat(24)

describe('events, callbacks, keys and upkeep through a gateway', () => {
  const { fleet, start, ended, here, ready } = useCli()
  afterEach(() => fleet.database.db.collection('keys').deleteMany({}))
  const keys = () => new KeyStore(fleet.database.db)
  const key = async (...scopes: Scope[]) => (await keys().create({ name: 'test', scopes })).token

  /** Commands through a gateway, with a key that is as visible as a test's may be. */
  const through = async (url: string, token?: string) => {
    const said = ['--server', url, ...(token === undefined ? [] : ['--key', token])]
    const there = async (...args: string[]): Promise<Run> => {
      const { err, ...run } = await here(...args, ...said)
      return { ...run, err: err.replace(/^taskfleet: every user of this computer can read the key.*\n/, '') }
    }
    const json = async <T>(...args: string[]): Promise<T> => JSON.parse((await there(...args, '--json')).out) as T
    return { there, json }
  }

  test('callbacks and events answer as on the database', async () => {
    const { there, json } = await through((await startGateway(fleet)).url!)
    const [name, queue] = [ownQueue(), ownQueue()]
    const made = await json<CallbackRow>('callbacks', 'create', name, 'count', '--queue', queue, '--input', '{"to":1}')
    expect(await there('callbacks', 'edit', made._id, '--priority', 'high')).toMatchObject({ code: 0, err: '' })
    const posted = await json<EventRow>('events', 'post', name, '{}', '--scheduled-for', '2099-01-01')
    for (const args of [
      ['callbacks', 'show', made._id],
      ['callbacks', '--event', name],
      ['events', 'show', posted._id],
      ['events', '--name', name],
    ]) {
      const [direct, served] = [await here(...args, '--json'), await there(...args, '--json')]
      expect([args, served]).toEqual([args, direct])
    }
    expect(await there('events', 'remove', posted._id)).toMatchObject({
      code: 7,
      err: expect.stringMatching(/NOT_ENDED/),
    })
    expect(await there('events', 'cancel', posted._id)).toMatchObject({ code: 0, out: '1 of 1 changed\n' })
    await eventually(async () => (await json<EventRow>('events', 'show', posted._id)).status === 'cancelled')
    expect(await there('events', 'remove', posted._id)).toMatchObject({ code: 0 })
    expect(await there('callbacks', 'remove', made._id)).toMatchObject({ code: 0 })
  })

  test('keys, limits of queues, retention and pruning answer as on the database', async () => {
    const boss = await key('admin')
    const { there, json } = await through((await startGateway(fleet)).url!, boss)
    const made = await json<{ id: string; token: string }>('keys', 'create', '--name', 'ci', '--scopes', 'read,write')
    expect(made.token).toMatch(/^tf_/)
    expect(await there('keys', 'edit', made.id, '--scopes', 'read', '--queues', 'a,b')).toEqual({
      code: 0,
      out: `${made.id}  changed\n`,
      err: '',
    })
    expect(await json<KeyRow>('keys', 'show', made.id)).toMatchObject({ scopes: ['read'], queues: ['a', 'b'] })
    expect((await there('keys')).out).toMatch(new RegExp(`^${made.id} +good +read +ci +queues a,b$`, 'm'))
    await there('keys', 'edit', made.id, '--no-queues', '--expires', '2020-01-01')
    expect((await there('keys', 'list')).out).toMatch(new RegExp(`^${made.id} +expired +read +ci +2020-`, 'm'))
    expect(await there('keys', 'revoke', made.id)).toMatchObject({ code: 0, out: `${made.id}  revoked\n` })
    expect(await there('keys', 'edit', made.id, '--no-expires')).toMatchObject({ code: 7 })
    const queue = ownQueue()
    expect(await there('queues', 'limit', queue, '3')).toMatchObject({ code: 0, out: `${queue}  at most 3 at once\n` })
    expect((await here('queues')).out).toMatch(new RegExp(`^${queue} +0 +0 +0 +3 +no$`, 'm'))
    expect(await there('queues', 'limit', queue, 'none')).toMatchObject({ code: 0 })
    expect((await there('retention', '--completed', '36h')).out).toMatch(/^completed +1d 12h$/m)
    await there('retention', '--completed', '30d')
    expect((await there('prune', '--name', 'nobody')).out).toBe('0 tasks removed\n')
    const audit = await there('audit', '--json', '--limit', '3')
    expect((JSON.parse(audit.out) as { by: string; action: string }[]).map(({ by, action }) => [by, action])).toEqual([
      [boss.split('_')[1], 'retention'],
      [boss.split('_')[1], 'retention'],
      [boss.split('_')[1], 'queue limit'],
    ])
  })

  test('each refusal has its code, its exit code and one line', async () => {
    const [readers, bosses] = [await key('read'), await key('admin')]
    const url = (await startGateway(fleet)).url!
    const reader = await through(url, readers)
    const boss = await through(url, bosses)
    const nobody = await through(url)
    const proxy = createServer((_request, response) => void response.writeHead(502).end('<h1>Bad gateway</h1>'))
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    const { port } = proxy.address() as AddressInfo
    const lost = await through(`http://127.0.0.1:${port}`)
    const down = await through('http://127.0.0.1:1')
    const cases: [Awaited<ReturnType<typeof through>>, string[], number, RegExp][] = [
      [nobody, ['callbacks'], 4, /UNAUTHENTICATED/],
      [nobody, ['events'], 4, /UNAUTHENTICATED/],
      [reader, ['callbacks', 'create', 'A', 'b'], 4, /FORBIDDEN/],
      [reader, ['events', 'post', 'A'], 4, /FORBIDDEN/],
      [reader, ['keys'], 4, /FORBIDDEN/],
      [reader, ['queues', 'limit', 'q', '2'], 4, /FORBIDDEN/],
      [reader, ['prune'], 4, /FORBIDDEN/],
      [boss, ['events', 'show', absent], 6, /NOT_FOUND/],
      [boss, ['callbacks', 'remove', absent], 6, /NOT_FOUND/],
      [boss, ['keys', 'revoke', 'nobody'], 6, /NOT_FOUND/],
      [boss, ['events', 'follow', '--since', absent], 6, /NOT_FOUND/],
      [boss, ['callbacks', 'create', '1x', 'b'], 2, /BAD_NAME/],
      [boss, ['keys', 'create', '--name', 'x', '--queues', '$x'], 2, /BAD_/],
      [boss, ['keys', 'edit', 'x'], 2, /--scopes/],
      [down, ['callbacks'], 5, /No gateway answers.*NO_SERVER/],
      [down, ['events', 'follow'], 5, /NO_SERVER/],
      [lost, ['callbacks'], 5, /502.*NO_SERVER/],
    ]
    try {
      for (const [{ there }, args, code, message] of cases) {
        const run = await there(...args)
        expect([args, run.code, run.out]).toEqual([args, code, ''])
        expect(run.err).toMatch(message)
        expect(run.err.trimEnd().split('\n'), args.join(' ')).toHaveLength(1)
      }
    } finally {
      proxy.close()
    }
  })

  test('a gateway with a certificate for another name is refused', async ({ skip }) => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-tls-'))
    fleet.cleanup(() => rm(folder, { recursive: true }))
    const [keyPath, certPath] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
    const made = spawnSync('openssl', [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...[
        '-keyout',
        keyPath,
        '-out',
        certPath,
        '-subj',
        '/CN=other.example',
        '-addext',
        'subjectAltName=DNS:other.example',
      ],
    ])
    if (made.status !== 0) skip('openssl, which makes the certificate, is not installed here')
    const server = createTlsServer({ key: await readFile(keyPath), cert: await readFile(certPath) }, (_, response) =>
      response.end('{"callbacks":[]}'),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    fleet.cleanup(() => server.close())
    const { port } = server.address() as AddressInfo
    const env = {
      TASKFLEET_MONGO_URI: '',
      TASKFLEET_SERVER: `https://127.0.0.1:${port}`,
      NODE_EXTRA_CA_CERTS: certPath,
    }
    for (const command of ['callbacks', 'list']) {
      const { code, out, err } = await ended(start([command], { ...env, TASKFLEET_KEY: 'tf_hunter2' }))
      expect([command, code, out]).toEqual([command, 5, ''])
      expect(err).toMatch(/^taskfleet: No gateway answers at .*certificate.*NO_SERVER\)\n$/)
      expect(err).not.toContain('hunter2')
    }
  })

  test('the first key may be created through a gateway on loopback, which is locked from then on', async () => {
    const url = (await startGateway(fleet)).url!
    const { there } = await through(url)
    const made = await there('keys', 'create', '--name', 'first', '--scopes', 'admin')
    expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^tf_/)])
    await eventually(async () => (await there('keys')).code === 4)
    expect(await (await through(url, made.out.trim())).there('keys')).toMatchObject({ code: 0 })
  })

  /** What a command prints, as it comes. */
  const heard = (child: ChildProcess): { lines(): string[] } => {
    let text = ''
    child.stdout!.on('data', (chunk) => (text += String(chunk)))
    return { lines: () => text.split('\n').slice(0, -1) }
  }

  test('following prints each end once, even if the gateway was away', async () => {
    const queue = ownQueue()
    const gateway = await GatewayProcess.start(fleet.uri)
    fleet.cleanup(() => gateway.kill())
    await here('callbacks', 'create', 'Followed', 'count', '--queue', queue)
    await ready(start(['worker', '--tasks', fixture('tasks.mjs'), '--queues', queue, '--log-level', 'error']))
    const post = async (props = '{"to":1}'): Promise<string> => {
      const { out } = await here('events', 'post', 'Followed', props)
      return out.trim()
    }
    const done = (id: string) =>
      eventually(async () => (await fleet.fleet.eventsFor().show(id)).processedAt !== undefined)
    const earlier = await post()
    await done(earlier)
    const said = ['events', 'follow', '--name', 'Followed', '--json', '--server', gateway.url]
    const child = start([...said, '--since', earlier], { TASKFLEET_MONGO_URI: '' })
    const run = ended(child)
    const { lines } = heard(child)
    const told = () => lines().map((line) => (JSON.parse(line) as EventRow)._id)
    const ids = [await post()]
    await eventually(() => told().length === 1)
    await gateway.kill()
    for (let index = 0; index < 5; index += 1) ids.push(await post())
    for (const id of ids) await done(id)
    await gateway.restart()
    await eventually(() => told().length === ids.length)
    ids.push(await post())
    await eventually(() => told().length === ids.length)
    child.kill('SIGINT')
    expect(await run).toMatchObject({ code: 130, err: '' })
    expect([...told()].sort()).toEqual([...ids].sort())
  })

  test.each<[string, string[], RegExp]>([
    ['is revoked', ['revoke'], /UNAUTHENTICATED/],
    ['may not read events any more', ['edit', '--queues', 'mine'], /FORBIDDEN/],
  ])('following ends when its key %s', async (_what, [verb, ...flags], message) => {
    const [token] = [await key('read'), await key('read')]
    const url = (await startGateway(fleet)).url!
    await here('events', 'post', 'Seen')
    const args = ['events', 'follow', '--name', 'Seen', '--since', '2020-01-01', '--server', url]
    const child = start(args, { TASKFLEET_MONGO_URI: '', TASKFLEET_KEY: token })
    const run = ended(child)
    const { lines } = heard(child)
    await eventually(() => lines().length > 0)
    expect(await here('keys', verb!, token.split('_')[1]!, ...flags)).toMatchObject({ code: 0 })
    expect(await run).toMatchObject({ code: 4, err: expect.stringMatching(message) })
  })

  test('doctor reports each step to the fleet, up to the one that fails', async () => {
    const url = (await startGateway(fleet)).url!
    const checks = async (...args: string[]) => {
      const { code, out } = await here('doctor', '--json', ...args)
      const found = JSON.parse(out) as { check: string; ok: boolean; detail: string }[]
      return { code, found: found.map(({ check, ok }) => `${check} ${ok}`), details: found.map(({ detail }) => detail) }
    }
    const all = ['gateway', 'database', 'key', 'websocket', 'clock', 'secret', 'workers', 'documents'].map(
      (check) => `${check} true`,
    )
    const unlocked = await checks('--server', url)
    expect([unlocked.code, unlocked.found]).toEqual([0, all])
    expect(unlocked.details.join('\n')).toMatch(
      /version \d+\.\d+.*\n[\s\S]*no key yet[\s\S]*(ahead of|behind) this computer/,
    )
    const [writer, bad] = [await key('write'), await key('read')]
    await keys().revoke(bad.split('_')[1]!)
    await eventually(async () => (await checks('--server', url)).code === 4)
    const limited = await checks('--server', url, '--key', writer)
    expect([limited.code, limited.found]).toEqual([0, all.slice(0, -3)])
    expect(limited.details[3]).toBe('is open, with the scopes write')
    expect(await checks('--server', url, '--key', bad)).toMatchObject({
      code: 4,
      found: ['gateway true', 'database true', 'key false'],
    })
    expect(await checks('--server', 'http://127.0.0.1:1')).toMatchObject({ code: 5, found: ['gateway false'] })
    expect(await checks('--server', url.replace('127.0.0.1', 'localhost'))).toMatchObject({ code: 4 })
    const elsewhere = createServer((_request, response) => void response.writeHead(404).end())
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    const { port } = elsewhere.address() as AddressInfo
    expect(await checks('--server', `http://127.0.0.1:${port}`)).toMatchObject({ code: 5, found: ['gateway false'] })
    elsewhere.close()
  })
})
