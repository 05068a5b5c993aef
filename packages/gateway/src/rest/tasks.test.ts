import { makeKey, startRest, told } from '@taskfleet/testkit/fleet/rest-calls'
import { ownQueue } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { describe, expect, test } from 'vitest'

const fleet = useFleet()
const make = () => taskFactory(fleet.fleet.store)
const at = (task: { _id: { toHexString(): string } }, rest = ''): string => `/tasks/${task._id.toHexString()}${rest}`
const counted = (queue: string) => fleet.fleet.tasks.countDocuments({ queue })

describe('storing', () => {
  test('one task is returned as it is stored, a list in its order', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const one = await call('POST', '/tasks', { name: 'download', input: { url: 'x' }, priority: 'high', queue })
    expect(one).toMatchObject({ status: 201, body: { name: 'download', priority: 8, status: 'pending', rev: 1 } })
    const many = await call('POST', '/tasks', [
      { name: 'a', queue },
      { name: 'b', queue },
    ])
    expect(many).toMatchObject({ status: 201, body: { tasks: [{ name: 'a' }, { name: 'b' }] } })
    expect(await counted(queue)).toBe(3)
  })

  test('the same id is the same task, also in a list, and rejects other content', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const request = { _id: 'a'.repeat(24), name: 'once', input: { a: 1 }, queue }
    expect((await call('POST', '/tasks', request)).status).toBe(201)
    expect((await call('POST', '/tasks', request)).status).toBe(200)
    expect((await call('POST', '/tasks', [request])).status).toBe(200)
    expect((await call('POST', '/tasks', [request, { name: 'new', queue }])).status).toBe(201)
    expect(told(await call('POST', '/tasks', { ...request, input: {} }))).toBe('409 TASK_EXISTS')
    expect(await counted(queue)).toBe(2)
  })

  test('of a list with an invalid entry nothing is stored, and every invalid entry is named', async () => {
    const { call, as } = await startRest(fleet)
    const queue = ownQueue()
    const bad = await call('POST', '/tasks', [
      { name: 'good', queue },
      { name: '../x', queue },
      { name: 'good', queue, priority: 11 },
    ])
    expect(bad).toMatchObject({
      status: 400,
      body: {
        code: 'BAD_NAME',
        errors: [
          { index: 1, code: 'BAD_NAME', field: 'name' },
          { index: 2, code: 'OUT_OF_RANGE', field: 'priority' },
        ],
      },
    })
    const held = ownQueue()
    await call('POST', '/tasks', { name: 'holder', key: 'taken', queue: held })
    const taken = await call('POST', '/tasks', [
      { name: 'good', queue },
      { name: 'keyed', key: 'taken', queue: held },
    ])
    expect(taken).toMatchObject({
      status: 409,
      body: { code: 'KEY_EXISTS', errors: [{ index: 1, code: 'KEY_EXISTS' }] },
    })
    const twins = [
      { name: 'a', key: 'same', queue },
      { name: 'b', key: 'same', queue },
    ]
    expect((await call('POST', '/tasks', twins)).body.errors).toMatchObject([{ index: 1, code: 'KEY_EXISTS' }])
    expect(told(await call('POST', '/tasks', [{ name: 'a', key: 'k', keyPolicy: 'return', queue }]))).toBe(
      '400 BAD_VALUE',
    )
    const limited = as(await makeKey(fleet, { scopes: ['write'], queues: [queue] }))
    const foreign = await limited.call('POST', '/tasks', [
      { name: 'good', queue },
      { name: 'good', queue: 'other' },
    ])
    expect(foreign).toMatchObject({ status: 403, body: { errors: [{ index: 1, code: 'QUEUE_NOT_ALLOWED' }] } })
    expect(await counted(queue)).toBe(0)
  })

  test('simultaneous lists with the same key are stored whole or not at all', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const list = () => [
      ...Array.from({ length: 20 }, () => ({ name: 'part', queue })),
      { name: 'last', key: queue, queue },
    ]
    const answers = await Promise.all(Array.from({ length: 6 }, () => call('POST', '/tasks', list())))
    expect(answers.map(told).sort()).toEqual(['201', ...Array.from({ length: 5 }, () => '409 KEY_EXISTS')])
    expect(await counted(queue)).toBe(21)
  })
})

