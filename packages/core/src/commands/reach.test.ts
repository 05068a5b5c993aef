import { OPERATIONS, type Operation, SCOPES, type Scope } from '@taskfleet/protocol'
import { newTask, taskFactory } from '@taskfleet/testkit/task-factory'
import { Types } from 'mongoose'
import { describe, expect, test } from 'vitest'
import type { Principal } from '../auth/key-store.ts'
import type { Fleet } from '../fleet.ts'
import { MemoryDatabase } from '../memory/memory-database.ts'

type Side = 'own' | 'foreign'
type Requests<Answer> = {
  [Aggregate in keyof typeof OPERATIONS]?: { [Verb in keyof (typeof OPERATIONS)[Aggregate]]?: Answer }
}

/** A mark in every text out of reach: it must never appear in a limited key's results. */
const MARK = 'FOREIGN'
const FAR = '2099-01-01T00:00:00.000Z'
const QUEUES = { own: 'own', foreign: `${MARK}-queue` }
const NAMES = { own: 'mine', foreign: `${MARK}-task` }

const ALL_SCOPES = [...SCOPES]
const LIMITED: Record<string, Principal> = {
  'to a queue': { id: 'limited', scopes: ALL_SCOPES, queues: [QUEUES.own] },
  'to a name': { id: 'limited', scopes: ALL_SCOPES, names: [NAMES.own] },
  'to both': { id: 'limited', scopes: ALL_SCOPES, queues: [QUEUES.own], names: [NAMES.own] },
}

/** The things on each side: a document of every kind. */
interface Belongings {
  waiting: string
  paused: string
  failed: string
  callback: string
  event: string
  schedule: string
  worker: string
  bulk: string
  /** A bulk operation that has ended and can be undone. */
  endedBulk: string
}

interface World {
  fleet: Fleet
  own: Belongings
  foreign: Belongings
}

/** A fleet with everything twice: once within reach of the limited keys, and once out of reach. */
async function world(): Promise<World> {
  const memory = new MemoryDatabase()
  const fleet = memory.fleet()
  const sides = { own: await furnish(fleet, 'own'), foreign: await furnish(fleet, 'foreign') }
  const now = new Date()
  const error = { code: MARK, name: 'Error', message: MARK, fingerprint: MARK }
  await fleet.errors.record({ error, task: new Types.ObjectId(), name: MARK, version: 1, host: MARK })
  await memory.db.collection('setAside').insertOne({ collection: 'tasks', id: MARK, problem: MARK, at: now } as never)
  await fleet.audit.record({ by: MARK, action: MARK, target: MARK })
  return { fleet, ...sides }
}

