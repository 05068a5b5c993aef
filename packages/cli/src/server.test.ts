import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { KeyStore, type Scope } from '@taskfleet/core'
import type { TaskRow } from '@taskfleet/protocol'
import { type Run, useCli } from '@taskfleet/testkit/fleet/test-cli'
import { ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'
import { readKeyFile, readKeyFrom } from './address.ts'

const absent = 'f'.repeat(24)

describe('commands through a gateway', () => {
  const { fleet, start, ended, here } = useCli()
  const make = () => taskFactory(fleet.fleet.store)

  const folder = async (): Promise<string> => {
    const made = await mkdtemp(join(tmpdir(), 'taskfleet-cli-'))
    fleet.cleanup(() => rm(made, { recursive: true, force: true }))
    return made
  }

  const key = async (...scopes: Scope[]): Promise<string> => {
    const store = new KeyStore(fleet.database.db)
    const { token } = await store.create({ name: 'test', scopes })
    fleet.cleanup(() => fleet.database.db.collection('keys').deleteMany({}))
    return token
  }

  const keyFile = async (...scopes: Scope[]): Promise<string> => {
    const path = join(await folder(), 'key')
    await writeFile(path, `${await key(...scopes)}\n`, { mode: 0o600 })
    return path
  }

  test('answer as on the database', async () => {
    const url = (await startGateway(fleet)).url!
    const runner = await fleet.runner({ queue: 'served', name: 'east' })
    const there = (...args: string[]): Promise<Run> => here(...args, '--server', url)
    const queue = ownQueue()
    const stored = await there('enqueue', 'count', '{"to":3}', '--queue', queue, '--key', 'once', '--json')
    expect([stored.code, stored.err]).toEqual([0, ''])
    const { _id: id } = JSON.parse(stored.out) as TaskRow
    expect(await there('enqueue', 'count', '--queue', queue, '--key', 'once')).toMatchObject({ code: 7 })
    const done = await make().completed({ queue })
    await make().failed({ queue })
    const reads = [
      ['show', id],
      ['show', done._id.toHexString()],
      ['list', '--filter', JSON.stringify({ queue })],
      ['explain', id],
      ['coverage'],
      ['log', id],
      ['errors'],
      ['queues'],
    ]
    for (const args of reads) {
      const [direct, served] = [await here(...args, '--json'), await there(...args, '--json')]
      expect([args[0], served.code, served.err]).toEqual([args[0], direct.code, ''])
      expect(JSON.parse(served.out), args[0]).toEqual(JSON.parse(direct.out))
    }
    expect((await there('workers')).out).toMatch(/^east +/m)
    expect(await there('reprioritise', id, '--front')).toMatchObject({ code: 0, out: '1 of 1 changed\n' })
    expect(await there('edit', id, '--priority', 'high')).toMatchObject({ code: 0 })
    expect(await there('pause', id)).toMatchObject({ code: 0 })
    expect(await there('resume', id)).toMatchObject({ code: 0 })
    expect(await there('cancel', id, absent)).toMatchObject({ code: 6, out: expect.stringContaining('1 of 2 changed') })
    expect(await there('retry', id)).toMatchObject({ code: 0 })
    expect((await there('replay', done._id.toHexString())).out).toMatch(/^[0-9a-f]{24} {2}new\n1 of 1 changed\n$/)
    expect(await there('cancel', done._id.toHexString())).toMatchObject({ code: 7 })
    expect((await there('audit', id)).out).toContain('reprioritise')
    expect(await there('queues', 'pause', queue)).toMatchObject({ code: 0, out: `${queue}  paused\n` })
    expect(await there('queues', 'resume', queue)).toMatchObject({ code: 0 })
    expect(await there('drain', 'east', '--wait')).toMatchObject({
      code: 0,
      out: `east (${runner.id.slice(0, 8)})  drained\n`,
    })
    expect(await there('undrain', 'east')).toMatchObject({ code: 0 })
    expect(await there('show', absent)).toMatchObject({ code: 6 })
    expect(await there('watch', done._id.toHexString())).toMatchObject({ code: 0 })
  })

  test('errors are listed, shown and marked', async () => {
    const url = (await startGateway(fleet)).url!
    const task = await fleet.post([{ do: 'fail', message: 'no way' }] as never, { queue: 'wrong', maxAttempts: 1 })
    await fleet.runner({ queue: 'wrong' })
    await fleet.ended(task._id)
    const there = (...args: string[]): Promise<Run> => here(...args, '--server', url)
    const [row] = await eventually(async () => {
      const rows = JSON.parse((await there('errors', '--json')).out) as { _id: string }[]
      return rows.length > 0 && rows
    })
    const print = row!._id
    expect((await there('errors', 'show', print)).code).toBe(0)
    expect(await there('errors', 'ignore', print, '--for', '7d')).toMatchObject({
      code: 0,
      out: expect.stringContaining('ignored until'),
    })
    expect(await there('errors', 'replay', print, '--dry-run')).toMatchObject({ code: 0 })
    expect(await there('errors', 'show', 'nonsense')).toMatchObject({ code: 6 })
  })

  test('watch and log follow a running task, until Ctrl-C', async () => {
    const url = (await startGateway(fleet)).url!
    const runner = await fleet.runner({ queue: 'watched' })
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue: 'watched' })
    await fleet.runsAt(runner, task)
    const child = start(['watch', task._id.toHexString(), '--server', url])
    const run = ended(child)
    await once(child.stdout!, 'data')
    child.kill('SIGINT')
    expect(await run).toMatchObject({ code: 130, err: '' })
  })

  test('watch ends when its key is revoked', async () => {
    const [token] = [await key('read'), await key('read')]
    const url = (await startGateway(fleet)).url!
    const task = await make().pending()
    const child = start(['watch', task._id.toHexString(), '--server', url], { TASKFLEET_KEY: token })
    const run = ended(child)
    await once(child.stdout!, 'data')
    await here('keys', 'revoke', token.split('_')[1]!)
    expect(await run).toMatchObject({ code: 4, err: expect.stringMatching(/^taskfleet: .*UNAUTHENTICATED/) })
  })

  test('fail with their exit code and one line', async () => {
    const file = await keyFile('read')
    const url = (await startGateway(fleet)).url!
    const silent = createServer()
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as { port: number }
    await new Promise((resolve) => silent.close(resolve))
    const task = await make().pending()
    const cases: [string[], number, RegExp][] = [
      [['list', '--server', url], 4, /UNAUTHENTICATED/],
      [['cancel', task._id.toHexString(), '--server', url, '--key-file', file], 4, /FORBIDDEN/],
      [['list', '--server', `http://127.0.0.1:${port}`], 5, /No gateway answers at .*ECONNREFUSED.*NO_SERVER/],
      [['list', '--server', 'nonsense'], 2, /BAD_ADDRESS/],
      [['list', '--server', `${url}/#key=x`], 2, /BAD_ADDRESS/],
      [['list', '--server', url, '--mongo', fleet.uri], 2, /--mongo or --server, not both/],
      [['list', '--server', url, '--key-file', join(file, 'x')], 3, /BAD_KEY_FILE/],
    ]
    for (const command of ['gateway', 'migrate']) {
      cases.push([[command, '--server', url], 2, /needs the database.*NEEDS_DATABASE/])
    }
    cases.push([['enqueue', 'x', '--key', 'tf_0123456789ab_secret'], 2, /--server-key/])
    for (const [args, code, message] of cases) {
      const run = await here(...args)
      expect([args.join(' '), run.code]).toEqual([args.join(' '), code])
      expect(run.err + run.out).toMatch(message)
      expect(run.err).not.toMatch(/\n\s+at /)
      expect(run.err.trimEnd().split('\n'), args.join(' ')).toHaveLength(1)
    }
    expect(await here('list', '--server', url, '--key-file', file)).toMatchObject({ code: 0, err: '' })
    const said = await here('list', '--server', url, '--key', await key('read'))
    expect([said.code, said.err]).toEqual([0, expect.stringMatching(/every user.*TASKFLEET_KEY.*--key-file/)])
    const enqueued = await here('enqueue', 'x', '--server', url, '--server-key', await key('write', 'read'))
    expect(enqueued).toMatchObject({ code: 0, err: expect.stringContaining('every user') })
  })

  test('take the key from stdin and the environment, and end quietly when their reader has ended', async () => {
    const token = await key('read')
    const url = (await startGateway(fleet)).url!
    const piped = start(['list', '--server', url, '--key', '-'], {}, ['pipe', 'pipe', 'pipe'])
    const answered = ended(piped)
    piped.stdin!.end(`${token}\n`)
    expect(await answered).toMatchObject({ code: 0, err: '' })
    const child = start(['list'], { TASKFLEET_MONGO_URI: '', TASKFLEET_SERVER: url, TASKFLEET_KEY: token })
    child.stdout!.destroy()
    expect(await once(child, 'exit')).toEqual([0, null])
    const both = await ended(start(['list'], { TASKFLEET_SERVER: url }))
    expect([both.code, both.err]).toEqual([3, expect.stringMatching(/both set.*BAD_CONFIG/)])
  })

  test('a key file is one line that only its owner can read', async () => {
    const place = await folder()
    const file = async (name: string, text: string, mode = 0o600): Promise<string> => {
      const path = join(place, name)
      await writeFile(path, text)
      await chmod(path, mode)
      return path
    }
    expect(readKeyFile(await file('good', 'tf_key\n'))).toBe('tf_key')
    await mkdir(join(place, 'folder'), { mode: 0o700 })
    const bad: [string, RegExp][] = [
      [await file('open', 'tf_key\n', 0o644), /every user.*chmod 600/],
      [await file('empty', '\n'), /is empty/],
      [await file('windows', 'tf_key\r\n'), /Windows.*sed/],
      [await file('two', 'tf_key\ntf_other\n'), /more than one key/],
      [await file('large', 'x'.repeat(5_000)), /more than 4096 bytes/],
      [join(place, 'missing'), /does not exist/],
      [join(place, 'folder'), /is a directory/],
      ['/dev/zero', /is not a file/],
    ]
    for (const [path, message] of bad) {
      expect(() => readKeyFile(path)).toThrow(message)
      expect(() => readKeyFile(path)).toThrow(path)
      const { code } = await here('list', '--server', 'http://127.0.0.1:1', '--key-file', path)
      expect([path, code]).toEqual([path, 3])
    }
    expect(await readKeyFrom(Readable.from(['tf_', 'key\n', 'more']))).toBe('tf_key')
    await expect(readKeyFrom(Readable.from(['\n']))).rejects.toThrow(/--key -/)
  })

  test('a file has defaults under the environment and flags', async () => {
    const token = await key('read')
    const url = (await startGateway(fleet)).url!
    const place = await folder()
    const write = async (text: string, mode = 0o600): Promise<string> => {
      const path = join(place, 'taskfleet.json')
      await writeFile(path, text)
      await chmod(path, mode)
      return path
    }
    const queue = ownQueue()
    for (let made = 0; made < 3; made += 1) await make().pending({ queue })
    await writeFile(join(place, 'key'), token, { mode: 0o600 })
    const filter = { queue }
    const content = { server: url, keyFile: 'key', json: true, commands: { list: { limit: 2, filter } } }
    const path = await write(JSON.stringify(content))
    const bare = { TASKFLEET_MONGO_URI: '' }
    const listed = await ended(start(['list', '--config', path], bare))
    expect([listed.code, listed.err]).toEqual([0, ''])
    expect(JSON.parse(listed.out)).toHaveLength(2)
    const flagged = await ended(start(['list', '--limit', '1'], { ...bare, TASKFLEET_CONFIG: path }))
    expect(JSON.parse(flagged.out)).toHaveLength(1)
    // The environment's database is nearer than the file's gateway.
    expect(await here('keys', 'list', '--config', path)).toMatchObject({ code: 0 })
    const faults: [string, RegExp][] = [
      ['{\n  "mongoo": "x"\n}', /taskfleet\.json:2: .*'mongoo'.*'mongo'/],
      ['{\n\n  "json": "yes"}', /:3: 'json' is a boolean, not a string/],
      ['{"json": true,\n "json": false}', /:2: 'json' is given twice, first in line 1/],
      ['{"mongo": "mongodb://a",\n "server": "http://b"}', /:2: 'mongo' and 'server' are both given/],
      ['{"commands": {\n "lst": {}}}', /:2: .*command 'lst'.*'list'/],
      ['{"commands": {"list": {\n "limitt": 2}}}', /:2: .*'limitt'.*'limit'/],
      ['{"commands": {"list": {\n\n "limit": "abc"}}}', /:3: 'limit': .*whole number/],
      ['{"commands": {"queues list": {\n "json": 1}}}', /:2: 'json' is true or false, not a number/],
      ['{"logLevel":\n "loud"}', /:1: 'logLevel': Allowed choices are debug/],
      ['{\n "json" true}', /:2: not JSON/],
      ['[]', /:1: .*object/],
    ]
    for (const [text, message] of faults) {
      const { code, err, out } = await here('list', '--config', await write(text))
      expect([text, code, out]).toEqual([text, 3, ''])
      expect(err).toMatch(message)
    }
    const open = await here('list', '--config', await write('{"key": "tf_x"}', 0o644))
    expect([open.code, open.err]).toEqual([3, expect.stringMatching(/:1: .*chmod 600/)])
    expect(await here('list', '--config', join(place, 'none.json'))).toMatchObject({ code: 3 })
  })

  test('input from a file or stdin is read only up to its limit', async () => {
    const place = await folder()
    await writeFile(join(place, 'input.json'), '{"to":7}')
    const { out } = await here('enqueue', 'count', `@${join(place, 'input.json')}`, '--json')
    expect(JSON.parse(out)).toMatchObject({ input: { to: 7 } })
    for (const input of ['@/dev/zero', `@${join(place, 'none')}`, `@${place}`]) {
      const { code, err } = await here('enqueue', 'count', input)
      expect([input, code]).toEqual([input, 2])
      expect(err.trimEnd().split('\n')).toHaveLength(1)
    }
  })
})