describe('Idempotency-Key', () => {
  const withKey = (key: string) => ({ 'idempotency-key': key })

  test('the same request gets the same answer, even if its task has changed', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const request = { name: 'once', queue, input: { n: 1 } }
    const first = await call('POST', '/tasks', request, withKey(queue))
    expect(first.status).toBe(201)
    await fleet.fleet.tasks.deleteMany({ queue })
    const again = await call('POST', '/tasks', request, withKey(queue))
    expect([again.status, again.text, again.headers.get('idempotency-replayed')]).toEqual([201, first.text, 'true'])
    expect(await counted(queue)).toBe(0)
    expect(told(await call('POST', '/tasks', { ...request, input: { n: 2 } }, withKey(queue)))).toBe(
      '409 IDEMPOTENCY_CONFLICT',
    )
    expect(told(await call('POST', '/tasks', request, withKey('with space')))).toBe('400 BAD_VALUE')
  })

  test('simultaneous requests create one task and get one answer', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const answers = await Promise.all(
      Array.from({ length: 10 }, () =>
        call(
          'POST',
          '/tasks',
          [
            { name: 'x', queue },
            { name: 'y', queue },
          ],
          withKey(queue),
        ),
      ),
    )
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1)
    expect(await counted(queue)).toBe(2)
  })

  test('a key belongs to its API key, and is a new request after a day', async () => {
    const { call, as } = await startRest(fleet)
    const queue = ownQueue()
    const other = as(await makeKey(fleet, { scopes: ['write'] }))
    await call('POST', '/tasks', { name: 'x', queue }, withKey(queue))
    expect((await other.call('POST', '/tasks', { name: 'y', queue }, withKey(queue))).status).toBe(201)
    await fleet.database.db.collection('idempotency').updateMany({}, { $set: { expireAt: new Date(0) } })
    expect((await call('POST', '/tasks', { name: 'z', queue }, withKey(queue))).status).toBe(201)
    expect(await counted(queue)).toBe(3)
  })

  test('an interrupted request is carried out with the ids of its first try', async () => {
    const { call } = await startRest(fleet)
    const queue = ownQueue()
    const first = await call('POST', '/tasks', { name: 'x', queue }, withKey(queue))
    await fleet.database.db.collection('idempotency').updateMany({}, { $unset: { answer: 1, status: 1 } })
    const again = await call('POST', '/tasks', { name: 'x', queue }, withKey(queue))
    expect(again.body._id).toBe(first.body._id)
    expect(await counted(queue)).toBe(1)
  })
})

describe('one task', () => {
  test('is shown with its revision and changed only at that revision', async () => {
    const { call } = await startRest(fleet)
    const task = await make().pending()
    const shown = await call('GET', at(task))
    expect(shown.body).toMatchObject({ name: 'test', input: {}, attempts: [] })
    expect(shown.text).not.toContain('lease')
    const etag = shown.headers.get('etag')!
    const edited = await call('PATCH', at(task), { priority: 'high' }, { 'if-match': etag })
    expect(edited).toMatchObject({ status: 200, body: { priority: 8, rev: task.rev + 1 } })
    expect(edited.headers.get('etag')).toBe(`"${task.rev + 1}"`)
    for (const stale of [
      await call('PATCH', at(task), { priority: 1 }, { 'if-match': etag }),
      await call('PATCH', at(task), { priority: 1, rev: task.rev }),
    ]) {
      expect(stale).toMatchObject({ status: 409, body: { code: 'REV_CONFLICT', rev: task.rev + 1 } })
    }
    expect(told(await call('PATCH', at(task), { priority: 1 }, { 'if-match': 'x' }))).toBe('400 BAD_VALUE')
    expect(told(await call('PATCH', at(task), {}))).toBe('400 BAD_REQUEST')
    expect(told(await call('PATCH', at(await make().completed()), { priority: 1 }))).toBe('409 NOT_WAITING')
  })

  test('is removed if it has ended and no task waits for it', async () => {
    const { call } = await startRest(fleet)
    expect(told(await call('DELETE', at(await make().running())))).toBe('409 NOT_ENDED')
    const failed = await make().failed()
    const blocked = await make().pending({ after: failed._id, ifFailed: 'wait' })
    expect(told(await call('DELETE', at(failed)))).toBe('409 AWAITED')
    await fleet.fleet.store.cancel(blocked._id, 'test')
    expect(told(await call('DELETE', at(failed)))).toBe('204')
    expect(told(await call('GET', at(failed)))).toBe('404 NOT_FOUND')
    expect(told(await call('DELETE', at(failed)))).toBe('404 NOT_FOUND')
  })

  test('is cancelled, retried, paused, resumed, reprioritised and replayed', async () => {
    const { call } = await startRest(fleet)
    const task = await make().pending()
    expect((await call('POST', at(task, '/pause'), { reason: 'wait' })).body).toMatchObject({ status: 'paused' })
    expect((await call('POST', at(task, '/resume'))).body).toMatchObject({ status: 'pending' })
    expect((await call('POST', at(task, '/reprioritise'), { priority: 1 })).body).toMatchObject({ priority: 1 })
    expect((await call('POST', at(task, '/cancel'))).body).toMatchObject({ status: 'cancelled' })
    expect((await call('POST', at(task, '/cancel'))).status).toBe(200)
    const replayed = await call('POST', at(task, '/replay'), { input: { again: true } })
    expect(replayed).toMatchObject({ status: 201, body: { replayOf: task._id.toHexString(), input: { again: true } } })
    expect((await call('POST', at(task, '/retry'))).body).toMatchObject({ status: 'pending' })
    expect(told(await call('POST', at(await make().completed(), '/retry')))).toBe('409 ALREADY_COMPLETED')
    expect(told(await call('POST', at(await make().completed(), '/cancel')))).toBe('409 ALREADY_ENDED')
    expect(told(await call('POST', at(task, '/resume'), { filter: {} }))).toBe('400 UNKNOWN_FIELD')
    expect(told(await call('POST', at(task, '/reprioritise'), { priority: 11 }))).toBe('400 OUT_OF_RANGE')
    const { entries } = (await call('GET', at(task, '/audit?limit=3'))).body as { entries: { action: string }[] }
    expect(entries.map(({ action }) => action)).toEqual(['retry', 'replay', 'cancel'])
  })

  test('shows its attempts, its log and why it does not run', async () => {
    const { call } = await startRest(fleet)
    const task = await make().failed()
    expect((await call('GET', at(task, '/attempts'))).body).toMatchObject({
      attempts: [{ n: 1, outcome: 'failed' }],
      dropped: 0,
    })
    expect((await call('GET', at(task, '/explain'))).body).toMatchObject({
      willRun: false,
      reasons: [{ code: 'ENDED' }],
    })
    const lines = Array.from({ length: 5 }, (_, index) => ({
      seq: index + 1,
      at: new Date().toISOString(),
      level: 'info' as const,
      message: `line ${index + 1}`,
    }))
    await fleet.fleet.logs.append([{ task: task._id, attempt: 1, lease: 'l', lines }])
    const { lines: read } = (await call('GET', at(task, '/log?limit=2&before=1.4'))).body as {
      lines: { seq: number }[]
    }
    expect(read.map(({ seq }) => seq)).toEqual([2, 3])
    expect(told(await call('GET', at(task, '/log?before=x')))).toBe('400 BAD_VALUE')
  })
})

