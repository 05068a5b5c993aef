import { KeyStore } from '@taskfleet/core'
import { ask, codeOf, connect, ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { describe, expect, test } from 'vitest'

describe('FleetClient has every operation', () => {
  const fleet = useFleet()

  test('tasks: stored one by one and as a list, shown, changed, removed', async () => {
    const queue = ownQueue()
    const client = fleet.client((await startGateway(fleet)).url!)
    const task = await client.tasks.enqueue({ name: 'test', queue, input: { at: 1 } })
    const many = await client.tasks.enqueueMany({
      tasks: [1, 2, 3].map((at) => ({ name: 'test', queue, input: { at } })),
    })
    expect(many.map(({ input }) => input)).toEqual([{ at: 1 }, { at: 2 }, { at: 3 }])
    expect(await client.tasks.show(task._id)).toMatchObject({ input: { at: 1 }, status: 'pending' })
    expect(await client.tasks.edit({ id: task._id, changes: { priority: 8 } })).toMatchObject({ priority: 8 })
    expect(await client.tasks.pause({ filter: { queue } })).toMatchObject({ matched: 4, changed: 4 })
    expect(await client.tasks.cancel(task._id)).toMatchObject({ changed: 1 })
    expect(await client.audit({ id: task._id })).toMatchObject([
      { action: 'cancel' },
      { action: 'pause' },
      { action: 'edit' },
    ])
    expect(await client.tasks.remove(task._id)).toBeUndefined()
    await expect(client.tasks.show(task._id)).rejects.toMatchObject({ code: 'NOT_FOUND', field: 'id' })
    const wrong = client.tasks.enqueueMany({
      tasks: [
        { name: 'test', queue },
        { name: 'no name', queue },
      ],
    })
    await expect(wrong).rejects.toMatchObject({ code: 'BAD_NAME', entries: [{ index: 1, code: 'BAD_NAME' }] })
    await expect(client.tasks.enqueueMany({ tasks: [{ name: 'test', input: new Set([1]) }] })).rejects.toMatchObject({
      code: 'BAD_INPUT',
    })
  })

  test('events and callbacks', async () => {
    const queue = ownQueue()
    const client = fleet.client((await startGateway(fleet)).url!)
    const callback = await client.callbacks.create({ event: 'Moved', task: 'test', defaults: { queue } })
    expect(await client.callbacks.edit({ id: callback._id, changes: { version: 2 } })).toMatchObject({ version: 2 })
    const event = await client.events.post({
      name: 'Moved',
      props: { to: 'there' },
      scheduledFor: new Date(Date.now() + 60_000),
    })
    expect(event).toMatchObject({ status: 'scheduled', tasks: [expect.any(String)] })
    expect(await client.events.edit({ id: event._id, changes: { priority: 'high' } })).toMatchObject({ priority: 8 })
    expect(await client.events.list({ name: 'Moved' })).toMatchObject([{ _id: event._id }])
    expect(await client.events.cancel({ id: event._id, reason: 'not now' })).toMatchObject({ changed: 1 })
    await client.callbacks.remove(callback._id)
    expect(await client.callbacks.list({ event: 'Moved' })).toEqual([])
  })

  test('schedules', async () => {
    const client = fleet.client((await startGateway(fleet)).url!)
    await client.schedules.create({ _id: 'nightly', task: 'test', cron: '0 3 * * *', options: { queue: ownQueue() } })
    expect(await client.schedules.preview({ every: '1h', count: 2 })).toHaveLength(2)
    expect(await client.schedules.pause('nightly')).toMatchObject({ paused: true })
    expect(await client.schedules.resume({ name: 'nightly', reason: 'again' })).toMatchObject({ paused: false })
    expect(await client.schedules.edit({ name: 'nightly', changes: { cron: '0 4 * * *' } })).toMatchObject({
      cron: '0 4 * * *',
    })
    expect(await client.schedules.run('nightly')).toMatchObject({ schedule: 'nightly', status: 'pending' })
    expect(await client.schedules.list()).toMatchObject([{ _id: 'nightly' }])
    await client.schedules.remove('nightly')
    await expect(client.schedules.show('nightly')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('queues, errors, retention and keys', async () => {
    const queue = ownQueue()
    const { token } = await new KeyStore(fleet.database.db).create({ name: 'boss', scopes: ['admin'] })
    const client = fleet.client((await startGateway(fleet)).url!, { token })
    expect(
      await client.queues.limit({ name: queue, limits: { concurrency: 3, rate: { limit: 5, per: '1m' } } }),
    ).toMatchObject({
      concurrency: 3,
      rate: { limit: 5, per: 60_000 },
    })
    expect(await client.queues.pause(queue)).toMatchObject({ paused: true, concurrency: 3 })
    expect(await client.queues.list()).toContainEqual(expect.objectContaining({ _id: queue, paused: true, counts: {} }))
    expect(await client.errors.list({ state: 'open' })).toEqual([])
    expect(await client.workers.list()).toEqual([])
    const before = await client.retention.show()
    expect(await client.retention.set({ completed: 86_400_000 })).toEqual({ ...before, completed: 86_400_000 })
    expect(await client.retention.prune({ dryRun: true })).toEqual({ matched: 0, removed: 0 })
    const key = await client.keys.create({ name: 'reader', scopes: ['read'] })
    expect(await client.keys.edit({ id: key.id, changes: { queues: [queue] } })).toMatchObject({ queues: [queue] })
    await client.keys.revoke(key.id)
    expect(await client.keys.show(key.id)).toMatchObject({ state: 'revoked' })
    expect((await client.keys.list()).map(({ name }) => name)).toEqual(['boss', 'reader'])
    expect((await client.audit.list({ limit: 4 })).map(({ action }) => action)).toEqual([
      'key revoke',
      'key edit',
      'key create',
      'retention',
    ])
  })

  test('a refusal is audited on every path', async () => {
    const { id, token } = await new KeyStore(fleet.database.db).create({ name: 'reader', scopes: ['read'] })
    const { url } = await startGateway(fleet)
    const answer = await fetch(`${url}/api/v1/queues/theirs`, {
      method: 'PATCH',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{"paused":true}',
    })
    expect(answer.status).toBe(403)
    const socket = await connect(fleet, url!, token)
    expect(codeOf(await ask(socket, 'controlQueue', { queue: 'theirs', action: 'pause' }))).toBe('FORBIDDEN')
    await expect(fleet.client(url!, { token }).queues.pause('theirs')).rejects.toMatchObject({ code: 'FORBIDDEN' })
    const refusals = (await fleet.fleet.audit.list()).filter(({ by, refused }) => by === id && refused === 'FORBIDDEN')
    expect(refusals.map(({ action }) => action).sort()).toEqual(['PATCH /queues/:name', 'controlQueue', 'queues.pause'])
    expect(await fleet.database.db.collection('queues').findOne({ _id: 'theirs' as never })).toBeNull()
  })

  test('an unknown operation is answered with UNKNOWN_OPERATION', async () => {
    const { token } = await new KeyStore(fleet.database.db).create({ name: 'asker', scopes: ['admin'] })
    const socket = await connect(fleet, (await startGateway(fleet)).url!, token)
    for (const name of [
      'tasks',
      'tasks.',
      'tasks.fly',
      'constructor.name',
      'tasks.__proto__',
      'tasks.cancel.more',
      '',
    ]) {
      expect(`${name}: ${codeOf(await ask(socket, 'operation' as never, { name } as never))}`).toBe(
        `${name}: UNKNOWN_OPERATION`,
      )
    }
  })
})