async function furnish(fleet: Fleet, side: Side): Promise<Belongings> {
  const [queue, name, mark] = [QUEUES[side], NAMES[side], side === 'own' ? 'own' : MARK]
  const admin = fleet.as()
  const make = taskFactory(fleet.store)
  const over = { queue, name, input: { text: mark } }
  const waiting = await make.pending({ ...over, key: `${mark}-key`, runAt: new Date(FAR) })
  const paused = await make.paused(over)
  const failed = await make.failed(over)
  await fleet.database.db.collection('taskLogs').insertOne({
    ...{ task: failed._id, attempt: 1, from: 1 },
    lines: [{ seq: 1, at: new Date(), level: 'info', message: mark }],
  })
  const worker = `worker-${mark}`
  await fleet.database.db.collection('workers').insertOne({
    ...{
      _id: worker,
      name: worker,
      host: `host-${MARK}`,
      pid: 4_321,
      role: 'worker',
      url: `http://${MARK}:1`,
      secretIds: [MARK],
      disks: [{ folder: `/${MARK}`, free: 1, total: 2 }],
    },
    ...{ state: 'running', queues: [queue, QUEUES.foreign], tasks: [`${name}@1`, 'shared@1'] },
    ...{ slots: 1, running: 0, load: { cpu: 0, rss: 0, memoryFree: 0, eventLoopDelayMs: 0 } },
    ...{ heartbeatMs: 2_500, version: '1', startedAt: new Date(), heartbeatAt: new Date(), rev: 1 },
  } as never)
  await admin.queues.limit({ name: queue, limits: { concurrency: 3 } })
  const defaults = { queue, input: { text: mark } }
  const callback = await admin.callbacks.create({ event: `${mark}-event`, task: name, defaults })
  const event = await admin.events.post({ name: `${mark}-event`, props: { said: mark }, scheduledFor: FAR })
  const schedule = await admin.schedules.create({ _id: `${mark}-nightly`, task: name, every: '1h', options: { queue } })
  const start = () =>
    fleet.bulk.start(
      {
        ...{ _id: new Types.ObjectId(), command: 'pause', by: mark, keyed: false, filter: `{"queue":"${queue}"}` },
        ...{ queues: [queue], names: [name] },
      },
      [{ _id: paused._id }],
    )
  const [bulk, { _id: ended }] = [await start(), await start()]
  const asEnded = { state: 'completed', endedAt: new Date(), changed: 1 }
  await fleet.database.db.collection('bulk').updateOne({ _id: ended }, { $set: asEnded })
  await admin.keys.create({ name: `${mark}-key`, scopes: ['read'] })
  return {
    ...{ waiting: waiting._id.toHexString(), paused: paused._id.toHexString(), failed: failed._id.toHexString() },
    ...{ callback: callback._id, event: event._id, schedule: schedule._id, worker },
    ...{ bulk: bulk._id.toHexString(), endedBulk: ended.toHexString() },
  }
}

/** The name of the field that identifies one thing, by aggregate. */
const THINGS: { [Aggregate in keyof typeof OPERATIONS]?: (its: Belongings, side: Side) => string } = {
  tasks: ({ waiting }) => waiting,
  bulk: ({ bulk }) => bulk,
  events: ({ event }) => event,
  callbacks: ({ callback }) => callback,
  schedules: ({ schedule }) => schedule,
  queues: (_, side) => QUEUES[side],
  workers: ({ worker }) => worker,
  keys: () => 'nobody',
}

/** Requests about the things on a side, for operations that need more than one name. */
const REQUESTS: Requests<(its: Belongings, side: Side) => unknown> = {
  tasks: {
    enqueue: (_, side) => ({ name: NAMES[side], queue: QUEUES[side] }),
    enqueueMany: (_, side) => ({ tasks: [{ name: NAMES[side], queue: QUEUES[side] }] }),
    list: () => ({ limit: 100, fields: ['name', 'queue', 'input', 'error', 'key'] }),
    pause: ({ waiting }) => ({ ids: [waiting] }),
    resume: ({ paused }) => ({ id: paused }),
    retry: ({ failed }) => ({ id: failed }),
    replay: ({ failed }) => ({ ids: [failed] }),
    reprioritise: ({ waiting }) => ({ id: waiting, priority: 9 }),
    edit: ({ waiting }) => ({ id: waiting, changes: { priority: 9 } }),
    remove: ({ failed }) => ({ id: failed }),
    log: ({ failed }) => ({ id: failed }),
  },
  bulk: {
    start: ({ waiting }) => ({ command: 'pause', ids: [waiting] }),
    undo: ({ endedBulk }) => ({ id: endedBulk }),
  },
  events: {
    post: (_, side) => ({ name: `${side === 'own' ? 'own' : MARK}-event`, props: { a: 1 } }),
    edit: ({ event }) => ({ id: event, changes: { priority: 9 } }),
  },
  callbacks: {
    create: (_, side) => ({ event: 'any', task: NAMES[side], defaults: { queue: QUEUES[side] } }),
    edit: ({ callback }) => ({ id: callback, changes: { version: 2 } }),
    replace: ({ callback }, side) => ({
      id: callback,
      callback: { event: 'any', task: NAMES[side], defaults: { queue: QUEUES[side] } },
    }),
  },
  schedules: {
    create: (_, side) => ({ _id: 'another', task: NAMES[side], every: '1h', options: { queue: QUEUES[side] } }),
    edit: ({ schedule }) => ({ name: schedule, changes: { every: '2h' } }),
    replace: ({ schedule }, side) => ({
      name: schedule,
      schedule: { task: NAMES[side], every: '2h', options: { queue: QUEUES[side] } },
    }),
    preview: () => ({ every: '1h' }),
  },
  queues: {
    limit: (_, side) => ({ name: QUEUES[side], limits: { concurrency: 1 } }),
    replace: (_, side) => ({ name: QUEUES[side], settings: { concurrency: 1 } }),
  },
  errors: { mark: () => ({ fingerprint: MARK, state: 'resolved' }) },
  keys: {
    create: () => ({ name: 'made', scopes: ['admin'] }),
    edit: () => ({ id: 'nobody', changes: { name: 'other' } }),
  },
  retention: { set: () => ({ completed: null }) },
  audit: { list: ({ waiting }) => ({ id: waiting }) },
}

