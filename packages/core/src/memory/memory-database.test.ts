import { expect, test } from 'vitest'
import { KeyStore, LOCAL } from '../auth/key-store.ts'
import { compileFilter, compileQuery } from '../live/query.ts'
import { MemoryDatabase } from './memory-database.ts'

type Asked = [name: string, request: object]

/** Calls of all kinds of operations, in an order in which each one has an effect. */
const CALLS: Asked[] = [
  ['tasks.enqueue', { _id: 'a'.repeat(24), name: 'one', key: 'k' }],
  [
    'tasks.enqueueMany',
    {
      tasks: [
        { name: 'two', _id: 'b'.repeat(24) },
        { name: 'two', after: 'b'.repeat(24) },
      ],
    },
  ],
  ['tasks.show', { id: 'a'.repeat(24) }],
  ['tasks.explain', { id: 'a'.repeat(24) }],
  ['tasks.coverage', {}],
  ['tasks.log', { id: 'a'.repeat(24) }],
  ['tasks.pause', { filter: { name: 'one' }, reason: 'not now' }],
  ['tasks.resume', { id: 'a'.repeat(24) }],
  ['tasks.edit', { id: 'a'.repeat(24), changes: { queue: 'bulk', after: ['b'.repeat(24)] } }],
  ['tasks.reprioritise', { id: 'b'.repeat(24), priority: 9, position: 'front' }],
  ['tasks.cancel', { id: 'b'.repeat(24) }],
  ['tasks.retry', { id: 'b'.repeat(24) }],
  ['tasks.cancel', { id: 'b'.repeat(24) }],
  ['tasks.replay', { id: 'b'.repeat(24) }],
  ['tasks.remove', { id: 'b'.repeat(24) }],
  ['callbacks.create', { _id: 'c'.repeat(24), event: 'Add', task: 'addition' }],
  ['callbacks.edit', { id: 'c'.repeat(24), changes: { version: 2 }, rev: 1 }],
  ['callbacks.show', { id: 'c'.repeat(24) }],
  ['callbacks.list', {}],
  ['events.post', { _id: 'e'.repeat(24), name: 'Add', props: { a: 1 }, scheduledFor: '2099-01-01T00:00:00Z' }],
  ['events.edit', { id: 'e'.repeat(24), changes: { priority: 9 } }],
  ['events.show', { id: 'e'.repeat(24) }],
  ['events.list', { name: 'Add' }],
  ['events.cancel', { id: 'e'.repeat(24) }],
  ['events.remove', { id: 'e'.repeat(24) }],
  ['callbacks.remove', { id: 'c'.repeat(24) }],
  ['schedules.create', { _id: 'nightly', task: 'report', cron: '0 3 * * *' }],
  ['schedules.edit', { name: 'nightly', changes: { every: '90m' }, edition: 1 }],
  ['schedules.pause', { name: 'nightly' }],
  ['schedules.resume', { name: 'nightly' }],
  ['schedules.run', { name: 'nightly' }],
  ['schedules.show', { name: 'nightly' }],
  ['schedules.list', {}],
  ['schedules.preview', { cron: '0 3 * * *' }],
  ['schedules.remove', { name: 'nightly' }],
  ['queues.pause', { name: 'bulk', reason: 'maintenance' }],
  ['queues.limit', { name: 'bulk', limits: { concurrency: 3, rate: { limit: 1, per: '1m' } } }],
  ['queues.resume', { name: 'bulk' }],
  ['queues.list', {}],
  ['workers.drain', { worker: 'w1' }],
  ['workers.resume', { worker: 'w1' }],
  ['workers.list', {}],
  ['errors.mark', { fingerprint: 'c0ffee', state: 'resolved' }],
  ['errors.list', { state: 'resolved' }],
  ['keys.create', { name: 'ci', scopes: ['read'] }],
  ['keys.list', {}],
  ['retention.set', { failed: 5_000 }],
  ['retention.show', {}],
  ['retention.prune', { olderThanMs: 0, dryRun: true }],
  ['audit.list', { limit: 5 }],
]

