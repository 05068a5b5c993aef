import { useDatabase } from '@taskfleet/testkit/use-database'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import type { Principal } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'
import type { WorkerReport } from '../worker/worker-model.ts'

const held = useDatabase()
const input = z.strictObject({ url: z.string(), parts: z.array(z.object({ from: z.int() })).default([]) })
let count = 0

/** A fleet whose only worker serves the name; each test has its own name. */
async function serving(types: { name: string; version: number; input: z.ZodType; replay?: boolean }[]): Promise<Fleet> {
  const fleet = new Fleet(held.database)
  const report: WorkerReport = {
    boot: 'b',
    leaseMs: 60_000,
    name: 'w',
    host: 'h',
    pid: 1,
    role: 'worker',
    state: 'running',
    queues: ['default'],
    tasks: types.map(({ name, version }) => `${name}@${version}`),
    slots: 1,
    running: 0,
    load: { cpu: 0, rss: 0, memoryFree: 0, eventLoopDelayMs: 0 },
    heartbeatMs: 60_000,
    version: '1',
  }
  await fleet.workers.beat(`session-${count}`, report)
  await fleet.handlers.publish(types)
  return fleet
}
const ownName = (): string => {
  count += 1
  return `published-${count}`
}
const code = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'stored',
    ({ code, field }: { code: string; field?: string }) => [code, field],
  )

describe('handlers.list', () => {
  test('has what live workers run, with queues, schema and whether it may run again', async () => {
    const [plain, once] = [ownName(), ownName()]
    const fleet = await serving([
      { name: once, version: 3, input, replay: false },
      { name: plain, version: 1, input: z.unknown().transform(String) as never },
    ])
    const of = async (principal?: Principal) =>
      (await fleet.as(principal).handlers.list()).filter(({ name }) => name === plain || name === once)
    const shared = { queues: ['default'], workers: ['w'] }
    const all = await of()
    expect(all).toMatchObject([
      { ...shared, name: plain, version: 1 },
      { ...shared, name: once, version: 3, replay: false, schema: { type: 'object', required: ['url'] } },
    ])
    expect(all[0]).not.toHaveProperty('replay')
    const limited = (reach: Partial<Principal>): Principal => ({ id: 'key', scopes: ['read'], ...reach })
    expect(await of(limited({ names: [once] }))).toMatchObject([{ name: once }])
    expect(await of(limited({ queues: ['elsewhere'] }))).toEqual([])
  })

  test('has when a version was seen for the first time, also after its schema was forgotten', async () => {
    const name = ownName()
    const fleet = await serving([{ name, version: 1, input }])
    const seen = async () => (await fleet.as().handlers.list()).find((one) => one.name === name)?.firstSeenAt
    const first = await seen()
    expect(Math.abs(Date.parse(first!) - Date.now())).toBeLessThan(60_000)
    await held.database.db.collection<{ _id: string }>('handlers').deleteOne({ _id: `${name}@1` })
    await fleet.handlers.publish([{ name, version: 1, input }])
    expect(await seen()).toBe(first)
  })

  test('leaves out what a worker names in another way', async () => {
    const name = ownName()
    const fleet = await serving([{ name, version: 1, input }])
    await held.database.db.collection<{ _id: string }>('workers').updateOne({ _id: `session-${count}` }, {
      $push: { tasks: 'nameless' },
    } as never)
    const listed = await fleet.as().handlers.list()
    expect(listed.map((one) => one.name)).toContain(name)
    expect(listed.map((one) => one.name)).not.toContain('nameles')
  })
})

