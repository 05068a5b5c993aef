import { once } from 'node:events'
import { createServer } from 'node:net'
import { parseId } from '@taskfleet/core/internal'
import { durationText } from '@taskfleet/protocol'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { type Run, useCli } from '@taskfleet/testkit/fleet/test-cli'
import { open, refusal } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { parseConcurrency, parseDuration, parseListen } from './options.ts'
import { bar, bytes, oneLine, printable, printableAnswer, printableJson, table } from './text.ts'

describe('taskfleet', () => {
  const { fleet, start, ended, run, ready, runHere, here } = useCli()

  const errorsOf = async (cases: [string[], number, RegExp][], how = runHere): Promise<void> => {
    const runs: Run[] = []
    for (const [args] of cases) runs.push(await how(args))
    for (const [index, { code, out, err }] of runs.entries()) {
      const [args, wanted, message] = cases[index]!
      const what = args.join(' ')
      expect([what, code, out]).toEqual([what, wanted, ''])
      expect(err).toMatch(message)
      expect(err).not.toMatch(/\n\s+at |hunter2/)
      const lines = err.trimEnd().split('\n')
      expect([what, ...lines.filter((line) => !line.startsWith('(Did you mean'))]).toEqual([what, expect.any(String)])
    }
  }

  test('stores a task, lists it, shows it and cancels it, in text and in JSON', async () => {
    const stored = await run(
      'enqueue',
      'count',
      '{"to":3}',
      '--priority',
      'high',
      '--queue',
      'cli',
      '--key',
      'k',
      '--json',
    )
    expect([stored.code, stored.err]).toEqual([0, ''])
    const task = JSON.parse(stored.out) as { _id: string }
    expect(task).toMatchObject({
      name: 'count',
      input: { to: 3 },
      priority: 8,
      queue: 'cli',
      status: 'pending',
      key: 'k',
    })
    const [again, plain] = await Promise.all([
      here('enqueue', 'count', '{"to":3}', '--queue', 'cli', '--key', 'k'),
      here('enqueue', 'later', '--run-at', '2099-01-01', '--queue', 'cli'),
    ])
    expect([again.code, again.err]).toEqual([7, expect.stringContaining('KEY_EXISTS')])
    expect(plain.out).toMatch(/^[0-9a-f]{24}\n$/)
    const [list, listJson, show, showJson] = await Promise.all([
      here('list', '--filter', '{"queue":"cli"}', '--status', 'pending,running'),
      here('list', '--name', 'count', '--filter', '{"queue":"cli"}', '--limit', '1', '--json'),
      here('show', task._id),
      here('show', task._id, '--json'),
    ])
    expect(list.out.split('\n')[0]).toMatch(/^ID\s+STATUS\s+NAME/)
    expect(list.out).toMatch(new RegExp(`${task._id}\\s+pending\\s+count\\s+cli\\s+8`))
    expect(JSON.parse(listJson.out)).toMatchObject([{ _id: task._id }])
    expect(show.out).toMatch(/^status\s+pending$/m)
    expect(JSON.parse(showJson.out)).toMatchObject({ _id: task._id, attempts: [] })
    const dry = await here('cancel', '--filter', '{"queue":"cli"}', '--dry-run', '--json')
    expect(JSON.parse(dry.out)).toEqual({ matched: 2, changed: 0, refused: [] })
    const [cancelled, one] = await Promise.all([here('cancel', task._id), here('cancel', plain.out.trim(), '--json')])
    expect([cancelled.code, cancelled.out]).toEqual([0, '1 of 1 changed\n'])
    expect(JSON.parse(one.out)).toEqual({ matched: 1, changed: 1, refused: [] })
    expect(await here('cancel', task._id)).toMatchObject({ code: 0, out: '0 of 1 changed, 1 already in that state\n' })
    await fleet.database.db.collection('tasks').updateMany({ queue: 'cli' }, { $set: { status: 'completed' } })
    expect(await here('cancel', task._id)).toMatchObject({
      code: 7,
      out: `${task._id}  It has completed (ALREADY_ENDED)\n0 of 1 changed\n`,
    })
  })

  test('reports wrong usage in one line, with the closest name, and ends with 2', async () => {
    await errorsOf([
      [['lisst'], 2, /unknown command 'lisst'[\s\S]*list/],
      [['list', '--limt', '3'], 2, /unknown option '--limt'[\s\S]*--limit/],
      [['list', '--limit', 'abc'], 2, /--limit.*whole number/],
      [['list', '--limit'], 2, /--limit.*argument missing/],
      [['list', '--limit', '5000'], 2, /BAD_SORT/],
      [['list', '--filter', '{"$where":"1"}'], 2, /BAD_FILTER/],
      [['list', '--filter', '{'], 2, /--filter is not JSON.*BAD_JSON/],
      [['enqueue', 'x', '{nonsense'], 2, /BAD_JSON/],
    ])
    await errorsOf([
      [['enqueue', '../x'], 2, /BAD_NAME/],
      [['enqueue', 'x', '--priority', '11'], 2, /OUT_OF_RANGE/],
      [['enqueue', 'x', '--run-at', 'soon'], 2, /BAD_DATE/],
      [['show', 'nonsense'], 2, /BAD_ID/],
      [['watch'], 2, /BAD_FILTER/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--grace', 'long'], 2, /--grace.*duration/],
      [['worker'], 2, /--tasks/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--concurrency', '8-2'], 2, /--concurrency.*range/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--concurrency', '0'], 2, /--concurrency.*from 1/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--listen', '127.0.0.1:-1'], 2, /--listen.*port/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--gate', '{'], 2, /--gate is not JSON/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--error-period', '1h'], 2, /--error-webhook.*BAD_REQUEST/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--error-webhook', 'ftp://x'], 2, /https.*BAD_REQUEST/],
      [['gateway', '--attention-webhook', 'https://a.example,ftp://x'], 2, /https.*BAD_REQUEST/],
    ])
  })

  test('has exit codes for not found, not reached and not configured', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as { port: number }
    const absent = 'f'.repeat(24)
    const spawned = (args: string[]): Promise<Run> => run(...args)
    const bare: [string[], number, RegExp][] = [
      [['lisst'], 2, /unknown command/],
      [['show', absent], 6, /There is no task f+ \(NOT_FOUND\)/],
    ]
    await errorsOf(bare, spawned)
    await errorsOf([
      [['watch', absent], 6, /NOT_FOUND/],
      [['list', '--mongo', 'mongodb://joe:hunter2@127.0.0.1:1/?directConnection=true'], 5, /NO_DATABASE/],
      [['list', '--mongo', 'nonsense'], 3, /./],
      [['list', '--mongo', 'mongodb://127.0.0.1/?w=1'], 3, /NEEDS_MAJORITY/],
      [['list', '--mongo', 'mongodb://joe:hunter2@127.0.0.1/?retryWrites=false'], 3, /retryWrites.*NEEDS_MAJORITY/],
      [['list', '--mongo', 'mongodb://127.0.0.1/?readPreference=secondary'], 3, /readPreference.*NEEDS_MAJORITY/],
    ])
    await errorsOf([
      [
        ['gateway', '--listen', `127.0.0.1:${port}`, '--log-level', 'silent'],
        3,
        new RegExp(`127.0.0.1:${port} is in use by .*--listen.*EADDRINUSE`),
      ],
      [['gateway', '--listen', '0.0.0.0:0', '--public-url', 'http://x:1', '--log-level', 'silent'], 3, /INSECURE_BIND/],
      [['gateway', '--base-path', 'fleet', '--log-level', 'silent'], 3, /'fleet'.*\/fleet.*BAD_BASE_PATH/],
      [['gateway', '--trust-proxy', 'loopback,proxy', '--log-level', 'silent'], 3, /proxy.*BAD_TRUST_PROXY/],
      [['worker', '--tasks', '/nowhere/tasks.mjs'], 3, /BAD_TASKS_FILE/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--lease', '100'], 3, /CONFIG_RANGE/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--concurrency', '1000000000'], 3, /1 to 1000.*CONFIG_RANGE/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--gate', '{"cpu":{"lazy":2}}'], 3, /cpu.*CONFIG_RANGE/],
      [['worker', '--tasks', fixture('tasks.mjs'), '--gate', '{"memory":1}'], 3, /memoryLeft.*CONFIG_RANGE/],
    ])
    taken.close()
    const gone = await run('cancel', absent)
    expect([gone.code, gone.out]).toEqual([6, `${absent}  not found\n0 of 1 changed\n`])
    const unset = await ended(start(['list'], { TASKFLEET_MONGO_URI: '' }))
    expect([unset.code, unset.err]).toEqual([3, expect.stringContaining('NO_ADDRESS')])
  })

  test('a worker runs tasks until a signal, and a watcher follows them to their end', async () => {
    const worker = start([
      'worker',
      '--tasks',
      fixture('tasks.mjs'),
      '--queues',
      'work',
      '--listen',
      '127.0.0.1:0',
      '--base-path',
      '/fleet',
      '--trust-proxy',
      'loopback,10.0.0.0/8',
      '--name',
      'w1',
      '--grace',
      '300ms',
    ])
    const exit = once(worker, 'exit')
    const listening = await ready(worker)
    expect(listening).toMatchObject({
      event: 'listening',
      name: 'w1',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/fleet$/),
    })
    const socket = open(new URL(listening.url!).origin, undefined, { path: '/fleet/socket.io' })
    fleet.cleanup(() => socket.disconnect())
    expect(await refusal(socket)).toBeUndefined()
    const [endless, counted] = await Promise.all([
      run('enqueue', 'endless', '--queue', 'work'),
      run('enqueue', 'count', '{"to":100}', '--queue', 'work'),
    ])
    const [watched, byFilter] = await Promise.all([
      run('watch', counted.out.trim()),
      // It may have ended before the command has started.
      run('watch', '--json', '--filter', '{"name":"count","queue":"work"}'),
    ])
    expect([watched.code, watched.err]).toEqual([0, ''])
    expect(watched.out.trimEnd().split('\n').at(-1)).toContain('completed')
    expect(watched.out).toContain('\\u{1b}[31mred\\u{202e}')
    expect(byFilter.code).toBe(0)
    const shown = await run('show', counted.out.trim())
    expect(shown.out).toMatch(/^output\s+100$/m)
    for (const text of [watched.out, byFilter.out, shown.out]) {
      expect(text).not.toContain('\u001b')
      expect(text).not.toContain('\u202e')
    }
    await eventually(async () => JSON.parse((await run('show', endless.out.trim(), '--json')).out).status === 'running')
    const doomed = (await run('enqueue', 'endless', '--queue', 'work')).out.trim()
    const stillOpen = { _id: doomed, status: { $in: ['pending', 'running'] } }
    const watching = start(['watch', '--json', '--filter', JSON.stringify(stillOpen)])
    const left = ended(watching)
    await once(watching.stdout!, 'data')
    expect((await run('cancel', doomed)).code).toBe(0)
    // What the filter no longer matches has ended, and not well.
    expect((await left).code).toBe(1)
    const following = start(['watch', endless.out.trim()])
    const interrupted = ended(following)
    await once(following.stdout!, 'data')
    following.kill('SIGINT')
    expect((await interrupted).code).toBe(130)
    worker.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
    const released = await fleet.fleet.store.find(parseId(endless.out.trim()))
    expect(released).toMatchObject({ status: 'pending', host: expect.any(String), attempts: [{ outcome: 'released' }] })
  })

  test('a gateway serves until a signal, and a worker reads TypeScript', async () => {
    const gateway = start(['gateway', '--listen', '127.0.0.1:0', '--log-level', 'error'])
    const worker = start(['worker', '--tasks', fixture('typed-tasks.ts'), '--queues', 'typed', '--log-level', 'error'])
    const exits = [once(gateway, 'exit'), once(worker, 'exit')]
    const [served, working] = await Promise.all([ready(gateway), ready(worker)])
    expect(working.url).toBeNull()
    const health = await fetch(`${served.url}/health/ready`)
    expect([health.status, await health.json()]).toEqual([200, { status: 'ready' }])
    const { out } = await run('enqueue', 'join', '{"words":["a","b"]}', '--queue', 'typed')
    const id = out.trim()
    expect((await run('watch', id)).code).toBe(0)
    expect(JSON.parse((await run('show', id, '--json')).out)).toMatchObject({ status: 'completed', output: 'a b' })
    gateway.kill('SIGTERM')
    worker.kill('SIGINT')
    expect(await Promise.all(exits)).toEqual([
      [0, null],
      [0, null],
    ])
  })

  test('prints stored texts without letting them control the terminal', async () => {
    const name = 'evil\u001b]0;title\u0007\n\u202efile\u009b31m'
    await fleet.post([], { queue: 'evil' })
    await fleet.database.db.collection('tasks').updateMany({ queue: 'evil' }, { $set: { name } })
    const [text, json] = await Promise.all([
      run('list', '--filter', '{"queue":"evil"}'),
      run('list', '--filter', '{"queue":"evil"}', '--json'),
    ])
    for (const { out } of [text, json]) expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(text.out.trimEnd().split('\n')).toHaveLength(2)
    expect(JSON.parse(json.out)).toMatchObject([{ name }])
  })

  test('ends quietly when its reader closes the pipe', async () => {
    const child = start(['list'])
    child.stdout!.destroy()
    const [code] = (await once(child, 'exit')) as [number]
    expect(code).toBe(0)
  })

  test('creates a key, lists it without its secret, and revokes it', async () => {
    const made = await run('keys', 'create', '--name', 'ops', '--scopes', 'read,write')
    expect(made).toMatchObject({ code: 0, out: expect.stringMatching(/^tf_[0-9a-f]{12}_[\w-]{43}\n$/) })
    const id = made.out.split('_')[1]!
    const listed = await run('keys', 'list')
    expect(listed.out).toMatch(new RegExp(`^${id} +good +read,write +ops$`, 'm'))
    expect(listed.out).not.toContain(made.out.trim().slice(16))
    expect(await run('keys', 'revoke', id)).toMatchObject({ code: 0, out: `${id}  revoked\n` })
    expect((await run('keys', 'list')).out).toMatch(new RegExp(`^${id} +revoked `, 'm'))
    expect(await run('keys', 'revoke', 'nobody')).toMatchObject({ code: 6 })
    expect(await run('keys', 'create', '--name', 'x', '--scopes', 'all')).toMatchObject({ code: 2 })
    // The next test's gateway must find the fleet as open as this one did.
    await fleet.database.db.collection('keys').deleteMany({})
  })

  test('doctor accepts a good database, and reports a missing one', async () => {
    const [good, json, none] = await Promise.all([
      run('doctor'),
      run('doctor', '--json'),
      run('doctor', '--mongo', 'mongodb://127.0.0.1:1/?directConnection=true', '--json'),
    ])
    expect([good.code, good.err]).toEqual([0, ''])
    expect(
      good.out
        .trimEnd()
        .split('\n')
        .map((line) => line.slice(0, 2)),
    ).toEqual(Array.from({ length: 9 }, () => 'ok'))
    expect((JSON.parse(json.out) as { check: string }[]).map(({ check }) => check)).toEqual([
      'connection',
      'replica set',
      'clock',
      'schema',
      'indexes',
      'documents',
      'change stream',
      'secret',
      'workers',
    ])
    expect(none.code).toBe(5)
    expect(JSON.parse(none.out)).toMatchObject([{ check: 'connection', ok: false }])
  })

  test('help and version are no errors', async () => {
    const [help, version, nothing] = await Promise.all([run('--help'), run('--version'), run()])
    expect([help.code, version.code, nothing.code]).toEqual([0, 0, 2])
    expect(help.out).toContain('worker')
    expect(version.out).toMatch(/^\d+\.\d+\.\d+/)
  })
})