/** Operations on the whole fleet, which no limited key may do. */
const OF_THE_FLEET = new Set([
  ...['events.list', 'events.show', 'events.remove', 'callbacks.create', 'callbacks.edit', 'callbacks.replace'],
  ...['workers.drain', 'workers.resume', 'errors.list', 'errors.mark', 'documents.list'],
  ...['keys.list', 'keys.show', 'keys.create', 'keys.edit', 'keys.revoke'],
  ...['retention.show', 'retention.set', 'retention.prune'],
])
/** Settings of a queue apply to all its names. */
const OF_A_QUEUE = new Set(['queues.pause', 'queues.resume', 'queues.limit', 'queues.replace'])
/** Operations that return everything or what the request has; they can't name things out of reach. */
const ABOUT_NOBODY = new Set([
  ...['tasks.list', 'tasks.coverage', 'bulk.list', 'callbacks.list', 'schedules.list', 'schedules.preview'],
  ...['queues.list', 'workers.list'],
])

const OPERATION_NAMES = Object.entries(OPERATIONS).flatMap(([aggregate, verbs]) =>
  Object.entries(verbs as Record<string, Operation>).map(([verb, { scope, by }]) => ({
    ...{ operation: `${aggregate}.${verb}`, aggregate, verb, scope, by },
  })),
)
type Named = (typeof OPERATION_NAMES)[number]

type Make = (its: Belongings, side: Side) => unknown

/** A request with the name of one thing, or an empty one. */
function named(aggregate: string, by: string | undefined, its: Belongings, side: Side): object {
  return by === undefined ? {} : { [by]: (THINGS as Record<string, Make>)[aggregate]!(its, side) }
}

function call({ fleet, ...sides }: World, { aggregate, verb, by }: Named, principal: Principal, side: Side) {
  const own = (REQUESTS as Record<string, Record<string, Make | undefined> | undefined>)[aggregate]?.[verb]
  const request = own === undefined ? named(aggregate, by, sides[side], side) : own(sides[side], side)
  const methods = fleet.as(principal) as unknown as Record<
    string,
    Record<string, (request: unknown) => Promise<unknown>>
  >
  return methods[aggregate]![verb]!(request)
}

const outcomeOf = (asked: Promise<unknown>): Promise<{ code?: string; message?: string; answer?: unknown }> =>
  asked.then(
    (answer) => ({ answer }),
    ({ code, message }: { code: string; message: string }) => ({ code, message }),
  )

/** All stored data, without the audit log. */
async function stored({ fleet }: World): Promise<string> {
  const names = [
    'tasks',
    'bulk',
    'bulkParts',
    'events',
    'callbacks',
    'schedules',
    'queues',
    'workers',
    'errors',
    'keys',
    'settings',
  ]
  const all = await Promise.all(
    [...names, 'throttles', 'taskLogs', 'setAside'].map((name) => fleet.database.db.collection(name).find().toArray()),
  )
  return JSON.stringify(all)
}