async function opened() {
  const memory = new MemoryDatabase()
  const fleet = memory.fleet()
  const at = memory.clock.now()
  await fleet.workers.beat('w1', {
    ...{
      boot: 'b',
      leaseMs: 8_000,
      heartbeatMs: 2_000,
      name: 'host',
      host: 'h',
      pid: 1,
      role: 'worker',
      state: 'running',
    },
    ...{ queues: [], tasks: [], slots: 1, running: 0, version: '0' },
    load: { cpu: 0, rss: 0, memoryFree: 0, eventLoopDelayMs: 0 },
  })
  await memory.db.collection('errors').insertOne({
    ...{ _id: 'c0ffee' as never, code: 'X', name: 'Error', message: '', state: 'open', count: 1, rev: 1 },
    ...{ trend: [], tasks: [], versions: [], hosts: [], samples: [], firstSeenAt: at, lastSeenAt: at },
  })
  const operations = fleet.as(LOCAL) as unknown as Record<string, Record<string, (request: object) => Promise<unknown>>>
  const ask = ([name, request]: Asked): Promise<unknown> => {
    const [aggregate, verb] = name.split('.') as [string, string]
    return operations[aggregate]![verb]!(request)
  }
  return { memory, fleet, ask }
}

test('operations work in memory, by the rules of a fleet', async () => {
  const { memory, fleet, ask } = await opened()
  const answers = new Map<string, unknown>()
  for (const call of CALLS) {
    answers.set(call[0], await ask(call))
    // An event is updated a moment after its tasks.
    await fleet.events.settled()
  }
  const { id } = answers.get('keys.create') as { id: string }
  await ask(['keys.edit', { id, changes: { name: 'other' } }])
  expect(await ask(['keys.show', { id }])).toMatchObject({ name: 'other', state: 'good' })
  await ask(['keys.revoke', { id }])
  expect(await new KeyStore(memory.db, () => memory.clock.now()).anyKeys()).toBe(true)
  expect(answers.get('tasks.edit')).toMatchObject({ status: 'blocked', queue: 'bulk' })
  expect(answers.get('queues.list')).toMatchObject([
    { _id: 'bulk', concurrency: 3, counts: { failed: 1 } },
    { _id: 'default' },
  ])
  expect(answers.get('errors.list')).toMatchObject([{ _id: 'c0ffee', state: 'resolved', marked: { by: 'local' } }])
  await expect(ask(['tasks.show', { id: 'b'.repeat(24) }])).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('live queries and statistics follow all writes', async () => {
  const { memory, ask } = await opened()
  const live = memory.liveQueries({ lingerMs: 0 })
  const changed: (() => void)[] = []
  const told = (): Promise<void> => new Promise((resolve) => changed.push(resolve))
  const tell = (): void => changed.splice(0).forEach((resolve) => resolve())
  const watch = await live.watch(compileQuery({ filter: { status: 'pending' } }), { delta: tell, reset: tell })
  const figures = await live.watchStats(compileFilter({}), tell)
  expect(watch.live.rows).toEqual([])
  await ask(['tasks.enqueue', { _id: 'a'.repeat(24), name: 'one' }])
  while (watch.live.rows.length === 0 || figures.live.stats.byStatus.pending === 0) await told()
  expect(watch.live.rows).toMatchObject([{ _id: 'a'.repeat(24), name: 'one' }])
  await ask(['tasks.cancel', { id: 'a'.repeat(24) }])
  while (watch.live.rows.length > 0 || figures.live.stats.byStatus.cancelled === 0) await told()
  live.stop()
})

test('a transaction that fails leaves nothing behind, and nobody is notified', async () => {
  const memory = new MemoryDatabase()
  const changes: unknown[] = []
  memory.onChange(({ doc }) => changes.push(doc))
  const things = memory.db.collection<{ _id: number; n: number }>('things')
  await things.insertOne({ _id: 1, n: 1 })
  const session = memory.connection.getClient().startSession()
  const failing = session.withTransaction(async () => {
    await things.updateOne({ _id: 1 }, { $set: { n: 2 } }, { session })
    await things.insertOne({ _id: 2, n: 2 }, { session })
    throw new Error('no')
  })
  await expect(failing).rejects.toThrow('no')
  expect(await things.find().toArray()).toEqual([{ _id: 1, n: 1 }])
  await session.withTransaction(() => things.deleteOne({ _id: 1 }, { session }))
  expect(changes).toEqual([{ _id: 1, n: 1 }, null])
})
