import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'

const DAY_MS = 86_400_000

describe('commands about workers and queues', () => {
  const { fleet, here, json, start, ended } = useCli()
  const make = () => taskFactory(fleet.fleet.store)

  test('workers shows what each runs, its load and what it serves', async () => {
    const runner = await fleet.runner({ queue: 'shown', name: 'north\u001b[2J', concurrency: 3 })
    const { out } = await here('workers')
    expect(out.split('\n')[0]).toMatch(/^NAME +ID +HOST +STATE +SLOTS +GATE +LOAD +SERVES +SEEN$/)
    const row = out.split('\n').find((one) => one.includes(runner.id.slice(0, 8)))
    expect(row).toMatch(/^north\\u\{1b\}\[2J +\S{8} +\S+ +running +0\/3 +\S.*delay \d+ ms +scripted@1 +\d+s ago$/)
    expect(await json('workers')).toMatchObject([{ _id: runner.id, live: true, slots: 3 }])
    await fleet.database.db
      .collection<{ _id: string }>('workers')
      .updateOne(
        { _id: runner.id },
        { $set: { gate: { open: false, lazy: false, reason: 'no memory' }, heartbeatAt: new Date(0) } },
      )
    const gone = (await here('workers')).out.split('\n').find((one) => one.includes(runner.id.slice(0, 8)))
    expect(gone).toMatch(/ gone +0\/3 +closed: no memory /)
    await runner.stop({ grace: 0 })
    expect(await json('workers')).toEqual([])
    expect(await json('workers', '--all')).toMatchObject([{ _id: runner.id, state: 'stopped' }])
  })

  test('drain stops a worker from claiming, by name or id, and waits until nothing runs there', async () => {
    const runner = await fleet.runner({ queue: 'drained', name: 'south' })
    const task = await fleet.post([{ do: 'waitForAbort' }], { queue: 'drained' })
    await fleet.runsAt(runner, task)
    const state = async () => (await fleet.fleet.workers.find(runner.id))?.state
    expect(await here('drain', 'south')).toMatchObject({ code: 0, out: `south (${runner.id.slice(0, 8)})  draining\n` })
    await eventually(async () => (await state()) === 'draining')
    expect(await here('undrain', runner.id.slice(0, 6))).toMatchObject({
      code: 0,
      out: expect.stringContaining('running'),
    })
    await eventually(async () => (await state()) === 'running')
    let drained = false
    const waiting = ended(start(['drain', runner.id, '--wait'])).finally(() => {
      drained = true
    })
    await eventually(async () => (await state()) === 'draining')
    const next = await fleet.post([], { queue: 'drained' })
    expect(drained).toBe(false)
    await here('cancel', task._id.toHexString())
    expect(await waiting).toMatchObject({ code: 0, out: `south (${runner.id.slice(0, 8)})  drained\n` })
    expect((await fleet.fleet.store.find(next._id))?.status).toBe('pending')
    const actions = (await fleet.fleet.audit.list({})).map(({ action, target }) => [action, target])
    expect(actions).toContainEqual(['worker drain', runner.id])
  })

  test('drain fails if no worker or several match', async () => {
    await Promise.all([fleet.runner({ queue: 'a', name: 'twin' }), fleet.runner({ queue: 'b', name: 'twin' })])
    expect(await here('drain', 'twin')).toMatchObject({ code: 2, err: expect.stringMatching(/several.*AMBIGUOUS/) })
    expect(await here('drain', 'nobody')).toMatchObject({ code: 6, err: expect.stringContaining('NOT_FOUND') })
    expect(await here('undrain', '')).toMatchObject({ code: 6 })
  })

  test('queues counts what waits and runs, and pauses and resumes', async () => {
    await Promise.all([
      make().pending({ queue: 'mail' }),
      make().running({ queue: 'mail' }),
      make().paused({ queue: 'mail' }),
    ])
    const paused = await here('queues', 'pause', 'mail', '--reason', 'the server\u001b[2J is down')
    expect(paused).toMatchObject({ code: 0, out: 'mail  paused\n' })
    await here('queues', 'pause', 'quiet')
    const { out } = await here('queues')
    expect(out).toMatch(/^QUEUE +WAITING +RUNNING +HELD +LIMIT .*PAUSED$/m)
    expect(out).toMatch(/^mail +1 +1 +1 +paused by local: the server\\u\{1b\}\[2J is down$/m)
    expect(out).toMatch(/^quiet +0 +0 +0 +paused by local$/m)
    expect(await here('queues', 'resume', 'mail')).toMatchObject({ code: 0, out: 'mail  resumed\n' })
    const rows = await json<{ _id: string; paused: boolean }[]>('queues')
    expect(rows.find(({ _id }) => _id === 'mail')).toMatchObject({ paused: false, waiting: 1, running: 1 })
    expect((await here('queues', 'pause', 'no good')).code).toBe(2)
  })

  test('retention is shown and set', async () => {
    expect((await here('retention')).out).toBe('completed  30d\nfailed     90d\ncancelled  30d\n')
    const set = await here('retention', '--completed', '36h', '--failed', 'forever')
    expect(set).toMatchObject({ code: 0, out: 'completed  1d 12h\nfailed     forever\ncancelled  30d\n' })
    expect(await json('retention')).toEqual({ completed: 1.5 * DAY_MS, failed: null, cancelled: 30 * DAY_MS })
    expect(await fleet.fleet.audit.list({ limit: 1 })).toMatchObject([
      { action: 'retention', target: 'completed 1d 12h, failed forever', by: 'local' },
    ])
    expect((await here('retention', '--completed', '0s')).code).toBe(2)
    expect((await here('retention', '--completed', 'soon')).code).toBe(2)
    await here('retention', '--completed', '30d', '--failed', '90d')
  })

  test('prune removes the matching tasks, and asks for confirmation on a terminal', async () => {
    const name = 'prunable'
    const made = await Promise.all([make().completed({ name }), make().failed({ name }), make().pending({ name })])
    const named = ['prune', '--name', name, '--older-than', '0s']
    expect(await here('prune', '--name', name)).toMatchObject({ code: 0, out: '0 tasks removed\n' })
    expect(await here(...named, '--dry-run')).toMatchObject({ code: 0, out: '2 tasks would be removed\n' })
    const isTTY = Object.getOwnPropertyDescriptor(process.stdin, 'isTTY')
    Object.defineProperty(process.stdin, 'isTTY', { value: true, configurable: true })
    try {
      const asked = await here(...named)
      expect(asked).toMatchObject({ code: 2, out: '', err: expect.stringMatching(/remove 2 tasks.*--yes/) })
      expect(await here(...named, '--status', 'failed', '--yes')).toMatchObject({ code: 0, out: '1 task removed\n' })
    } finally {
      if (isTTY === undefined) Reflect.deleteProperty(process.stdin, 'isTTY')
      else Object.defineProperty(process.stdin, 'isTTY', isTTY)
    }
    expect(await json(...named)).toEqual({ matched: 1, removed: 1 })
    const left = await fleet.fleet.tasks.find({ name }).toArray()
    expect(left.map(({ _id }) => _id)).toEqual([made[2]!._id])
    expect((await here('prune', '--status', 'pending')).code).toBe(2)
  })

  test('migrate builds the missing indexes, and lists them', async () => {
    await here('migrate')
    expect((await here('migrate')).out).toMatch(/^all \d+ indexes exist\n$/)
    await fleet.database.db.collection('tasks').dropIndex('paused')
    expect(await here('migrate')).toEqual({ code: 0, err: '', out: 'made  tasks.paused\n' })
    const { made, indexes } = await json<{ made: string[]; indexes: string[] }>('migrate')
    expect(made).toEqual([])
    expect(indexes).toEqual(
      expect.arrayContaining(['tasks.waiting', 'audit.latest', 'taskLogs.lines', 'errors.latest']),
    )
  })

  test('every command has help with a description of each option', async () => {
    const commands = (help: string): string[] =>
      [...help.matchAll(/^ {2}([a-z]+) (?=.*[a-z])/gm)].map(([, name]) => name!).filter((name) => name !== 'help')
    const all = commands((await here('--help')).out.split('Commands:')[1]!)
    expect(all).toEqual(expect.arrayContaining(['worker', 'edit', 'errors', 'drain', 'prune', 'migrate', 'queues']))
    for (const name of all) {
      const { code, out } = await here(name, '--help')
      expect([name, code, out]).toEqual([name, 0, expect.stringMatching(/^Usage: taskfleet/)])
      const inner = commands(out.split('Commands:')[1] ?? '')
      const helps = [out, ...(await Promise.all(inner.map(async (one) => (await here(name, one, '--help')).out)))]
      for (const line of helps.flatMap((help) => help.match(/^ {2}-.*$/gm) ?? [])) {
        expect(`${name}:${line}`).toMatch(/: {2}-.*\S {2,}\S/)
      }
    }
  })
})