const REFUSED = ['FORBIDDEN', 'QUEUE_NOT_ALLOWED', 'NAME_NOT_ALLOWED']
const refusals = async ({ fleet }: World) =>
  (await fleet.audit.list({ limit: 1_000 })).filter(({ refused }) => refused !== undefined)

describe('operation × scope', () => {
  const scopes = SCOPES.map((scope) => ({ scope }))
  test.each(OPERATION_NAMES)('$operation needs $scope', async (named) => {
    for (const { scope } of scopes) {
      const here = await world()
      const before = await stored(here)
      const { code } = await outcomeOf(call(here, named, { id: 'one', scopes: [scope as Scope] }, 'own'))
      const may = scope === named.scope || scope === 'admin'
      expect([scope, code === 'FORBIDDEN']).toEqual([scope, !may])
      if (may) continue
      expect(await stored(here)).toBe(before)
      expect(await refusals(here)).toMatchObject([{ action: named.operation, by: 'one', refused: 'FORBIDDEN' }])
    }
  })
})

describe.each(Object.entries(LIMITED))('operation × reach, of a key that is limited %s', (_, principal) => {
  const ofTheFleet = ({ operation }: Named): boolean =>
    OF_THE_FLEET.has(operation) || (principal.names !== undefined && OF_A_QUEUE.has(operation))

  test.each(OPERATION_NAMES)('$operation within its reach', async (named) => {
    const here = await world()
    const before = await stored(here)
    const { code, message, answer } = await outcomeOf(call(here, named, principal, 'own'))
    if (ofTheFleet(named)) {
      expect(code).toBe('FORBIDDEN')
      expect(await stored(here)).toBe(before)
      expect(await refusals(here)).toMatchObject([{ action: named.operation, by: 'limited', refused: code }])
    } else {
      expect({ code, message }).toEqual({ code: undefined, message: undefined })
      expect(JSON.stringify(answer) ?? '').not.toContain(MARK)
    }
  })

  test.each(OPERATION_NAMES.filter(({ operation }) => !ABOUT_NOBODY.has(operation)))(
    '$operation on what it may not reach',
    async (named) => {
      const here = await world()
      const before = await stored(here)
      const { code, answer } = await outcomeOf(call(here, named, principal, 'foreign'))
      if (named.operation === 'events.post') {
        // The maker of the callback may make its task; the poster sees nothing of it.
        expect(answer).toMatchObject({ tasks: [] })
        return
      }
      expect(code).toBeOneOf([...REFUSED, 'NOT_FOUND', undefined])
      // A list of ids returns the ids that were refused.
      if (code === undefined) expect(JSON.stringify(answer) ?? '').not.toContain(MARK)
      expect(await stored(here)).toBe(before)
      if (REFUSED.includes(code!)) expect(await refusals(here)).toMatchObject([{ by: 'limited', refused: code }])
    },
  )
})

