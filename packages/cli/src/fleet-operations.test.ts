import type { FleetClient } from '@taskfleet/client'
import { type Fleet, KeyStore } from '@taskfleet/core'
import type { FleetOperations } from '@taskfleet/protocol'
import { ownQueue, startGateway } from '@taskfleet/testkit/fleet/test-sockets'
import { eventually, useFleet } from '@taskfleet/testkit/fleet/use-fleet'
import { taskFactory } from '@taskfleet/testkit/task-factory'
import { afterEach, describe, expect, test } from 'vitest'
import { connectGateway } from './gateway-view.ts'

const absent = 'f'.repeat(24)
const fleet = useFleet()

const clients: FleetClient[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})

/** Through a gateway with a key that may do everything, which is there before and after each test. */
async function throughGateway({ database }: Fleet): Promise<FleetOperations> {
  const { token } = await new KeyStore(database.db).create({ name: 'boss', scopes: ['admin'] })
  const { url } = await startGateway(fleet)
  const client = await connectGateway(url!, token)
  clients.push(client)
  return client
}

const codeOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'done',
    (error: { code?: string }) => error.code ?? String(error),
  )

describe.each<[string, (fleet: Fleet) => Promise<FleetOperations>]>([
  ['on its database', async (one) => one.as()],
  ['through a gateway', throughGateway],
])('the operations of a fleet %s', (_where, connect) => {
  const open = () => connect(fleet.fleet)

  test('callbacks are created once for each id, listed, changed at a known revision, and removed', async () => {
    const { callbacks } = await open()
    const event = ownQueue()
    const unstorable = { event, task: 'add', defaults: { input: { $a: 1 } } }
    expect(await codeOf(callbacks.create(unstorable))).toBe('BAD_INPUT')
    const one = await callbacks.create({ event, task: 'add', defaults: { queue: 'sums', priority: 'high' } })
    expect(one).toMatchObject({ event, task: 'add', version: 1, defaults: { queue: 'sums', priority: 8 }, rev: 1 })
    const again = { _id: one._id, event, task: 'add' }
    expect(await callbacks.create(again)).toEqual(one)
    expect(await codeOf(callbacks.create({ ...again, task: 'other' }))).toBe('CALLBACK_EXISTS')
    expect(await callbacks.list({ event })).toEqual([one])
    expect(await callbacks.list({ event, limit: 1_000 })).toEqual([one])
    expect(await callbacks.edit({ id: one._id, changes: { task: 'sum' }, rev: 1 })).toMatchObject({
      task: 'sum',
      rev: 2,
    })
    expect(await codeOf(callbacks.edit({ id: one._id, changes: { task: 'x' }, rev: 1 }))).toBe('REV_CONFLICT')
    expect(await callbacks.show(one._id)).toMatchObject({ task: 'sum', defaults: { queue: 'sums' } })
    await callbacks.remove(one._id)
    const gone = [callbacks.show(one._id), callbacks.remove(one._id)]
    expect(await Promise.all(gone.map(codeOf))).toEqual(['NOT_FOUND', 'NOT_FOUND'])
    expect(await codeOf(callbacks.show('x/../y'))).toBe('BAD_ID')
    expect(await codeOf(callbacks.create({ event: '1x', task: 'add' }))).toBe('BAD_NAME')
  })

  test('schedules are created once, changed at a known edition, paused, run by hand and removed', async () => {
    const { schedules } = await open()
    const name = ownQueue()
    const request = { _id: name, task: 'report', input: { of: 'day' }, cron: '0 3 * * *', timeZone: 'Europe/Berlin' }
    const made = await schedules.create(request)
    expect(made).toMatchObject({ _id: name, task: 'report', cron: '0 3 * * *', paused: false, edition: 1 })
    expect(await schedules.create(request)).toMatchObject({ edition: 1 })
    expect(await codeOf(schedules.create({ ...request, task: 'other' }))).toBe('SCHEDULE_EXISTS')
    expect(await codeOf(schedules.create({ ...request, _id: ownQueue(), cron: '61 * * * *' }))).toBe('BAD_CRON')
    expect(await schedules.edit({ name, changes: { cron: '30 4 * * *' }, edition: 1 })).toMatchObject({
      cron: '30 4 * * *',
      edition: 2,
    })
    expect(await codeOf(schedules.edit({ name, changes: { cron: '0 5 * * *' }, edition: 1 }))).toBe('REV_CONFLICT')
    expect((await schedules.pause({ name, reason: 'holidays' })).nextAt).toBeUndefined()
    expect((await schedules.resume(name)).nextAt).toBeDefined()
    const task = await schedules.run({ name, reason: 'now' })
    expect(task).toMatchObject({ name: 'report', input: { of: 'day' }, schedule: name })
    expect(await schedules.show(name)).toMatchObject({ lastTask: task._id, input: { of: 'day' } })
    const listed = (await schedules.list()).find(({ _id }) => _id === name)
    expect(listed).toMatchObject({ _id: name, cron: '30 4 * * *' })
    const slots = await schedules.preview({ every: '90m', startsAt: '2099-01-01T00:00:00.000Z', count: 2 })
    expect(slots).toEqual(['2099-01-01T00:00:00.000Z', '2099-01-01T01:30:00.000Z'])
    await schedules.remove(name)
    const gone = [schedules.show(name), schedules.remove(name)]
    expect(await Promise.all(gone.map(codeOf))).toEqual(['NOT_FOUND', 'NOT_FOUND'])
  })

  test('events are posted once for each id, cancelled and removed', async () => {
    const { events, callbacks } = await open()
    const [name, queue] = [ownQueue(), ownQueue()]
    await callbacks.create({ event: name, task: 'add', defaults: { queue } })
    const event = await events.post({ name, props: { a: 1 }, scheduledFor: '2099-01-01T00:00:00.000Z', priority: 9 })
    expect(event).toMatchObject({ name, props: { a: 1 }, status: 'scheduled', priority: 9 })
    expect(await events.post({ _id: event._id, name, props: { a: 1 } })).toEqual(event)
    expect(await codeOf(events.post({ _id: event._id, name, props: { a: 2 } }))).toBe('EVENT_EXISTS')
    expect(await events.show(event._id)).toEqual(event)
    expect(await codeOf(events.remove(event._id))).toBe('NOT_ENDED')
    expect(await events.cancel({ id: event._id, reason: 'no more' })).toMatchObject({
      matched: 1,
      changed: 1,
      refused: [],
    })
    await eventually(async () => (await events.show(event._id)).status === 'cancelled')
    await events.remove(event._id)
    expect(await codeOf(events.show(event._id))).toBe('NOT_FOUND')
    expect(await codeOf(events.cancel(absent))).toBe('NOT_FOUND')
    const unheard = await events.post({ name: ownQueue() })
    expect(await events.cancel(unheard._id)).toEqual({ matched: 0, changed: 0, refused: [] })
  })

  test('keys are created, shown, changed and revoked, and each change is audited', async () => {
    const { keys } = await open()
    const { id, token } = await keys.create({ name: 'ci', scopes: ['read', 'write'], queues: ['builds'] })
    const made = { id, name: 'ci', state: 'good', scopes: ['read', 'write'], queues: ['builds'] }
    expect(await keys.show(id)).toEqual({ ...made, createdAt: expect.stringMatching(/Z$/) })
    expect(await keys.list()).toContainEqual(expect.objectContaining(made))
    expect(JSON.stringify(await keys.list())).not.toMatch(/hash|tf_/)
    const store = new KeyStore(fleet.database.db)
    expect(
      await keys.edit({ id, changes: { name: 'cd', scopes: ['read'], queues: null, names: ['n'] } }),
    ).toMatchObject({
      name: 'cd',
      scopes: ['read'],
      names: ['n'],
    })
    expect(await store.verify(token)).toEqual({ id, scopes: ['read'], names: ['n'] })
    expect(await keys.edit({ id, changes: { expiresAt: '2020-01-01T00:00:00.000Z' } })).toMatchObject({
      state: 'expired',
    })
    expect(await codeOf(store.verify(token))).toBe('UNAUTHENTICATED')
    expect(await keys.edit({ id, changes: { expiresAt: null } })).toMatchObject({ state: 'good' })
    expect(await store.verify(token)).toMatchObject({ id })
    await keys.revoke(id)
    expect(await keys.show(id)).toMatchObject({ state: 'revoked', revokedAt: expect.stringMatching(/Z$/) })
    expect(await codeOf(keys.edit({ id, changes: { scopes: ['admin'] } }))).toBe('ALREADY_REVOKED')
    const nobody = [keys.show('nobody'), keys.edit({ id: 'nobody', changes: { name: 'x' } }), keys.revoke('nobody')]
    expect(await Promise.all(nobody.map(codeOf))).toEqual(['NOT_FOUND', 'NOT_FOUND', 'NOT_FOUND'])
    const recorded = (await fleet.fleet.audit.list()).filter(({ target }) => target === id)
    expect(recorded.map(({ action, reason }) => [action, reason])).toEqual([
      ['key revoke', undefined],
      ['key edit', 'expiresAt'],
      ['key edit', 'expiresAt'],
      ['key edit', 'name, scopes, queues, names'],
      ['key create', undefined],
    ])
    const wrong = [
      keys.create({ name: '', scopes: ['read'] }),
      keys.create({ name: 'x', scopes: [] }),
      keys.create({ name: 'x', scopes: ['root'] }),
      keys.create({ name: 'x', scopes: ['read'], queues: ['$x'] }),
      keys.create({ name: 'x', scopes: ['read'], names: [] }),
      keys.create({ name: 'x', scopes: ['read'], expiresAt: 'soon' }),
      keys.edit({ id, changes: {} }),
    ]
    for (const code of await Promise.all(wrong.map(codeOf))) expect(code).toMatch(/^BAD_/)
  })

  test('a queue is limited and retention set, within their ranges', async () => {
    const { queues, retention } = await open()
    const queue = ownQueue()
    const limits = { concurrency: 3, rate: { limit: 10, per: '1m' as const }, maxWaiting: 100 }
    expect(await queues.limit({ name: queue, limits })).toMatchObject({
      _id: queue,
      ...limits,
      rate: { limit: 10, per: 60_000 },
    })
    const unlimited = await queues.limit({ name: queue, limits: { concurrency: null, rate: null } })
    expect(unlimited).toMatchObject({ maxWaiting: 100 })
    expect([unlimited.concurrency, unlimited.rate]).toEqual([undefined, undefined])
    for (const concurrency of [0, 20_000])
      expect(await codeOf(queues.limit({ name: queue, limits: { concurrency } }))).toMatch(/^OUT_OF_RANGE|BAD_VALUE$/)
    const before = await retention.show()
    expect(await retention.set({ completed: 86_400_000, failed: null })).toEqual({
      ...before,
      completed: 86_400_000,
      failed: null,
    })
    expect(await codeOf(retention.set({ completed: 5 }))).toMatch(/^OUT_OF_RANGE|BAD_VALUE$/)
    await retention.set(before)
  })

  test('ended tasks are removed on request', async () => {
    const { retention } = await open()
    const make = taskFactory(fleet.fleet.store)
    const name = `prunable-${ownQueue()}`
    await Promise.all([make.completed({ name }), make.failed({ name }), make.pending({ name })])
    const request = { name, olderThanMs: 0 }
    expect(await retention.prune({ ...request, dryRun: true })).toEqual({ matched: 2, removed: 0 })
    expect(await retention.prune({ ...request, statuses: ['failed'] })).toEqual({ matched: 1, removed: 1 })
    expect(await retention.prune(request)).toEqual({ matched: 1, removed: 1 })
    expect(await fleet.fleet.tasks.countDocuments({ name })).toBe(1)
  })
})