describe('inputs are checked against what live workers publish', () => {
  test('by every producer, with the path of the first error', async () => {
    const name = ownName()
    const fleet = await serving([{ name, version: 1, input }])
    const operations = fleet.as()
    const enqueue = (given: unknown, version = 1) => code(operations.tasks.enqueue({ name, version, input: given }))
    expect(await enqueue({ url: 'x', parts: [{ from: 1 }] })).toBe('stored')
    expect(await enqueue({ url: 'x' })).toBe('stored')
    expect(await enqueue({})).toEqual(['INPUT_INVALID', 'input.url'])
    expect(await enqueue({ url: 'x', more: 1 })).toEqual(['INPUT_INVALID', 'input.more'])
    expect(await enqueue({ url: 'x', parts: [{ from: 1 }, { from: 'a' }] })).toEqual([
      'INPUT_INVALID',
      'input.parts.1.from',
    ])
    // Only a worker knows the value of a secret, but here it is known to be a text.
    expect(await enqueue({ url: { secret: 'address' }, parts: [{ from: 1 }] })).toBe('stored')
    expect(await enqueue({ url: { secret: 'address' }, parts: [{ from: 'a' }] })).toEqual([
      'INPUT_INVALID',
      'input.parts.0.from',
    ])
    expect(await enqueue({ url: 'x', parts: [{ from: { secret: 'n' } }] })).toEqual([
      'INPUT_INVALID',
      'input.parts.0.from',
    ])
    expect(await enqueue({}, 2)).toBe('stored')
    const many = operations.tasks.enqueueMany({
      tasks: [
        { name, input: { url: 'x' } },
        { name, input: {} },
      ],
    })
    await expect(many).rejects.toMatchObject({ entries: [{ index: 1, code: 'INPUT_INVALID', field: 'input.url' }] })
    const schedule = { _id: name, task: name, every: '1h' } as const
    expect(await code(operations.schedules.create(schedule))).toEqual(['INPUT_INVALID', 'input.url'])
    expect(await code(operations.schedules.create({ ...schedule, input: { url: 'x' } }))).toBe('stored')
    const change = operations.schedules.edit({ name, changes: { input: { url: 5 } } })
    expect(await code(change)).toEqual(['INPUT_INVALID', 'input.url'])
    const waiting = await operations.tasks.enqueue({ name, input: { url: 'x' }, runAt: '2099-01-01' })
    const edit = operations.tasks.edit({ id: waiting._id, changes: { input: [] } })
    expect(await code(edit)).toEqual(['INPUT_INVALID', 'input'])
    expect(await code(fleet.enqueue({ name, version: 1, input: z.unknown() }, {}))).toEqual([
      'INPUT_INVALID',
      'input.url',
    ])
  })

  test('a task without a worker is stored with a warning', async () => {
    const name = ownName()
    const fleet = await serving([{ name, version: 1, input }])
    const served = await fleet.as().tasks.enqueue({ name, input: { url: 'x' } })
    expect(served).not.toHaveProperty('served')
    expect(await fleet.as().tasks.enqueue({ name, version: 7 })).toMatchObject({ served: false, status: 'pending' })
    const elsewhere = { name, input: { url: 'x' }, queue: 'nobodys' }
    expect(await fleet.as().tasks.enqueue(elsewhere)).toMatchObject({ served: false })
  })

  test('an unpublished or malformed schema checks nothing', async () => {
    const [transformed, broken] = [ownName(), ownName()]
    const fleet = await serving([
      { name: transformed, version: 1, input: z.string().transform(Number).pipe(z.number()) },
      { name: broken, version: 1, input },
    ])
    await held.database.db
      .collection<{ _id: string }>('handlers')
      .updateOne({ _id: `${broken}@1` }, { $set: { schema: '{"type":5' } })
    expect(await code(fleet.as().tasks.enqueue({ name: broken, input: {} }))).toBe('stored')
    expect(await code(fleet.as().tasks.enqueue({ name: transformed, input: '5' }))).toBe('stored')
  })
})

test('coverage goes by queue, and names what schedules and callbacks will make', async () => {
  const name = ownName()
  const fleet = await serving([{ name, version: 1, input: z.unknown() }])
  const { schedules, callbacks, tasks } = fleet.as()
  await tasks.enqueue({ name, runAt: '2099-01-01' })
  await tasks.enqueue({ name, queue: 'nobodys' })
  await schedules.create({ _id: name, task: name, every: '1h', options: { queue: 'later' } })
  await schedules.create({ _id: `${name}-held`, task: name, version: 3, every: '1h', paused: true })
  await callbacks.create({ event: 'Happened', task: name, version: 2 })
  const rows = (await tasks.coverage()).filter((row) => row.name === name)
  expect(rows).toMatchObject([
    { queue: 'later', version: 1, waiting: 0, served: false, schedules: [name] },
    { queue: 'nobodys', version: 1, waiting: 1, due: 1, served: false, workers: [] },
    { queue: 'default', version: 2, waiting: 0, served: false, callbacks: 1 },
    { queue: 'default', version: 1, waiting: 1, due: 0, served: true, workers: ['w'] },
  ])
})
