import type { ScheduleRow, TaskRow } from '@taskfleet/protocol'
import { useCli } from '@taskfleet/testkit/fleet/test-cli'
import { describe, expect, test } from 'vitest'

describe('schedules', () => {
  const { fleet, here, json } = useCli()

  test('control and direction characters in stored texts are escaped', async () => {
    const evil = 'evil\u001b]0;title\u0007\u001b[2J\r\u202etxt\u009b31m'
    await here('schedules', 'create', 'plain', '30 3 * * *', 'report')
    const { db } = fleet.database
    const schedule = await db.collection<{ _id: string }>('schedules').findOne({ _id: 'plain' })
    await db
      .collection<{ _id: string }>('schedules')
      .insertOne({ ...schedule!, _id: evil, task: evil, options: { queue: evil }, pauseReason: evil } as never)
    await fleet.fleet.as().keys.create({ name: evil, scopes: ['read'] })
    await fleet.fleet.audit.record({
      by: evil,
      action: evil,
      target: evil,
      matched: 1,
      changed: 1,
      reason: evil,
    } as never)
    const commands = ['schedules', 'keys', 'audit', 'queues', 'workers', 'errors', 'events', 'callbacks', 'coverage']
    const shown: string[] = []
    for (const command of [
      ...commands.map((one) => [one]),
      ['schedules', 'show', evil],
      ['schedules', 'pause', evil],
    ]) {
      for (const answer of [await here(...command), await here(...command, '--json')]) {
        shown.push(answer.out)
        expect(`${answer.out}${answer.err}`.replace(/[\n\t]/g, '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
      }
    }
    expect(shown.join('').match(/evil\\u(\{1b\}|001b)/g)!.length).toBeGreaterThan(8)
    await db.collection<{ _id: string }>('schedules').deleteMany({})
    await db.collection('keys').deleteMany({})
  })

  test('one is made, listed, shown, changed, paused, resumed, run and removed', async () => {
    const made = await json<ScheduleRow>(
      ...['schedules', 'create', 'nightly', '30 3 * * *', 'report', '{"kind":"daily"}', '--time-zone', 'Europe/Berlin'],
      ...['--queue', 'reports', '--priority', 'high', '--lazy', '--max-attempts', '2', '--deadline-after', '2h'],
      ...['--missed', 'skip', '--overlap', 'skip', '--task-version', '3', '--ends-at', '2099-01-01'],
    )
    expect(made).toMatchObject({
      _id: 'nightly',
      task: 'report',
      version: 3,
      input: { kind: 'daily' },
      options: { queue: 'reports', priority: 8, lazy: true, maxAttempts: 2, deadlineAfter: 7_200_000 },
      cron: '30 3 * * *',
      timeZone: 'Europe/Berlin',
      endsAt: '2099-01-01T00:00:00.000Z',
      missed: 'skip',
      overlap: 'skip',
    })
    expect((await here('schedules')).out).toMatch(
      new RegExp(`^nightly +30 3 \\* \\* \\* +Europe/Berlin +report@3 +reports +${made.nextAt}$`, 'm'),
    )
    const edited = await json<ScheduleRow>(
      'schedules',
      'edit',
      'nightly',
      '--no-lazy',
      '--ends-at',
      'none',
      '--edition',
      '1',
    )
    expect(edited).toMatchObject({ options: { queue: 'reports', lazy: false, maxAttempts: 2 }, edition: 2 })
    expect(edited).not.toHaveProperty('endsAt')
    expect(await here('schedules', 'edit', 'nightly', '--queue', 'x', '--edition', '1')).toMatchObject({ code: 7 })
    expect(await here('schedules', 'pause', 'nightly', '--reason', 'x')).toMatchObject({
      code: 0,
      out: 'nightly  paused\n',
    })
    const run = await here('schedules', 'run', 'nightly')
    const [task] = await json<TaskRow[]>('list', '--filter', '{"schedule":"nightly"}')
    expect([run.out, task?.queue]).toEqual([`${task?._id}\n`, 'reports'])
    expect(await here('schedules', 'resume', 'nightly')).toMatchObject({ code: 0, out: `nightly  ${edited.nextAt}\n` })
    expect(await json('schedules', 'show', 'nightly')).toMatchObject({ lastTask: task?._id, input: { kind: 'daily' } })
    const moved = await json<ScheduleRow>('schedules', 'edit', 'nightly', '--every', '15m', '--input', '[1]')
    expect(moved).toMatchObject({ every: 900_000, input: [1] })
    expect((await here('schedules', 'list')).out).toContain('every 15m')
    expect(await here('schedules', 'remove', 'nightly')).toMatchObject({ code: 0, out: 'nightly  removed\n' })
    expect(await here('schedules', 'show', 'nightly')).toMatchObject({ code: 6 })
    expect(await json('schedules')).toEqual([])
  })

  test('by a period, and paused from the beginning', async () => {
    const args = ['schedules', 'create', 'often', '--every', '90s', 'tick', '--starts-at', '2090-01-01', '--paused']
    expect(await here(...args)).toMatchObject({ code: 0, out: 'often  paused\n' })
    expect(await here(...args)).toMatchObject({ code: 0 })
    expect(await here(...args, '--queue', 'other')).toMatchObject({ code: 7 })
    expect(await here('schedules', 'resume', 'often')).toMatchObject({ out: 'often  2090-01-01T00:00:00.000Z\n' })
  })

  test('a preview shows the next times, also in a time zone', async () => {
    const timing = ['30 2 * * *', '--time-zone', 'Europe/Berlin', '--starts-at', '2097-03-30', '--count', '2']
    expect(await json('schedules', 'preview', ...timing)).toEqual([
      '2097-03-30T01:30:00.000Z',
      '2097-03-31T01:00:00.000Z',
    ])
    const { out } = await here('schedules', 'preview', ...timing)
    expect(out).toMatch(/^2097-03-30T01:30:00.000Z {2}Sat, 30 Mar 2097, 02:30:00 /)
    expect(await json('schedules', 'preview', '--every', '1h')).toHaveLength(5)
  })

  test.each([
    [['create', 'x', '* * * *', 'task']],
    [['create', 'x', '0 25 * * *', 'task']],
    [['create', 'x', '* * * * *']],
    [['create', 'x', '* * * * *', 'task', '{']],
    [['create', 'x', '--every', '1m', 'task', '{}', 'more']],
    [['create', 'x', '--every', '1', 'task']],
    [['create', 'x', '--every', '10ms', 'task']],
    [['create', 'x', '* * * * *', 'task', '--time-zone', 'Mars']],
    [['create', 'x', '* * * * *', 'task', '--missed', 'some']],
    [['create', '../x', '* * * * *', 'task']],
    [['edit', 'often']],
    [['preview', '0 0 30 2 *']],
    [['preview']],
  ])('%j is used wrongly', async (args) => {
    expect(await here('schedules', ...args)).toMatchObject({ code: 2, out: '' })
  })
})
