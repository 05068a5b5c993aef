import { testClaimant, testError } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { Types } from 'mongoose'
import { afterEach, describe, expect, test } from 'vitest'
import { Fleet } from '../fleet.ts'
import { Outcome } from '../task/task-store.ts'

const held = useDatabase()
let made: Fleet | undefined
const fleet = (): Fleet => {
  made ??= new Fleet(held.database)
  return made
}
const events = () => fleet().eventsFor()
let names = 0
/** Each test has its own events. */
const ownEvent = (): string => {
  names += 1
  return `event-${names}`
}
afterEach(() => made?.events.settled())

const settle = async (id: string, outcome: Outcome): Promise<void> => {
  const [claim] = await fleet().store.claim([new Types.ObjectId(id)], testClaimant)
  await fleet().store.settle(claim!, outcome)
  await fleet().events.settled()
}

describe('callbacks', () => {
  test('are made, listed, changed and removed', async () => {
    const event = ownEvent()
    const made = await events().createCallback({
      event,
      task: 'add',
      defaults: { queue: 'math', priority: 'high', input: { a: 1 } },
    })
    expect(made).toMatchObject({
      event,
      task: 'add',
      version: 1,
      defaults: { queue: 'math', priority: 8, input: { a: 1 } },
      rev: 1,
    })
    expect(await events().listCallbacks({ event })).toEqual([made])
    const edited = await events().editCallback(made._id, { task: 'sum', version: 2 }, 1)
    expect(edited).toMatchObject({ task: 'sum', version: 2, defaults: made.defaults, rev: 2 })
    await expect(events().editCallback(made._id, { task: 'x' }, 1)).rejects.toMatchObject({ code: 'REV_CONFLICT' })
    await events().removeCallback(made._id)
    await expect(events().showCallback(made._id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test.each([
    [{ event: '', task: 'a' }, 'BAD_NAME'],
    [{ event: 'e', task: '../x' }, 'BAD_NAME'],
    [{ event: 'e', task: 'a', odd: 1 }, 'UNKNOWN_FIELD'],
    [{ event: 'e', task: 'a', defaults: { priority: 11 } }, 'OUT_OF_RANGE'],
    [{ event: 'e', task: 'a', defaults: { input: { $where: 1 } } }, 'BAD_INPUT'],
    [{ event: 'e', task: 'a', defaults: { status: 'x' } }, 'UNKNOWN_FIELD'],
    ['text', 'BAD_REQUEST'],
  ])('%j is refused with %s', async (request, code) => {
    await expect(events().createCallback(request as never)).rejects.toMatchObject({ code })
  })
})

describe('an event', () => {
  test('makes one task for each callback of its name; its props take precedence', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'add', defaults: { input: { a: 1, b: 2 }, queue: 'math' } })
    await events().createCallback({ event: name, task: 'log', version: 3, defaults: { priority: 2 } })
    const scheduledFor = new Date(Date.now() + 3_600_000)
    const event = await events().post({ name, props: { b: 5, any: ['prop'] }, scheduledFor, priority: 9 })
    expect(event).toMatchObject({ name, status: 'scheduled', priority: 9, scheduledFor: scheduledFor.toISOString() })
    const tasks = await fleet()
      .tasks.find({ event: new Types.ObjectId(event._id) })
      .sort({ name: 1 })
      .toArray()
    expect(tasks).toMatchObject([
      { name: 'add', input: { a: 1, b: 5, any: ['prop'] }, queue: 'math', priority: 9, runAt: scheduledFor },
      { name: 'log', version: 3, input: { b: 5, any: ['prop'] }, queue: 'default', priority: 9 },
    ])
    expect(event.tasks.sort()).toEqual(tasks.map(({ _id }) => String(_id)).sort())
  })

  test('follows its tasks: scheduled, processing, finished with their output', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    await events().createCallback({ event: name, task: 'two' })
    const event = await events().post({ name })
    expect(event.status).toBe('scheduled')
    await settle(event.tasks[0]!, Outcome.completed({ sum: 3 }))
    expect(await events().show(event._id)).toMatchObject({ status: 'processing', startedAt: expect.any(String) })
    await settle(event.tasks[1]!, Outcome.completed('two'))
    const ended = await events().show(event._id)
    expect(ended).toMatchObject({
      status: 'finished',
      results: [{ status: 'completed', output: { sum: 3 } }, { output: 'two' }],
    })
    expect(Date.parse(ended.processedAt!)).toBeGreaterThanOrEqual(Date.parse(ended.createdAt))
  })

  test('failed when one of its tasks failed, and back to work when that is retried', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    const event = await events().post({ name })
    await settle(event.tasks[0]!, Outcome.failed(testError))
    expect(await events().show(event._id)).toMatchObject({
      status: 'failed',
      results: [{ status: 'failed', error: { code: 'TEST', message: 'it broke' } }],
    })
    await fleet().control().retry({ id: event.tasks[0]! })
    await fleet().events.settled()
    expect(await events().show(event._id)).toMatchObject({ status: 'processing' })
    await settle(event.tasks[0]!, Outcome.completed(1))
    expect((await events().show(event._id)).status).toBe('finished')
  })

  test('retried: what failed runs again, what completed stays', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    await events().createCallback({ event: name, task: 'two' })
    const event = await events().post({ name })
    await settle(event.tasks[0]!, Outcome.failed(testError))
    await settle(event.tasks[1]!, Outcome.completed(2))
    const operations = fleet().as().events
    expect(await operations.retry(event._id)).toEqual({ matched: 2, changed: 1, refused: [] })
    await fleet().events.settled()
    expect(await operations.show(event._id)).toMatchObject({ status: 'processing' })
    await expect(operations.retry('f'.repeat(24))).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('cancelled when its tasks are, and removed only when it has ended', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    const event = await events().post({ name, scheduledFor: new Date(Date.now() + 60_000) })
    await expect(events().remove(event._id)).rejects.toMatchObject({ code: 'NOT_ENDED' })
    expect(await events().cancel(event._id, 'not now')).toMatchObject({ changed: 1 })
    await fleet().events.settled()
    expect((await events().show(event._id)).status).toBe('cancelled')
    await events().remove(event._id)
    await expect(events().show(event._id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('without callbacks is finished at once', async () => {
    expect(await events().post({ name: ownEvent() })).toMatchObject({ status: 'finished', tasks: [], results: [] })
  })

  test('removing or changing a callback does not affect queued tasks', async () => {
    const name = ownEvent()
    const callback = await events().createCallback({ event: name, task: 'one', defaults: { queue: 'before' } })
    const event = await events().post({ name, scheduledFor: new Date(Date.now() + 60_000) })
    await events().editCallback(callback._id, { task: 'other', defaults: { queue: 'after' } })
    await events().removeCallback(callback._id)
    const task = await fleet().store.find(new Types.ObjectId(event.tasks[0]))
    expect(task).toMatchObject({ name: 'one', queue: 'before', status: 'pending' })
  })

  test('posted twice with the same id is one event with its tasks once', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    const _id = new Types.ObjectId().toHexString()
    const [first, second] = [
      await events().post({ _id, name, props: { n: 1 } }),
      await events().post({ _id, name, props: { n: 1 } }),
    ]
    expect(second).toEqual(first)
    expect(await fleet().tasks.countDocuments({ event: new Types.ObjectId(_id) })).toBe(1)
    await expect(events().post({ _id, name, props: { n: 2 } })).rejects.toMatchObject({ code: 'EVENT_EXISTS' })
  })

  test('is posted by a key that could not make its tasks: the authors of its callbacks could', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one', defaults: { queue: 'mine' } })
    await events().createCallback({ event: name, task: 'two', defaults: { queue: 'theirs' } })
    const limited = fleet().eventsFor({ id: 'k', scopes: ['write'], queues: ['mine'] })
    const posted = await limited.post({ name })
    const [event] = await events().list({ name })
    expect(event).toMatchObject({ _id: posted._id, by: 'k', tasks: [expect.any(String), expect.any(String)] })
    // The key sees nothing of the tasks out of its reach.
    const tasks = await Promise.all(event!.tasks.map((id) => fleet().as().tasks.show(id)))
    expect(posted.tasks).toEqual(tasks.filter(({ queue }) => queue === 'mine').map(({ _id }) => _id))
  })

  test('whose process died before an update is updated by the next sweep', async () => {
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    const event = await events().post({ name })
    const deaf = new Fleet(held.database)
    deaf.events.changed = () => undefined
    const [claim] = await deaf.store.claim([new Types.ObjectId(event.tasks[0])], testClaimant)
    await deaf.store.settle(claim!, Outcome.completed(1))
    expect((await events().show(event._id)).status).toBe('scheduled')
    await fleet().events.sweep()
    expect((await events().show(event._id)).status).toBe('finished')
  })

  test('is reached by the sweep, even if many events before it never change', async () => {
    const stuck = Array.from({ length: 201 }, (_, n) => ({
      _id: new Types.ObjectId(),
      name: 'stuck',
      props: {},
      status: 'processing',
      scheduledFor: new Date(1_000 + (n % 3)),
      tasks: [new Types.ObjectId()],
      rev: 1,
    }))
    await held.database.db.collection('events').insertMany(stuck)
    await held.database.db
      .collection<{ _id: Types.ObjectId; status: string; attempt: number }>('tasks')
      .insertMany(stuck.map(({ tasks: [_id] }) => ({ _id: _id!, status: 'running', attempt: 1 })))
    const name = ownEvent()
    await events().createCallback({ event: name, task: 'one' })
    const event = await events().post({ name })
    const deaf = new Fleet(held.database)
    deaf.events.changed = () => undefined
    const [claim] = await deaf.store.claim([new Types.ObjectId(event.tasks[0])], testClaimant)
    await held.database.db
      .collection('events')
      .updateOne({ _id: new Types.ObjectId(event._id) }, { $set: { status: 'processing' } })
    await deaf.store.settle(claim!, Outcome.completed(1))
    for (let sweeps = 0; sweeps < 2; sweeps += 1) await fleet().events.sweep()
    expect((await events().show(event._id)).status).toBe('finished')
    await held.database.db.collection('events').deleteMany({ name: 'stuck' })
    await held.database.db.collection('tasks').deleteMany({ _id: { $in: stuck.flatMap(({ tasks }) => tasks) } })
  })

  test('tasks that end at the same time are all seen', async () => {
    const name = ownEvent()
    for (let n = 0; n < 8; n += 1) await events().createCallback({ event: name, task: `task${n}` })
    const event = await events().post({ name })
    await Promise.all(event.tasks.map((id) => settle(id, Outcome.completed(id))))
    expect(await events().show(event._id)).toMatchObject({ status: 'finished' })
  })
})