describe('keys, throttles and debounces belong to a queue', () => {
  const limited = LIMITED['to a queue']!
  const elsewhere = { name: NAMES.own, key: `${MARK}-key`, queue: QUEUES.own }

  test.each([
    ['a task that replaces', { keyPolicy: 'replace' }],
    ['a task that asks for what is there', { keyPolicy: 'return' }],
    ['a debounced task', { debounce: '1s' }],
    ['a throttled task', { throttle: '1h' }],
    ['a task that insists', {}],
  ])('%s meets none of another queue', async (_, over) => {
    const here = await world()
    const before = await here.fleet.store.find(new Types.ObjectId(here.foreign.waiting))
    const made = await here.fleet.as(limited).tasks.enqueue({ ...elsewhere, ...over } as never)
    expect(made).toMatchObject({ queue: QUEUES.own })
    expect(JSON.stringify(made)).not.toContain(`"${MARK}"`)
    expect(await here.fleet.store.find(new Types.ObjectId(here.foreign.waiting))).toEqual(before)
  })

  test('a throttle of one queue does not affect another', async () => {
    const { fleet } = await world()
    const throttled = { name: 'report', key: 'daily', throttle: '1h' } as const
    const first = await fleet.as(limited).tasks.enqueue({ ...throttled, queue: QUEUES.own })
    const other = await fleet.as().tasks.enqueue({ ...throttled, queue: QUEUES.foreign })
    expect(other._id).not.toBe(first._id)
    expect(await fleet.as().tasks.enqueue({ ...throttled, queue: QUEUES.foreign })).toMatchObject({ _id: other._id })
  })

  test('a task can not be moved to a queue where its key is taken', async () => {
    const { fleet } = await world()
    const first = await fleet.as().tasks.enqueue({ name: 'a', key: 'k', queue: 'one', runAt: FAR })
    const other = await fleet.as().tasks.enqueue({ name: 'a', key: 'k', queue: 'two', runAt: FAR })
    const moving = fleet.as().tasks.edit({ id: other._id, changes: { queue: 'one' } })
    await expect(moving).rejects.toMatchObject({ code: 'KEY_EXISTS', field: 'key' })
    expect(first.queue).toBe('one')
  })

  test('a key gets no task with a name out of its reach, even in its own queue', async () => {
    const { fleet, own } = await world()
    const named = { id: 'named', scopes: ALL_SCOPES, names: ['other'] }
    const asked = fleet
      .as(named)
      .tasks.enqueue({ name: 'other', queue: QUEUES.own, key: 'own-key', keyPolicy: 'return' })
    await expect(asked).rejects.toMatchObject({ code: 'KEY_EXISTS' })
    expect(own.waiting).toBeDefined()
  })
})

test('a limited key sees what workers do for it, and not where they are', async () => {
  const { fleet } = await world()
  const list = async (over: Partial<Principal>) => fleet.as({ ...LIMITED['to both']!, ...over }).workers.list()
  expect(await list({})).toMatchObject([{ name: 'worker-own', queues: [QUEUES.own], tasks: ['mine@1'] }])
  const [seen] = await list({})
  for (const field of ['host', 'pid', 'url', 'boot', 'secretIds', 'disks', 'control'])
    expect(seen).not.toHaveProperty(field)
  expect(await list({ queues: ['nobody’s'] })).toEqual([])
})

test('a command on a task that left the queue in the meantime changes nothing', async () => {
  const { fleet } = await world()
  const within = { queue: { $in: [QUEUES.own] } }
  const make = taskFactory(fleet.store)
  const waiting = await make.pending({ queue: QUEUES.foreign })
  const paused = await make.paused({ queue: QUEUES.foreign })
  const blocked = await make.pending({ queue: QUEUES.foreign, after: waiting._id })
  await fleet.store.pause(blocked._id, 'test')
  const failed = await make.failed({ queue: QUEUES.foreign })
  const { store } = fleet
  expect(await store.cancel(waiting._id, 'me', undefined, within)).toBeNull()
  expect(await store.pause(waiting._id, 'me', undefined, within)).toBeNull()
  expect(await store.resume(paused._id, within)).toBeNull()
  expect(await store.resume(blocked._id, within)).toBeNull()
  expect(await store.rerun(failed._id, within)).toBeNull()
  expect(await store.edit(waiting._id, { priority: 9 }, undefined, within)).toBeNull()
  expect(await store.edit(waiting._id, { after: [] }, undefined, within)).toBeNull()
  expect(await store.remove(failed._id, within)).toBe(false)
  expect(newTask({ queue: QUEUES.own }).queue).toBe(QUEUES.own)
})

test('a limited key can not repeat an event of another key, and sees nothing of it', async () => {
  const { fleet } = await world()
  const limited = fleet.as(LIMITED['to a queue']!)
  const request = { _id: 'e'.repeat(24), name: 'Nobody', props: { hidden: 1 } }
  await fleet.as().events.post(request)
  await expect(limited.events.post(request)).rejects.toMatchObject({ code: 'EVENT_EXISTS' })
  const own = { _id: 'f'.repeat(24), name: 'Nobody', props: {} }
  const posted = await limited.events.post(own)
  expect(await limited.events.post(own)).toEqual(posted)
})
