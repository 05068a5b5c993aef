import { once } from 'node:events'
import type { CallbackRow, EventRow, QueueRow } from '@taskfleet/protocol'
import { fixture } from '@taskfleet/testkit/fleet/command'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'
import { followEvents } from './events-follow.ts'
import { DatabaseView } from './fleet-view.ts'
import { parseServedQueues } from './options.ts'

const absent = 'f'.repeat(24)
const ENDED = { status: { $in: ['finished', 'failed', 'cancelled'] } }

describe('events and callbacks', () => {
  const { fleet, here, json, start, ended, ready } = useCli()

  test('a callback is made, listed, shown, changed and removed', async () => {
    const made = await json<CallbackRow>(
      ...['callbacks', 'create', 'Addition', 'add', '--queue', 'sums', '--priority', 'high', '--input', '{"a":1}'],
      ...['--task-version', '2', '--lazy', '--max-attempts', '3'],
    )
    expect(made).toMatchObject({
      event: 'Addition',
      task: 'add',
      version: 2,
      defaults: { queue: 'sums', priority: 8, lazy: true, maxAttempts: 3, input: { a: 1 } },
    })
    expect((await here('callbacks', 'list', '--event', 'Addition')).out).toMatch(
      new RegExp(`^${made._id} +Addition +add@2 +sums +.*"maxAttempts":3`, 'm'),
    )
    const changed = await here('callbacks', 'edit', made._id, '--no-lazy', '--task', 'sum', '--rev', '1')
    expect(changed).toMatchObject({ code: 0, out: `${made._id}  changed, now at revision 2\n` })
    expect(await json('callbacks', 'show', made._id)).toMatchObject({
      task: 'sum',
      defaults: { queue: 'sums', lazy: false, maxAttempts: 3 },
    })
    expect(await here('callbacks', 'edit', made._id, '--queue', 'x', '--rev', '1')).toMatchObject({ code: 7 })
    expect(await here('callbacks', 'edit', made._id)).toMatchObject({ code: 2 })
    expect(await here('callbacks', 'create', '1x', 'add')).toMatchObject({ code: 2 })
    expect(await here('callbacks', 'remove', made._id)).toMatchObject({ code: 0, out: `${made._id}  removed\n` })
    expect(await here('callbacks', 'show', made._id)).toMatchObject({ code: 6 })
    expect(await json('callbacks', '--event', 'Addition')).toEqual([])
  })

  test('an event is posted, listed, shown, cancelled and removed', async () => {
    const queue = ownQueue()
    await here('callbacks', 'create', 'Later', 'count', '--queue', queue)
    const id = 'a'.repeat(24)
    const post = ['events', 'post', 'Later', '{"to":2}', '--scheduled-for', '2099-01-01', '--priority', '9', '--id', id]
    expect(await here(...post)).toMatchObject({ code: 0, out: `${id}\n` })
    expect(await here(...post)).toMatchObject({ code: 0, out: `${id}\n` })
    expect(await here('events', 'post', 'Later', '{"to":3}', '--id', id)).toMatchObject({ code: 7 })
    expect((await here('events', '--name', 'Later', '--status', 'scheduled')).out).toMatch(
      new RegExp(`^${id} +scheduled +Later +2099-01-01T00:00:00.000Z +1$`, 'm'),
    )
    const [task] = await json<{ priority: number }[]>('list', '--filter', JSON.stringify({ queue }))
    expect(task).toMatchObject({ priority: 9, status: 'pending' })
    expect(await here('events', 'remove', id)).toMatchObject({ code: 7 })
    expect(await here('events', 'cancel', id, '--reason', 'no more')).toMatchObject({
      code: 0,
      out: '1 of 1 changed\n',
    })
    await eventually(async () => (await json<EventRow>('events', 'show', id)).status === 'cancelled')
    expect(await here('events', 'cancel', id)).toMatchObject({ code: 0 })
    expect(await here('events', 'remove', id)).toMatchObject({ code: 0 })
    expect(await here('events', 'show', id)).toMatchObject({ code: 6 })
    const mistakes = [
      ['post', '1x'],
      ['post', 'X', '[]'],
      ['post', 'X', '{'],
      ['post', 'X', '{}', '--scheduled-for', 'soon'],
      ['list', '--status', 'done'],
      ['follow', '--status', 'scheduled'],
      ['follow', '--since', 'soon'],
      ['show', 'x'],
    ]
    for (const args of mistakes) expect([args, (await here('events', ...args)).code]).toEqual([args, 2])
    expect(await here('events', 'follow', '--since', absent)).toMatchObject({ code: 6 })
  })

  test('following prints each event as it ends, with its results, until Ctrl-C', async () => {
    const queue = ownQueue()
    await here('callbacks', 'create', 'Counting', 'count', '--queue', queue, '--max-attempts', '1')
    await here('events', 'post', 'Before')
    const child = start(['events', '--follow', '--status', 'finished,failed'])
    const run = ended(child)
    let text = ''
    child.stdout!.on('data', (chunk) => (text += String(chunk)))
    // Seen only when it has begun to follow.
    await eventually(async () => {
      await here('events', 'post', 'Ready')
      return text.includes('Ready')
    })
    await ready(start(['worker', '--tasks', fixture('tasks.mjs'), '--queues', queue, '--log-level', 'error']))
    const good = await json<EventRow>('events', 'post', 'Counting', '{"to":1}')
    // One after the other: what ended before an event is not among what ended since.
    await eventually(() => text.includes(good._id))
    const bad = await json<EventRow>('events', 'post', 'Counting', '{"to":"many\\u001b[2J"}')
    await eventually(() => text.includes(bad._id))
    child.kill('SIGINT')
    expect(await run).toMatchObject({ code: 130, err: '' })
    const lines = text.trimEnd().split('\n')
    expect(text).not.toContain('Before')
    expect(lines.find((line) => line.includes(good._id))).toMatch(
      /Z {2}finished +\w+ {2}Counting {2}{"to":1} {2}count: 1$/,
    )
    expect(lines.find((line) => line.includes(bad._id))).toMatch(/Z {2}failed +.*\\u001b\[2J.*count: INPUT_INVALID/)
    expect(new Set(lines.map((line) => line.split('  ')[2])).size).toBe(lines.length)
    // What is in the log is not told again when it is gone on with.
    const again = start(['events', 'follow', '--json', '--name', 'Counting', '--since', good._id])
    const answered = ended(again)
    const [first] = (await once(again.stdout!, 'data')) as [Buffer]
    again.kill('SIGINT')
    await answered
    expect(JSON.parse(String(first))).toMatchObject({ _id: bad._id, status: 'failed' })
  })

  test('following ends quietly when its reader has ended', async () => {
    await here('events', 'post', 'Gone')
    const child = start(['events', 'follow', '--since', '2020-01-01', '--name', 'Gone'])
    child.stdout!.destroy()
    expect(await once(child, 'exit')).toEqual([0, null])
  })

  test('following misses and repeats nothing when more events end at once than its window has', async () => {
    const view = new DatabaseView(fleet.fleet)
    fleet.cleanup(() => view.close())
    const events = fleet.database.db.collection('events')
    const end = async (numbers: number[], processedAt: Date): Promise<void> => {
      const docs = numbers.map((number) => ({
        name: 'Many',
        status: 'finished',
        tasks: [],
        props: { number },
        processedAt,
        rev: 1,
      }))
      await events.insertMany(docs)
    }
    const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index)
    const told: number[] = []
    const now = Date.now()
    await end(upTo(0, 12), new Date(now - 3_600_000))
    const filter = { ...ENDED, name: 'Many' }
    const beginning = { processedAt: new Date(now - 7_200_000).toISOString(), ids: new Set<string>() }
    const failed = followEvents(
      view,
      filter,
      beginning,
      ({ props }) => told.push((props as { number: number }).number),
      5,
    )
    failed.catch(() => undefined)
    await eventually(() => told.length === 12)
    await end(upTo(12, 60), new Date(now))
    await eventually(() => told.length === 60)
    // One that was removed makes room for an old one; a late one is stamped before others that were told.
    await events.deleteOne({ 'props.number': 59 })
    await end([61], new Date(now + 5_000))
    await eventually(() => told.includes(61))
    await end([60], new Date(now + 4_500))
    await eventually(() => told.includes(60))
    expect([...told].sort((a, b) => a - b)).toEqual(upTo(0, 62))
    // One whose task was retried ends again.
    await events.updateOne({ 'props.number': 61 }, { $set: { processedAt: new Date(now + 6_000), rev: 2 } })
    await eventually(() => told.filter((number) => number === 61).length === 2)
  })

  test('a queue is limited across the fleet, with an audit entry, and on one worker', async () => {
    const queue = ownQueue()
    expect(await here('queues', 'limit', queue, '3')).toMatchObject({ code: 0, out: `${queue}  at most 3 at once\n` })
    expect((await fleet.fleet.queues.find(queue))?.concurrency).toBe(3)
    expect((await json<QueueRow[]>('queues')).find(({ _id }) => _id === queue)).toMatchObject({ concurrency: 3 })
    expect((await here('queues')).out).toMatch(new RegExp(`^${queue} +0 +0 +0 +3 +no$`, 'm'))
    expect(await here('queues', 'limit', queue, 'none')).toMatchObject({ code: 0, out: `${queue}  no limit\n` })
    expect((await fleet.fleet.queues.find(queue))?.concurrency).toBeUndefined()
    const said = (await fleet.fleet.audit.list({})).filter(({ target }) => target === queue)
    expect(said.map(({ action, reason }) => [action, reason])).toEqual([
      ['queue limit', 'no limit'],
      ['queue limit', 'at most 3 at once'],
    ])
    expect(await here('queues', 'rate', queue, '100/90s')).toMatchObject({
      code: 0,
      out: `${queue}  at most 100 starts per 90s\n`,
    })
    expect((await here('queues')).out).toMatch(new RegExp(`^${queue} +0 +0 +0 +100/90s +no$`, 'm'))
    expect((await here('queues', 'rate', queue, 'none')).out).toBe(`${queue}  no rate\n`)
    for (const rate of ['100', '/1m', '5/', '0/1m', '5/2d', 'x/1m', '1/1m/1m']) {
      expect((await here('queues', 'rate', queue, rate)).code).toBe(2)
    }
    for (const most of ['0', 'many', '20000']) expect((await here('queues', 'limit', queue, most)).code).toBe(2)
    expect(await here('queues', 'depth', queue, '2')).toMatchObject({ code: 0, out: `${queue}  at most 2 waiting\n` })
    expect((await here('queues')).out).toMatch(new RegExp(`^${queue} +0 +0 +0 +2 +no$`, 'm'))
    for (let made = 0; made < 2; made += 1) expect((await here('enqueue', 'nobody', '--queue', queue)).code).toBe(0)
    expect(await here('enqueue', 'nobody', '--queue', queue)).toMatchObject({
      code: 7,
      err: expect.stringMatching(/is full: 2 tasks may wait.*QUEUE_FULL/),
    })
    expect((await here('queues', 'depth', queue, 'none')).out).toBe(`${queue}  default limit of waiting tasks\n`)
    await fleet.fleet.control().cancel({ filter: { queue } })
    expect(parseServedQueues('a:2,b')).toEqual({ names: ['a', 'b'], limits: { a: 2 } })
    for (const text of ['a:', 'a:0', ':2', 'a:2:3']) expect(() => parseServedQueues(text)).toThrow(/a:2/)
    await ready(start(['worker', '--tasks', fixture('tasks.mjs'), '--queues', `${queue}:1`, '--log-level', 'error']))
    for (let made = 0; made < 3; made += 1) await here('enqueue', 'endless', '--queue', queue)
    const running = () => fleet.fleet.tasks.countDocuments({ queue, status: 'running' })
    await eventually(async () => (await running()) === 1)
    const { out } = await here('list', '--status', 'running', '--filter', JSON.stringify({ queue }), '--json')
    expect(JSON.parse(out)).toHaveLength(1)
  })
})
