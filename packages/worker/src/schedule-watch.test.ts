import type { ScheduleDocument, TaskDocument } from '@taskfleet/core'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const fleet = useFleet()
let names = 0
let name = ''
beforeEach(() => {
  names += 1
  name = `schedule-${names}`
})
afterEach(() => {
  vi.useRealTimers()
})
const commands = () => fleet.fleet.schedulesFor()
const inMs = (ms: number): Date => new Date(fleet.database.clock.now().getTime() + ms)
const create = (over: object) =>
  commands().create({ _id: name, task: 'scripted', input: { steps: [] }, options: { queue: name }, ...over })
const tasks = (): Promise<TaskDocument[]> => fleet.fleet.tasks.find({ schedule: name }).sort({ runAt: 1 }).toArray()
const ended = (count: number): Promise<TaskDocument[]> =>
  eventually(async () => {
    const all = (await tasks()).filter(({ status }) => status === 'completed')
    return all.length >= count && all
  })
const stored = (): Promise<ScheduleDocument> => fleet.fleet.schedules.find(name)

describe('workers with a schedule', () => {
  test('run each scheduled time once, with any number of workers', async () => {
    await Promise.all(['a', 'b', 'c'].map((one) => fleet.runner({ queue: name, name: one })))
    // It is stored before its first slot, on a busy machine too.
    const startsAt = inMs(4_000)
    const slots = [0, 1, 2, 3].map((n) => startsAt.getTime() + n * 1_000)
    await create({ every: '1s', startsAt, endsAt: new Date(slots.at(-1)!), missed: 'all' })
    const ran = await ended(slots.length)
    // Over when the last worker has seen that, too.
    await eventually(async () => (await stored()).nextAt === undefined)
    expect((await tasks()).map(({ runAt }) => runAt.getTime())).toEqual(slots)
    for (const { attempt, claimedAt, runAt } of ran) {
      expect(attempt).toBe(1)
      expect(claimedAt!.getTime()).toBeGreaterThanOrEqual(runAt.getTime())
    }
    const last = await stored()
    expect([last.lastSlot, last.lastTask, last.rev]).toEqual([
      new Date(slots.at(-1)!),
      ran.at(-1)!._id,
      1 + slots.length,
    ])
  })

  test('make up for times that passed without a worker, as soon as one starts', async () => {
    const first = await fleet.runner({ queue: name })
    await create({ every: '1s' })
    await ended(1)
    await first.stop({ grace: 0 })
    const before = await stored()
    await eventually(() => fleet.database.clock.now().getTime() > before.nextAt!.getTime() + 3_000)
    expect(await tasks()).toHaveLength((await stored()).rev - 1)
    await fleet.runner({ queue: name })
    const after = await eventually(async () => {
      const now = await stored()
      return now.rev > before.rev && now
    })
    expect(after.lastSlot!.getTime()).toBeGreaterThanOrEqual(before.nextAt!.getTime() + 2_000)
    expect(after.lastSkipped).toMatchObject({ reason: 'MISSED' })
    await commands().pause(name)
  })

  test('follow a new cron, and drop the old times', async () => {
    await fleet.runner({ queue: name })
    await create({ cron: '0 0 1 1 *' })
    await commands().edit(name, { cron: '* * * * * *' })
    await ended(2)
    const moved = await commands().edit(name, { cron: '0 0 1 1 *' })
    const made = (await tasks()).map(({ _id }) => _id)
    expect(Date.parse(moved.nextAt!)).toBeGreaterThan(inMs(1_000).getTime())
    await eventually(() => inMs(-2_500) > new Date(moved.updatedAt))
    // At most the slot that was under way when it was changed.
    expect((await tasks()).length - made.length).toBeLessThanOrEqual(1)
  })

  test('skip the times of a paused one, and go on when it is resumed', async () => {
    await fleet.runner({ queue: name })
    await create({ every: '1s' })
    await ended(1)
    const paused = await commands().pause(name)
    await eventually(() => inMs(-2_500) > new Date(paused.updatedAt))
    const none = (await tasks()).filter(({ runAt }) => runAt > new Date(paused.updatedAt))
    expect(none).toEqual([])
    const resumed = await commands().resume(name)
    const [next] = await eventually(async () => {
      const later = (await tasks()).filter(({ runAt }) => runAt > new Date(paused.updatedAt))
      return later.length > 0 && later
    })
    expect(next!.runAt.toISOString()).toBe(resumed.nextAt)
  })

  test("skip a time while the last task runs, with overlap 'skip'", async () => {
    const runner = await fleet.runner({ queue: name })
    const input = { steps: [{ do: 'waitForAbort' }] }
    await create({ every: '1s', overlap: 'skip', input })
    const skipped = await eventually(async () => {
      const now = await stored()
      return now.lastSkipped !== undefined && now
    })
    expect(skipped.lastSkipped).toMatchObject({ reason: 'OVERLAP' })
    const [only, ...others] = await tasks()
    expect(others).toEqual([])
    await fleet.runsAt(runner, only!)
    await fleet.fleet.control().cancel({ id: only!._id.toHexString() })
    await eventually(async () => (await tasks()).length > 1)
    await commands().remove(name)
  })

  test('run the others beside an invalid one', async () => {
    await fleet.runner({ queue: name })
    const broken = `${name}-broken`
    await commands().create({
      _id: broken,
      task: 'scripted',
      input: { steps: [] },
      every: '1s',
      options: { queue: name },
    })
    const schedules = fleet.database.db.collection<ScheduleDocument>('schedules')
    await schedules.updateOne({ _id: broken }, { $set: { cron: 'by hand', rev: 9 }, $unset: { every: 1 } })
    await create({ every: '1s' })
    await ended(2)
    await commands().remove(broken)
  })

  test.each([
    ['ahead', 3_600_000],
    ['behind', -3_600_000],
  ])('go by the clock of the database when that of their host is an hour %s', async (_name, off) => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + off })
    await fleet.runner({ queue: name })
    const startsAt = inMs(1_500)
    await create({ every: '1h', startsAt })
    const [task] = await ended(1)
    expect(task!.runAt).toEqual(startsAt)
    const late = task!.createdAt.getTime() - startsAt.getTime()
    expect(late).toBeGreaterThanOrEqual(-50)
    expect(late).toBeLessThan(60_000)
    expect(await eventually(async () => (await stored()).rev === 2 && stored())).toMatchObject({
      lastSlot: startsAt,
      nextAt: new Date(startsAt.getTime() + 3_600_000),
    })
    expect(await tasks()).toHaveLength(1)
  })

  test('run many at the same moment, each once', async () => {
    await Promise.all(['a', 'b'].map((one) => fleet.runner({ queue: name, name: one, concurrency: 20 })))
    // Later than a slow server needs to store them all.
    const startsAt = inMs(9_000)
    const all = Array.from({ length: 24 }, (_, n) => `${name}-${n}`)
    const input = { steps: [] }
    for (const _id of all) {
      await commands().create({ _id, task: 'scripted', input, options: { queue: name }, every: '1h', startsAt })
    }
    const moved = await eventually(async () => {
      const now = await Promise.all(all.map((one) => fleet.fleet.schedules.find(one)))
      return now.every(({ lastTask }) => lastTask !== undefined) && now
    })
    expect(moved.every(({ rev }) => rev === 2)).toBe(true)
    const made = await fleet.fleet.tasks.find({ schedule: { $in: all } }).toArray()
    expect(made.map(({ schedule }) => schedule).sort()).toEqual(all.sort())
  })

  test('create its task at once on `run`', async () => {
    await fleet.runner({ queue: name })
    const created = await create({ cron: '0 0 1 1 *', paused: true })
    const { _id } = await commands().run(name)
    await ended(1)
    expect(await stored()).toMatchObject({ lastTask: expect.objectContaining({}), paused: true })
    expect(String((await stored()).lastTask)).toBe(_id)
    expect(created.nextAt).toBeUndefined()
  })
})
