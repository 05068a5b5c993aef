import type { TaskDocument } from '@taskfleet/core'
import { BulkRuns } from '@taskfleet/core/internal'
import type { BulkRow, CommandAnswer, TaskRow } from '@taskfleet/protocol'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { pino } from 'pino'
import { describe, expect, test } from 'vitest'

const absent = 'f'.repeat(24)

describe('commands that change tasks', () => {
  const { fleet, here, json } = useCli()
  const make = () => taskFactory(fleet.fleet.store)
  const find = async (task: TaskDocument): Promise<TaskDocument> => (await fleet.fleet.store.find(task._id))!
  const id = (task: TaskDocument): string => task._id.toHexString()

  test('pause, resume, cancel and retry print how many were changed, and which were not', async () => {
    const [first, second, done] = await Promise.all([make().pending(), make().pending(), make().completed()])
    const paused = await here('pause', id(first), id(second), id(done), '--reason', 'lunch')
    expect(paused).toEqual({
      code: 7,
      err: '',
      out: `${id(done)}  It has completed (ALREADY_ENDED)\n2 of 3 changed\n`,
    })
    expect((await find(first)).status).toBe('paused')
    expect(await here('pause', id(first))).toMatchObject({ code: 0, out: '0 of 1 changed, 1 already in that state\n' })
    expect(await here('resume', id(first), absent)).toMatchObject({
      code: 6,
      out: `${absent}  not found\n1 of 2 changed\n`,
    })
    expect(await json<CommandAnswer>('resume', id(second))).toEqual({ matched: 1, changed: 1, refused: [] })
    expect(await here('cancel', id(first))).toMatchObject({ code: 0 })
    expect(await here('retry', id(first), id(done))).toMatchObject({
      code: 7,
      out: `${id(done)}  It has completed (ALREADY_COMPLETED)\n1 of 2 changed\n`,
    })
    expect((await find(first)).status).toBe('pending')
    const record = await fleet.fleet.audit.list({ task: first._id })
    expect(record.map(({ action, by }) => `${action} by ${by}`)).toEqual(
      ['retry', 'cancel', 'resume', 'pause'].map((action) => `${action} by local`),
    )
    expect(record.at(-1)).toMatchObject({ reason: 'lunch', changed: 2, matched: 3 })
  })

  test('bulk operations are started, followed to their end and undone', async () => {
    const queue = 'in-bulk'
    await Promise.all(Array.from({ length: 3 }, () => make().pending({ queue } as never)))
    const started = await json<BulkRow>('bulk', 'start', 'cancel', '--filter', '{"queue":"nobody"}')
    expect(started).toMatchObject({ command: 'cancel', state: 'running', matched: 0 })
    expect(await here('bulk', 'stop', started._id)).toMatchObject({
      code: 0,
      out: expect.stringContaining('stopping, 0 of 0 done'),
    })
    const runs = new BulkRuns({ fleet: fleet.fleet, log: pino({ level: 'silent' }), everyMs: 50 })
    await runs.start()
    const ended = await here('bulk', 'start', 'pause', '--filter', JSON.stringify({ queue }), '--wait')
    expect(ended.code).toBe(0)
    expect(ended.out).toMatch(/pause: completed, 3 of 3 done\n3 changed, 0 already in that state, 0 refused\n$/)
    const [newest] = await json<BulkRow[]>('bulk', 'list', '--limit', '1')
    expect(newest).toMatchObject({ command: 'pause', changed: 3 })
    expect((await here('bulk', 'undo', newest!._id)).out).toMatch(/resume: running, 0 of 3 done/)
    await runs.stop()
    expect((await here('bulk', 'list')).out).toMatch(/COMMAND +STATE +DONE/)
    expect(await here('bulk', 'show', absent)).toMatchObject({ code: 6 })
    expect((await here('bulk', 'start', 'remove', '--filter', '{}')).code).toBe(2)
  })

  test('enqueues and edits tasks that wait for others', async () => {
    const [first, second] = await Promise.all([make().pending(), make().pending()])
    const stored = await here('enqueue', 'next', '--after', `${id(first)},${id(second)}`, '--if-failed', 'run')
    const next = stored.out.trim()
    const shown = () => json<TaskRow>('show', next)
    expect(await shown()).toMatchObject({ status: 'blocked', after: [id(first), id(second)], ifFailed: 'run' })
    expect(await here('edit', next, '--after', id(second), '--if-failed', 'wait')).toMatchObject({ code: 0 })
    expect(await shown()).toMatchObject({ status: 'blocked', after: id(second), ifFailed: 'wait' })
    expect(await here('edit', next, '--no-after')).toMatchObject({ code: 0 })
    expect(await shown()).toMatchObject({ status: 'pending' })
    expect(await here('edit', id(second), '--after', id(second))).toMatchObject({
      err: expect.stringContaining('CYCLE'),
    })
  })

  test('changes all matching tasks, after a dry run that changes nothing', async () => {
    const tasks = await Promise.all(Array.from({ length: 3 }, () => make().pending({ queue: 'many' })))
    const filter = ['--filter', '{"queue":"many"}']
    expect(await here('cancel', ...filter, '--dry-run')).toMatchObject({
      code: 0,
      out: '3 match; nothing was changed\n',
    })
    expect(await json('cancel', ...filter, '--dry-run')).toEqual({ matched: 3, changed: 0, refused: [] })
    expect((await find(tasks[0]!)).status).toBe('pending')
    expect(await here('cancel', ...filter)).toMatchObject({ code: 0, out: '3 of 3 changed\n' })
    expect(await here('cancel', ...filter)).toMatchObject({ code: 0, out: '0 of 0 changed\n' })
  })

  test('replays tasks by id, with another input, and prints the new ids', async () => {
    const done = await make().completed({ input: { a: 1 } })
    const again = await here('replay', id(done))
    expect(again).toMatchObject({ code: 0, out: expect.stringMatching(/^[0-9a-f]{24} {2}new\n1 of 1 changed\n$/) })
    const { tasks } = await json<CommandAnswer>('replay', id(done), '--input', '{"a":2}')
    expect(await json<TaskRow>('show', tasks![0]!)).toMatchObject({ input: { a: 2 }, replayOf: id(done) })
    const open = await make().pending()
    expect(await here('replay', id(open), id(done))).toMatchObject({
      code: 7,
      out: expect.stringContaining(
        `${id(open)}  Only an ended task can be replayed; this one is pending (NOT_ENDED)\n`,
      ),
    })
  })

  test('replays a period, by name and by how it ended', async () => {
    const at = async (task: TaskDocument, date: string): Promise<void> => {
      await fleet.fleet.tasks.updateOne({ _id: task._id }, { $set: { finishedAt: new Date(date) } })
    }
    const over = { name: 'nightly' }
    await at(await make().completed(over), '2026-03-01T00:00:00Z')
    await at(await make().completed(over), '2026-03-02T12:00:00Z')
    await at(await make().failed(over), '2026-03-02T13:00:00Z')
    await at(await make().completed({ name: 'other' }), '2026-03-02T13:00:00Z')
    await at(await make().completed(over), '2026-03-03T00:00:00Z')
    const matched = async (...args: string[]): Promise<number> =>
      (await json<CommandAnswer>('replay', '--dry-run', ...args)).matched
    const day = ['--since', '2026-03-02', '--until', '2026-03-03']
    expect(await matched(...day)).toBe(3)
    expect(await matched(...day, '--name', 'nightly')).toBe(2)
    expect(await matched(...day, '--name', 'nightly', '--status', 'failed')).toBe(1)
    expect(await matched(...day, '--filter', '{"name":"other"}')).toBe(1)
    expect(await matched('--since', '2026-03-02', '--name', 'nightly')).toBe(3)
    expect(await matched('--until', '2026-03-02', '--name', 'nightly')).toBe(1)
    const made = await json<CommandAnswer>('replay', ...day, '--name', 'nightly', '--status', 'completed,failed')
    expect([made.changed, made.tasks?.length]).toEqual([2, 2])
  })

  test('reprioritises waiting tasks and moves them to the front or the back', async () => {
    const queue = 'order'
    const tasks = await Promise.all([make().pending({ queue }), make().pending({ queue }), make().running({ queue })])
    const [first, second, running] = tasks as [TaskDocument, TaskDocument, TaskDocument]
    expect(await here('reprioritise', id(first), '--priority', 'high')).toMatchObject({ code: 0 })
    expect((await find(first)).priority).toBe(8)
    const all = await here('reprioritise', '--filter', '{"queue":"order"}', '--priority', '3', '--back')
    expect(all).toMatchObject({ code: 0, out: '2 of 2 changed\n' })
    expect(await here('reprioritise', id(second), '--front')).toMatchObject({ code: 0 })
    const [front, back] = [await find(second), await find(first)]
    expect(front.order.getTime()).toBeLessThan(back.order.getTime())
    expect(await here('reprioritise', id(running), '--priority', '9')).toMatchObject({
      code: 7,
      out: `${id(running)}  It is running (NOT_WAITING)\n0 of 1 changed\n`,
    })
  })

  test('edits a waiting task, only at its known revision', async () => {
    const task = await make().pending({ deadline: new Date('2098-01-01') })
    const changed = await here(
      ...['edit', id(task), '--run-at', '2099-01-01', '--no-deadline', '--queue', 'later', '--lazy'],
      ...['--input', '{"x":1}', '--max-attempts', '7', '--priority', 'low', '--rev', String(task.rev)],
    )
    expect(changed).toEqual({ code: 0, err: '', out: `${id(task)}  changed, now at revision ${task.rev + 1}\n` })
    const now = await find(task)
    expect(now).toMatchObject({ queue: 'later', lazy: true, input: { x: 1 }, maxAttempts: 7, priority: 2 })
    expect([now.runAt.toISOString(), now.deadline]).toEqual(['2099-01-01T00:00:00.000Z', undefined])
    expect(await here('edit', id(task), '--no-lazy', '--rev', String(task.rev))).toMatchObject({
      code: 7,
      err: expect.stringContaining('REV_CONFLICT'),
    })
    const row = await json<TaskRow>('edit', id(task), '--no-lazy', '--deadline', '2098-02-01')
    expect(row).toMatchObject({ lazy: false, deadline: '2098-02-01T00:00:00.000Z', priority: 2 })
    const running = await make().running()
    expect(await here('edit', id(running), '--queue', 'x')).toMatchObject({
      code: 7,
      err: expect.stringContaining('NOT_WAITING'),
    })
    expect(await here('edit', absent, '--queue', 'x')).toMatchObject({ code: 6 })
  })

  test('enqueue follows --key-policy, and debounces and throttles', async () => {
    const first = await json<TaskRow>('enqueue', 'x', '{"n":1}', '--key', 'k', '--max-attempts', '2')
    expect(first.maxAttempts).toBe(2)
    expect((await here('enqueue', 'x', '--key', 'k')).code).toBe(7)
    expect((await json<TaskRow>('enqueue', 'x', '--key', 'k', '--key-policy', 'return'))._id).toBe(first._id)
    const other = await json<TaskRow>('enqueue', 'x', '{"n":2}', '--key', 'k', '--key-policy', 'replace')
    expect(other).toMatchObject({ _id: first._id, input: { n: 2 } })
    const late = await json<TaskRow>('enqueue', 'x', '--key', 'late', '--debounce', '1h')
    expect(Date.parse(late.runAt) - Date.parse(late.createdAt)).toBe(3_600_000)
    const once = await json<TaskRow>('enqueue', 'x', '--key', 'once', '--throttle', '1h')
    expect((await json<TaskRow>('enqueue', 'x', '--key', 'once', '--throttle', '1h'))._id).toBe(once._id)
  })

  test('reports wrong usage before anything is changed', async () => {
    const cases: [string[], RegExp][] = [
      [['pause'], /BAD_FILTER/],
      [['pause', absent, '--filter', '{}'], /BAD_FILTER/],
      [['retry', 'nonsense'], /BAD_ID/],
      [['resume', '--filter', '{"$where":"1"}'], /BAD_FILTER/],
      [['cancel', '--filter', '[]'], /BAD_/],
      [['replay', absent, '--since', '2026-01-01'], /BAD_FILTER/],
      [['replay', '--since', 'yesterday'], /BAD_DATE/],
      [['replay', '--status', 'running', '--since', '2026-01-01'], /--status.*completed, failed, cancelled/],
      [['replay', '--filter', '{}', '--input', '{}'], /BAD_REQUEST/],
      [['replay', absent, '--input', '{'], /BAD_JSON/],
      [['reprioritise', absent], /BAD_REQUEST/],
      [['reprioritise', absent, '--priority', '11'], /OUT_OF_RANGE/],
      [['reprioritise', absent, '--front', '--back'], /cannot be used with/],
      [['edit', absent], /BAD_REQUEST/],
      [['edit', absent, '--run-at', 'soon'], /BAD_DATE/],
      [['edit', absent, '--max-attempts', '99'], /OUT_OF_RANGE/],
      [['edit', absent, '--queu', 'x'], /unknown option '--queu'[\s\S]*--queue/],
      [['enqueue', 'x', '--key-policy', 'shrug', '--key', 'k'], /--key-policy/],
      [['enqueue', 'x', '--debounce', '5s'], /'debounce' needs a 'key'.*BAD_VALUE/],
      [['enqueue', 'x', '--key', 'k', '--throttle', 'often'], /--throttle.*duration/],
    ]
    for (const [args, message] of cases) {
      const { code, out, err } = await here(...args)
      expect([args.join(' '), code, out]).toEqual([args.join(' '), 2, ''])
      expect(err).toMatch(message)
    }
  })
})
