import { once } from 'node:events'
import { parseId, type TaskError } from '@taskfleet/core/internal'
import type { AuditEntry, CoverageRow, ErrorRow, StoredLogLine, TaskRow } from '@taskfleet/protocol'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'

const absent = 'f'.repeat(24)
const at = '2026-05-01T00:00:00.000Z'

describe('commands that report', () => {
  const { fleet, here, json, start, ended } = useCli()
  const make = () => taskFactory(fleet.fleet.store)
  const line = (seq: number, message: string): StoredLogLine & { lease: string } => ({
    ...{ seq, at, level: 'info', message, attempt: 1, lease: 'l' },
  })

  test('explain describes why a task does not run', async () => {
    const paused = await make().paused()
    const later = await make().pending({ runAt: new Date('2099-01-01') })
    expect(await here('explain', paused._id.toHexString())).toEqual({
      code: 0,
      err: '',
      out: 'It is paused until it is resumed\n',
    })
    const { out } = await here('explain', later._id.toHexString())
    expect(out).toContain('It is scheduled for 2099-01-01T00:00:00.000Z\n')
    expect(out).toContain('No live worker can run test@1\n')
    expect(await json('explain', paused._id.toHexString())).toMatchObject({
      willRun: false,
      reasons: [{ code: 'PAUSED' }],
    })
    expect((await here('explain', absent)).code).toBe(6)
  })

  test('status lists what needs somebody, and ends with 1 as long as anything does', async () => {
    await fleet.fleet.tasks.deleteMany({})
    expect(await here('status')).toMatchObject({ code: 0, out: 'All is well\n' })
    await make().pending({ name: 'orphan\u001b[31m' })
    const open = await here('status')
    expect(open.code).toBe(1)
    expect(open.out).toMatch(
      /^URGENCY +SINCE +WHAT +WHY\nnow +20\S+Z +orphan\\u\{1b\}\[31m@1 +1 due task waits, and no worker serves/,
    )
    const { code, out } = await here('status', '--json')
    expect(code).toBe(1)
    expect(JSON.parse(out)).toMatchObject([{ kind: 'unserved', urgency: 'now', queue: 'default', count: 1 }])
    await fleet.fleet.tasks.deleteMany({})
  })

  test('coverage ends with 1 as long as no worker serves a due task', async () => {
    await fleet.fleet.tasks.deleteMany({})
    expect(await here('coverage')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^TASK +QUEUE +WAITING +DUE.*\n$/),
    })
    const dated = await make().pending({ name: 'scripted', runAt: new Date('2099-01-01') })
    expect((await here('coverage')).code).toBe(0)
    await make().pending({ name: 'scripted', queue: 'elsewhere' })
    const open = await here('coverage')
    expect([open.code, open.out]).toEqual([1, expect.stringMatching(/^scripted@1 +elsewhere +1 +1 +0 .*NOBODY$/m)])
    const text = await here('coverage', '--json')
    expect(text.code).toBe(1)
    expect(JSON.parse(text.out)).toMatchObject([
      { queue: 'default', name: 'scripted', waiting: 1, due: 0, served: false },
      { queue: 'elsewhere', name: 'scripted', waiting: 1, due: 1, served: false },
    ])
    const covered = await make().pending({ name: 'scripted', queue: 'covered', runAt: new Date('2099-01-01') })
    await fleet.runner({ queue: 'covered', name: 'able' })
    await fleet.fleet.tasks.deleteMany({ queue: 'elsewhere' })
    const rows = await json<CoverageRow[]>('coverage')
    expect(rows).toMatchObject([
      { queue: 'default', served: false },
      { queue: 'covered', served: true, workers: ['able'] },
    ])
    expect((await here('coverage')).out).toMatch(/^scripted@1 +covered .*able$/m)
    for (const { _id } of [dated, covered]) await fleet.fleet.store.cancel(_id, 'test')
  })

  test('log prints the stored lines, by attempt, up to the limit', async () => {
    const task = await make().completed()
    const evil = 'a\u001b[31mred\u202e'
    await fleet.fleet.logs.append([
      { task: task._id, attempt: 1, lease: 'l', lines: [line(1, 'first'), line(2, evil)] },
      { task: task._id, attempt: 2, lease: 'm', lines: [line(1, 'second time')] },
    ])
    const id = task._id.toHexString()
    expect((await here('log', id)).out).toBe(
      `${at}  1  info   first\n${at}  1  info   a\\u{1b}[31mred\\u{202e}\n${at}  2  info   second time\n`,
    )
    const lines = await json<StoredLogLine[]>('log', id, '--attempt', '1', '--limit', '1')
    expect(lines).toMatchObject([{ attempt: 1, seq: 2, message: evil }])
    expect((await here('log', absent)).code).toBe(6)
    expect((await here('log', id, '--limit', '9999')).code).toBe(2)
  })

  test('log --follow goes on until the task has ended, and misses no line', async () => {
    await fleet.runner({ queue: 'followed' })
    const steps = Array.from({ length: 3 }, (_, n) => [
      { do: 'log' as const, message: `line ${n}` },
      { do: 'sleep' as const, ms: 700 },
    ]).flat()
    const task = await fleet.post([...steps, { do: 'log', message: 'last' }], { queue: 'followed' })
    const [text, rows] = await Promise.all([
      ended(start(['log', task._id.toHexString(), '--follow'])),
      ended(start(['log', task._id.toHexString(), '--follow', '--json'])),
    ])
    expect([text.code, text.err]).toEqual([0, ''])
    const messages = text.out.trimEnd().split('\n')
    expect(messages.map((one) => one.split('info   ')[1])).toEqual(['line 0', 'line 1', 'line 2', 'last'])
    const parsed = rows.out
      .trimEnd()
      .split('\n')
      .map((one) => JSON.parse(one) as StoredLogLine)
    expect(parsed.map(({ seq }) => seq)).toEqual([1, 2, 3, 4])
  })

  test('log --follow ends by Ctrl-C', async () => {
    const task = await make().pending()
    await fleet.fleet.logs.append([{ task: task._id, attempt: 1, lease: 'l', lines: [line(1, 'said')] }])
    const child = start(['log', task._id.toHexString(), '--follow'])
    const exit = ended(child)
    await once(child.stdout!, 'data')
    child.kill('SIGINT')
    expect((await exit).code).toBe(130)
  })

  test('audit shows who did what, to one task or to all', async () => {
    const task = await make().pending({ queue: 'audited' })
    const id = task._id.toHexString()
    await here('pause', id, '--reason', 'a\u001b[2J')
    await here('cancel', '--filter', '{"queue":"audited"}')
    const entries = await json<AuditEntry[]>('audit', id)
    expect(entries.map(({ action }) => action)).toEqual(['cancel', 'pause'])
    const { out } = await here('audit', '--limit', '2')
    expect(out.trimEnd().split('\n')).toHaveLength(3)
    expect(out).toMatch(new RegExp(`^2.*Z  local  pause +1 of 1 +${id} +a\\\\u\\{1b\\}\\[2J$`, 'm'))
    expect(out).toMatch(/^2.*Z {2}local {2}cancel +1 of 1 +\{"queue":"audited"\}$/m)
    expect((await here('audit', absent)).code).toBe(6)
  })

  test('errors are listed, shown, resolved, ignored for a time and reopened', async () => {
    const fault = (fingerprint: string, message: string): TaskError => ({
      ...{ code: 'DISK_FULL', name: 'Error', message, fingerprint, stack: 'Error: full\n  at here\u001b[2J' },
    })
    const failed = (fingerprint: string, message: string, task = 'store') =>
      fleet.fleet.errors.record({
        ...{ error: fault(fingerprint, message), name: task, version: 1, host: 'h', task: parseId('a'.repeat(24)) },
      })
    await Promise.all([
      failed('aaaa', 'The disk\nis full'),
      failed('aaaa', 'The disk\nis full'),
      failed('bbbb', 'Other'),
    ])
    const { out } = await here('errors')
    expect(out).toMatch(/^FINGERPRINT +STATE +COUNT +LAST SEEN +TASKS +MESSAGE$/m)
    expect(out).toMatch(/^aaaa +open +2 +2\S+Z +store +The disk is full$/m)
    expect(await json<ErrorRow[]>('errors')).toHaveLength(2)
    expect(await json<ErrorRow[]>('errors', 'list', '--limit', '1')).toHaveLength(1)
    const shown = await here('errors', 'show', 'aaaa')
    expect(shown.out).toMatch(/^count +2$/m)
    expect(shown.out).toContain('  at here\\u{1b}[2J\n')
    expect(await json('errors', 'show', 'aaaa')).toMatchObject({ _id: 'aaaa', count: 2 })
    expect(await here('errors', 'resolve', 'aaaa')).toMatchObject({ code: 0, out: 'aaaa  resolved\n' })
    expect(await json<ErrorRow[]>('errors', '--state', 'resolved')).toMatchObject([{ _id: 'aaaa' }])
    const ignored = await json<ErrorRow>('errors', 'ignore', 'bbbb', '--for', '7d')
    const days = (Date.parse(ignored.ignoredUntil!) - Date.parse(ignored.marked!.at)) / 86_400_000
    expect(days).toBeCloseTo(7, 2)
    expect((await here('errors', 'ignore', 'bbbb', '--until', '2099-01-01')).out).toBe(
      'bbbb  ignored until 2099-01-01T00:00:00.000Z\n',
    )
    expect((await here('errors', 'reopen', 'aaaa')).out).toBe('aaaa  open\n')
    for (const args of [['show'], ['resolve'], ['retry'], ['replay']]) {
      expect(await here('errors', ...args, 'cccc')).toMatchObject({ code: 6, err: expect.stringContaining('cccc') })
    }
    expect((await here('errors', 'ignore', 'aaaa', '--for', '7d', '--until', '2099-01-01')).code).toBe(2)
    expect((await here('errors', '--state', 'gone')).code).toBe(2)
    expect((await here('errors', 'shwo')).code).toBe(2)
  })

  test('all tasks that failed with an error are retried or replayed at once', async () => {
    await fleet.runner({ queue: 'broken' })
    const steps = [{ do: 'fail', times: 1, code: 'BROKEN', fatal: true } as const]
    const tasks = await Promise.all([fleet.post(steps, { queue: 'broken' }), fleet.post(steps, { queue: 'broken' })])
    const [first] = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
    const { fingerprint } = first!.error!
    expect(await fleet.until(first!._id, ({ status }) => status === 'failed')).toBeTruthy()
    const dry = await here('errors', 'retry', fingerprint, '--dry-run')
    expect(dry).toMatchObject({ code: 0, out: '2 match; nothing was changed\n' })
    const replayed = await json<{ changed: number; tasks: string[] }>('errors', 'replay', fingerprint)
    expect([replayed.changed, replayed.tasks.length]).toEqual([2, 2])
    expect(await json<TaskRow>('show', replayed.tasks[0]!)).toMatchObject({ queue: 'broken', name: 'scripted' })
    expect(await here('errors', 'retry', fingerprint)).toMatchObject({ code: 0 })
    for (const { _id } of tasks)
      expect((await fleet.until(_id, ({ attempt, status }) => attempt === 2 && status !== 'running')).status).toBe(
        'completed',
      )
  })
})