test('many tasks are counted first and then cancelled by a filter', async () => {
  const { call } = await startRest(fleet)
  const queue = ownQueue()
  for (let index = 0; index < 3; index += 1) await make().pending({ queue })
  const running = await make().running()
  const ended = await make().completed()
  expect((await call('POST', '/tasks/cancel', { filter: { queue }, dryRun: true })).body).toEqual({
    matched: 3,
    changed: 0,
    refused: [],
  })
  expect((await call('POST', '/tasks/cancel', { filter: { queue } })).body).toMatchObject({ matched: 3, changed: 3 })
  const both = await call('POST', '/tasks/cancel', { ids: [running._id.toHexString(), ended._id.toHexString()] })
  expect(both.body).toMatchObject({
    matched: 2,
    changed: 1,
    refused: [{ id: ended._id.toHexString(), error: { code: 'ALREADY_ENDED' } }],
  })
  expect(told(await call('POST', '/tasks/cancel', {}))).toBe('400 BAD_REQUEST')
})

test('queues are paused with a reason, errors marked, workers drained, coverage shown', async () => {
  const { call } = await startRest(fleet)
  const queue = ownQueue()
  const runner = await fleet.runner({ queue })
  expect((await call('PATCH', `/queues/${queue}`, { paused: true, reason: 'repair' })).body).toMatchObject({
    _id: queue,
    paused: true,
    reason: 'repair',
  })
  await make().pending({ queue, name: 'nobody' })
  const { queues } = (await call('GET', '/queues')).body
  expect(queues).toContainEqual(expect.objectContaining({ _id: queue, paused: true, counts: { pending: 1 } }))
  expect((await call('PATCH', `/queues/${queue}`, { paused: false })).body).toMatchObject({ paused: false })
  expect(told(await call('PATCH', `/queues/${queue}`, { paused: true, rate: 5 }))).toBe('400 BAD_VALUE')
  expect(told(await call('PATCH', `/queues/${queue}`, { paused: true, speed: 5 }))).toBe('400 UNKNOWN_FIELD')
  expect(told(await call('PATCH', '/queues/..%2Fx', { paused: true }))).toBe('400 BAD_QUEUE')
  expect((await call('GET', '/coverage')).body.coverage).toContainEqual(
    expect.objectContaining({ name: 'nobody', served: false, waiting: 1 }),
  )
  const { workers } = (await call('GET', '/workers')).body
  expect(workers).toContainEqual(expect.objectContaining({ _id: runner.id, state: 'running' }))
  expect((await call('POST', `/workers/${runner.id}/drain`)).body).toMatchObject({
    _id: runner.id,
    control: { action: 'drain' },
  })
  expect(told(await call('POST', '/workers/nobody/resume'))).toBe('404 NOT_FOUND')
  await fleet.post([{ do: 'fail', fatal: true, code: 'ODD' }], { queue: ownQueue() })
  await fleet.fleet.errors.record({
    error: { code: 'ODD', name: 'Error', message: 'odd', fingerprint: 'odd' },
    task: (await make().failed())._id,
    name: 'x',
    version: 1,
    host: 'h',
  })
  const { errors } = (await call('GET', '/errors?state=open')).body
  expect(errors).toContainEqual(expect.objectContaining({ _id: 'odd', count: 1 }))
  expect((await call('PATCH', '/errors/odd', { state: 'ignored', until: '2030-01-01T00:00:00Z' })).body).toMatchObject({
    state: 'ignored',
  })
  expect(told(await call('PATCH', '/errors/odd', { state: 'ignored', until: 'soon' }))).toBe('400 BAD_DATE')
  expect(told(await call('PATCH', '/errors/none', { state: 'resolved' }))).toBe('404 NOT_FOUND')
})