describe("the command's words", () => {
  test('addresses, counts and durations are read or rejected', () => {
    expect(parseListen('127.0.0.2:0')).toEqual({ host: '127.0.0.2', port: 0 })
    expect(parseListen('[::1]:4100')).toEqual({ host: '::1', port: 4100 })
    expect(parseListen(':4100')).toEqual({ host: '127.0.0.1', port: 4100 })
    for (const bad of ['4100', 'host', 'host:70000', 'host:-1', '']) expect(() => parseListen(bad)).toThrow()
    expect([parseConcurrency('auto'), parseConcurrency('3'), parseConcurrency('2-8')]).toEqual([
      'auto',
      3,
      { min: 2, max: 8 },
    ])
    for (const bad of ['0', '-1', '1.5', 'x', '', '0-3', '8-2', '2-', '1-2-3'])
      expect(() => parseConcurrency(bad)).toThrow()
    expect(parseDuration('10s')).toBe('10s')
    expect(() => parseDuration('soon')).toThrow()
    expect([durationText(0), durationText(90_061_001), durationText(90_061_001, { parts: 5 })]).toEqual([
      '0ms',
      '1d 1h',
      '1d 1h 1m 1s 1ms',
    ])
    expect(durationText(999, { least: 's' })).toBe('0s')
  })

  test('text from others is one visible line', () => {
    expect(printable('a\u001b[2J\u202eb\u2028')).toBe('a\\u{1b}[2J\\u{202e}b\\u{2028}')
    expect(oneLine('first\n  second\r\n')).toBe('first second')
    const value = { a: '\u009b\u{e0001}\u007f\n' }
    expect(JSON.parse(printableJson(value))).toEqual(value)
    expect(printableJson(value)).toMatch(/^[\x20-\x7e]+$/)
    expect(table(['A', 'B'], [['x\u001b[2J\n', 'y']])).toBe('A                B\nx\\u{1b}[2J\\u{a}  y')
    const json = JSON.stringify(value)
    expect(JSON.parse(printableAnswer(json))).toEqual(value)
    expect(printableAnswer('a\tb\n\u001b[2J\u202e\r')).toBe('a\tb\n\\u001b[2J\\u202e\\u000d')
    expect([bytes(0), bytes(999), bytes(1_500_000)]).toEqual(['0 B', '999 B', '1.5 MB'])
    expect([bar(-1, 4), bar(0.5, 4), bar(9, 4)]).toEqual(['░░░░', '██░░', '████'])
  })
})
