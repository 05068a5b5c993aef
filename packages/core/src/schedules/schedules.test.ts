import { testClaimant } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { beforeEach, describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import { Outcome } from '../task/task-store.ts'
import type { ScheduleDocument } from './schedule-document.ts'
import { Schedules } from './schedules.ts'

const held = useDatabase()
let made: Fleet | undefined
const fleet = (): Fleet => {
  made ??= new Fleet(held.database)
  return made
}
const commands = () => fleet().schedulesFor()
let names = 0
let name = ''
beforeEach(() => {
  names += 1
  name = `schedule-${names}`
})

const start = new Date('2027-01-01T00:00:30Z')
const at = (text: string): Date => new Date(`2027-01-01T${text}Z`)
/** Schedules with a given time. */
const seenAt = (now: Date): Schedules =>
  new Schedules({ db: held.database.db, store: fleet().store, audit: fleet().audit, now: () => now })
const tasks = () => fleet().tasks.find({ schedule: name }).sort({ runAt: 1 }).toArray()
const slots = async (): Promise<string[]> => (await tasks()).map(({ runAt }) => runAt.toISOString().slice(11, 19))
/** Does what a worker does with all due schedules at a given time. */
const look = async (now: Date): Promise<boolean[]> => {
  const schedules = seenAt(now)
  const { due } = await schedules.due()
  return Promise.all(
    due.filter(({ _id }) => _id === name).map(async (schedule) => schedules.advance(await schedules.fire(schedule))),
  )
}
const create = (over: object = {}): Promise<ScheduleDocument> =>
  seenAt(start).create({ _id: name, task: 'tick', cron: '* * * * *', ...over }, 'me')
const now = (): Promise<ScheduleDocument> => fleet().schedules.find(name)

describe('a schedule', () => {
  test('is made, shown, listed, changed and removed, with audit entries', async () => {
    const created = await commands().create({
      _id: name,
      task: 'report',
      input: { kind: 'daily' },
      options: { queue: 'reports', priority: 'high', deadlineAfter: '2h' },
      cron: ' 30  6 * * MON-FRI ',
      timeZone: 'Europe/Berlin',
    })
    expect(created).toMatchObject({
      _id: name,
      task: 'report',
      version: 1,
      input: { kind: 'daily' },
      options: { queue: 'reports', priority: 8, deadlineAfter: 7_200_000 },
      cron: '30 6 * * MON-FRI',
      timeZone: 'Europe/Berlin',
      missed: 'latest',
      overlap: 'allow',
      paused: false,
      by: 'local',
      edition: 1,
      rev: 1,
    })
    expect(await commands().show(name)).toEqual(created)
    const { input, ...row } = created
    expect(await commands().list()).toContainEqual(row)
    const changed = await commands().edit(
      name,
      { options: { priority: null, lazy: true }, input: { kind: 'weekly' } },
      1,
    )
    expect(changed).toMatchObject({ options: { queue: 'reports', lazy: true, deadlineAfter: 7_200_000 }, edition: 2 })
    expect(changed.options).not.toHaveProperty('priority')
    expect(changed.nextAt).toBe(created.nextAt)
    await expect(commands().edit(name, { paused: true }, 1)).rejects.toMatchObject({ code: 'REV_CONFLICT' })
    await commands().remove(name)
    await expect(commands().show(name)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    const said = (await fleet().audit.list({ limit: 20 })).filter(({ target }) => target === name)
    expect(said.map(({ action }) => action).reverse()).toEqual(['schedule create', 'schedule edit', 'schedule remove'])
  })

  test('made twice with the same settings is one; with different ones it is rejected', async () => {
    const every = { _id: name, task: 'tick', every: '15m' } as const
    const first = await commands().create(every)
    expect(await commands().create(every)).toEqual(first)
    await expect(commands().create({ ...every, every: '20m' })).rejects.toMatchObject({ code: 'SCHEDULE_EXISTS' })
  })

  test('by period is counted from when it was made, and cron and period replace each other', async () => {
    const created = await create({ cron: undefined, every: '15m' })
    expect(created).toMatchObject({ every: 900_000, startsAt: start, nextAt: at('00:15:30') })
    const changed = await seenAt(start).edit(created, { cron: '0 3 * * *', startsAt: null }, 'you')
    expect(changed).toMatchObject({ cron: '0 3 * * *', nextAt: at('03:00:00'), by: 'you' })
    expect(changed).not.toHaveProperty('every')
    expect(changed).not.toHaveProperty('startsAt')
  })

  test('takes a task by its definition, whose input is checked', async () => {
    const double = {
      name: 'double',
      version: 3,
      defaults: { maxAttempts: 2 },
      input: {
        '~standard': {
          version: 1,
          vendor: 'test',
          validate: (value: unknown) =>
            typeof (value as { n?: unknown }).n === 'number'
              ? { value: value as { n: number } }
              : { issues: [{ message: 'a number', path: ['n'] }] },
          types: undefined as unknown as { input: { n: number }; output: { n: number } },
        },
      },
    } as const
    const created = await commands().create({ _id: name, task: double, input: { n: 1 }, every: '1h' })
    expect(created).toMatchObject({ task: 'double', version: 3, options: { maxAttempts: 2 } })
    // @ts-expect-error the type of the input is known
    const wrong = commands().create({ _id: `${name}b`, task: double, input: { n: 'one' }, every: '1h' })
    await expect(wrong).rejects.toMatchObject({ code: 'INPUT_INVALID', field: 'input.n' })
  })

  test.each([
    [{ _id: '../x' }, 'BAD_NAME', '_id'],
    [{ _id: 'preview' }, 'BAD_NAME', '_id'],
    [{ task: '' }, 'BAD_NAME', 'task'],
    [{ odd: 1 }, 'UNKNOWN_FIELD', 'odd'],
    [{ options: { status: 'x' } }, 'UNKNOWN_FIELD', 'status'],
    [{ options: { queue: ' ' } }, 'BAD_QUEUE', 'options.queue'],
    [{ options: { priority: 11 } }, 'OUT_OF_RANGE', 'options.priority'],
    [{ options: { deadlineAfter: 'soon' } }, 'OUT_OF_RANGE', 'options.deadlineAfter'],
    [{ input: { $where: 1 } }, 'BAD_INPUT', 'input.$where'],
    [{ cron: '61 * * * *' }, 'BAD_CRON', 'cron'],
    [{ cron: '* * * *' }, 'BAD_CRON', 'cron'],
    [{ cron: '@daily' }, 'BAD_CRON', 'cron'],
    [{ cron: '2027-01-01T00:00:00' }, 'BAD_CRON', 'cron'],
    [{ cron: '0 0 30 2 *' }, 'BAD_CRON', 'cron'],
    [{ cron: `${'1,'.repeat(200)}1 * * * *` }, 'BAD_CRON', 'cron'],
    [{ cron: 5 }, 'BAD_CRON', 'cron'],
    [{ every: '15m' }, 'BAD_REQUEST', 'cron'],
    [{ cron: undefined }, 'BAD_REQUEST', 'cron'],
    [{ cron: undefined, every: '500ms' }, 'BAD_EVERY', 'every'],
    [{ cron: undefined, every: '15 minutes' }, 'BAD_EVERY', 'every'],
    [{ cron: undefined, every: Number.NaN }, 'BAD_EVERY', 'every'],
    [{ timeZone: 'Mars/Olympus' }, 'BAD_TIME_ZONE', 'timeZone'],
    [{ timeZone: '+05:00' }, 'BAD_TIME_ZONE', 'timeZone'],
    [{ timeZone: 7 }, 'BAD_TIME_ZONE', 'timeZone'],
    [{ startsAt: 'tomorrow' }, 'BAD_DATE', 'startsAt'],
    [{ startsAt: '2028-01-01', endsAt: '2027-06-01' }, 'BAD_VALUE', 'endsAt'],
    [{ endsAt: '2026-01-01' }, 'BAD_VALUE', 'endsAt'],
    [{ missed: 'some' }, 'BAD_VALUE', 'missed'],
    [{ overlap: 'maybe' }, 'BAD_VALUE', 'overlap'],
    [{ missed: 'all', overlap: 'skip' }, 'BAD_VALUE', 'missed'],
    [{ paused: 'no' }, 'BAD_VALUE', 'paused'],
  ])('%j is refused with %s and the place', async (over, code, field) => {
    await expect(create(over)).rejects.toMatchObject({ code, field })
    await expect(now()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('with an invalid cron gets an error with the field and its allowed values', async () => {
    await expect(create({ cron: '0 25 * * *' })).rejects.toThrow(
      "'25', the 2nd field of the cron, is not a valid hour: allowed are 0-23",
    )
    await expect(create({ cron: '0 0 0 1 13 *' })).rejects.toThrow(
      "'13', the 5th field of the cron, is not a valid month",
    )
  })

  test('previews its slots without being made', async () => {
    const preview = await commands().preview({ cron: '0 0 1 1 *', timeZone: 'Asia/Kathmandu' }, 3)
    expect(preview.map((slot) => slot.slice(4))).toEqual(Array(3).fill('-12-31T18:15:00.000Z'))
  })
})

describe('a due slot', () => {
  test("makes one task with the schedule's settings, and moves the schedule on", async () => {
    const options = { queue: 'q', priority: 9, lazy: true, maxAttempts: 2, deadlineAfter: '10m' }
    await create({ version: 4, input: { a: { b: 1 } }, options })
    expect(await look(at('00:00:59.999'))).toEqual([])
    expect(await look(at('00:01:00'))).toEqual([true])
    const [task] = await tasks()
    expect(task).toMatchObject({
      name: 'tick',
      version: 4,
      input: { a: { b: 1 } },
      queue: 'q',
      priority: 9,
      lazy: true,
      maxAttempts: 2,
      status: 'pending',
      runAt: at('00:01:00'),
      deadline: at('00:11:00'),
      schedule: name,
    })
    expect(await now()).toMatchObject({
      nextAt: at('00:02:00'),
      lastSlot: at('00:01:00'),
      lastTask: task!._id,
      edition: 1,
      rev: 2,
    })
    expect(task!._id.getTimestamp()).toEqual(at('00:01:00'))
  })

  test('has one task, even if many processes see it at once', async () => {
    await create()
    const looks = await Promise.all(Array.from({ length: 8 }, () => look(at('00:01:00.010'))))
    expect(looks.flat().filter(Boolean)).toHaveLength(1)
    expect(await slots()).toEqual(['00:01:00'])
  })

  test('has one task, even if a process dies before the schedule has moved on', async () => {
    await create()
    const dying = seenAt(at('00:01:00'))
    await dying.fire((await dying.due()).due.find(({ _id }) => _id === name)!)
    expect(await look(at('00:01:05'))).toEqual([true])
    expect(await slots()).toEqual(['00:01:00'])
    expect((await now()).lastTask).toEqual((await tasks())[0]!._id)
  })

  test('is not run again by a process that was suspended before the schedule moved on', async () => {
    await create()
    const asleep = seenAt(at('00:01:00'))
    const seen = (await asleep.due()).due.find(({ _id }) => _id === name)!
    for (const text of ['00:01:00', '00:02:00', '00:03:00']) await look(at(text))
    expect(await asleep.advance(await asleep.fire(seen))).toBe(false)
    expect(await slots()).toEqual(['00:01:00', '00:02:00', '00:03:00'])
  })

  test('of a new schedule with the same name has its own task', async () => {
    const first = await create()
    await look(at('00:01:00'))
    await fleet().schedules.remove(first)
    const later = seenAt(at('00:00:31'))
    await later.create({ _id: name, task: 'tock', cron: '* * * * *' }, 'me')
    await look(at('00:01:00'))
    expect((await tasks()).map((task) => task.name).sort()).toEqual(['tick', 'tock'])
  })

  test('that has a task from before an edit gets no second one after it', async () => {
    await create()
    const early = seenAt(at('00:01:00'))
    const firing = await early.fire((await early.due()).due.find(({ _id }) => _id === name)!)
    await early.edit(await now(), { input: { after: true } }, 'me')
    expect(await early.advance(firing)).toBe(false)
    expect(await look(at('00:01:01'))).toEqual([true])
    expect(await tasks()).toMatchObject([{ input: {} }])
    expect(await now()).toMatchObject({ nextAt: at('00:02:00') })
  })
})

describe('after a time without workers', () => {
  test('latest makes one task, for the last slot', async () => {
    await create()
    await look(at('03:00:10'))
    expect(await slots()).toEqual(['03:00:00'])
    expect(await now()).toMatchObject({
      nextAt: at('03:01:00'),
      lastSkipped: { slot: at('02:59:00'), reason: 'MISSED' },
    })
  })

  test('skip makes no task for missed slots, and the next one in time', async () => {
    await create({ missed: 'skip', cron: '*/10 * * * *' })
    await look(at('03:05:00'))
    expect(await slots()).toEqual([])
    expect(await now()).toMatchObject({
      nextAt: at('03:10:00'),
      lastSkipped: { slot: at('03:00:00'), reason: 'MISSED' },
    })
    expect(await now()).not.toHaveProperty('lastSlot')
    // The worker was only slow.
    await look(at('03:10:20'))
    expect(await slots()).toEqual(['03:10:00'])
  })

  test('all makes a task for each', async () => {
    await create({ missed: 'all' })
    await look(at('00:04:30'))
    expect(await slots()).toEqual(['00:01:00', '00:02:00', '00:03:00', '00:04:00'])
    expect(await now()).not.toHaveProperty('lastSkipped')
  })

  test('all makes the latest hundred, and the audit log says once what was dropped', async () => {
    await create({ missed: 'all' })
    await Promise.all([look(at('02:00:00')), look(at('02:00:00'))])
    const ran = await slots()
    expect([ran.length, ran[0], ran.at(-1)]).toEqual([100, '00:21:00', '02:00:00'])
    const said = (await fleet().audit.list()).filter(({ target }) => target === name)
    expect(said).toMatchObject([{ action: 'schedule drop', by: 'schedule' }])
    expect(said[0]!.reason).toContain('from 2027-01-01T00:01:00.000Z to 2027-01-01T00:20:00.000Z')
  })

  test('no slot after endsAt gets a task', async () => {
    await create({ endsAt: at('00:02:30'), missed: 'all' })
    await look(at('05:00:00'))
    expect(await slots()).toEqual(['00:01:00', '00:02:00'])
    expect(await now()).not.toHaveProperty('nextAt')
    expect(await look(at('06:00:00'))).toEqual([])
  })
})

describe('overlap', () => {
  const end = async (): Promise<void> => {
    const [task] = await fleet().tasks.find({ schedule: name, status: 'pending' }).toArray()
    // The slot is in 2027, which the server has not reached.
    await fleet().store.edit(task!._id, { runAt: new Date(0) })
    const [claim] = await fleet().store.claim([task!._id], testClaimant)
    await fleet().store.settle(claim!, Outcome.completed(1))
  }

  test('skip omits slots while the last task has not ended', async () => {
    await create({ overlap: 'skip' })
    await look(at('00:01:00'))
    await look(at('00:02:00'))
    expect(await slots()).toEqual(['00:01:00'])
    expect(await now()).toMatchObject({
      nextAt: at('00:03:00'),
      lastSlot: at('00:01:00'),
      lastSkipped: { slot: at('00:02:00'), reason: 'OVERLAP' },
    })
    await end()
    await look(at('00:03:00'))
    expect((await tasks()).filter(({ status }) => status === 'pending')).toMatchObject([{ runAt: at('00:03:00') }])
  })

  test('skip does not mistake the task that another worker has just made for the slot for an earlier one', async () => {
    await create({ overlap: 'skip' })
    const dying = seenAt(at('00:01:00'))
    await dying.fire((await dying.due()).due.find(({ _id }) => _id === name)!)
    await look(at('00:01:00'))
    expect(await now()).toMatchObject({ lastSlot: at('00:01:00'), lastTask: (await tasks())[0]!._id })
  })

  test('allow makes tasks anyway', async () => {
    await create()
    for (const text of ['00:01:00', '00:02:00']) await look(at(text))
    expect(await slots()).toEqual(['00:01:00', '00:02:00'])
  })
})

describe('pausing', () => {
  test('lets slots pass, and resuming goes on with the next one from then on', async () => {
    const paused = await seenAt(start).pause(await create(), 'me')
    expect(paused).toMatchObject({ paused: true, edition: 2 })
    expect(paused).not.toHaveProperty('nextAt')
    expect(await look(at('00:30:00'))).toEqual([])
    const resumed = await seenAt(at('00:30:10')).resume(paused, 'me')
    expect(resumed).toMatchObject({ paused: false, nextAt: at('00:31:00') })
    await look(at('00:31:00'))
    expect(await slots()).toEqual(['00:31:00'])
  })

  test('twice has the effect of once, and a pause during a slot takes precedence', async () => {
    const created = await create()
    const early = seenAt(at('00:01:00'))
    const seen = (await early.due()).due.find(({ _id }) => _id === name)!
    const paused = await early.pause(created, 'me')
    expect(await early.pause(paused, 'me')).toEqual(paused)
    expect(await early.advance(await early.fire(seen))).toBe(false)
    expect(await now()).toEqual(paused)
  })

  test('a change of cron moves the next slot, and a change of the rest does not', async () => {
    const created = await create()
    const other = await seenAt(start).edit(created, { input: { n: 1 } }, 'me')
    expect(other.nextAt).toEqual(at('00:01:00'))
    const moved = await seenAt(start).edit(other, { cron: '30 12 * * *', timeZone: 'Europe/Berlin' }, 'me')
    expect(moved.nextAt).toEqual(at('11:30:00'))
    expect(await look(at('00:01:00'))).toEqual([])
  })
})

test('run makes a task now, even if paused, and does not change the slots', async () => {
  await commands().create({ _id: name, task: 'tick', cron: '0 0 1 1 *', paused: true, options: { queue: 'q' } })
  const before = await now()
  const task = await commands().run(name, 'to see')
  expect(task).toMatchObject({ name: 'tick', queue: 'q', status: 'pending', schedule: name })
  const after = await now()
  expect(after).toMatchObject({ lastTask: new Types.ObjectId(task._id), edition: before.edition, rev: before.rev + 1 })
  expect([after.nextAt, after.lastSlot]).toEqual([before.nextAt, before.lastSlot])
  expect((await fleet().audit.list({ task: new Types.ObjectId(task._id) }))[0]).toMatchObject({
    action: 'schedule run',
    target: name,
    reason: 'to see',
  })
})

describe('a key that is limited', () => {
  const mine = () => fleet().schedulesFor({ id: 'k', scopes: ['read', 'control'], queues: ['mine'], names: ['tick'] })

  test.each([
    [{ queue: 'theirs' }, 'tick', 'QUEUE_NOT_ALLOWED'],
    [{ queue: 'mine' }, 'tock', 'NAME_NOT_ALLOWED'],
    [{}, 'tick', 'QUEUE_NOT_ALLOWED'],
  ])('changes and sees nothing with %j of %s', async (options, task, code) => {
    const request = { _id: name, task, every: '1h', options } as const
    await expect(mine().create(request)).rejects.toMatchObject({ code })
    await commands().create(request)
    const refused = await Promise.allSettled([
      mine().show(name),
      mine().edit(name, { options: { queue: 'mine' }, task: 'tick' }),
      mine().pause(name),
      mine().resume(name),
      mine().run(name),
      mine().remove(name),
    ])
    for (const one of refused) expect(one).toMatchObject({ status: 'rejected', reason: { code: 'NOT_FOUND' } })
    expect(await mine().list()).not.toContainEqual(expect.objectContaining({ _id: name }))
  })

  test('can not move a schedule out of its reach', async () => {
    await mine().create({ _id: name, task: 'tick', every: '1h', options: { queue: 'mine' } })
    expect(await mine().list()).toContainEqual(expect.objectContaining({ _id: name }))
    const moved = mine().edit(name, { options: { queue: 'theirs' } })
    await expect(moved).rejects.toMatchObject({ code: 'QUEUE_NOT_ALLOWED' })
  })
})
