import { type RunningMongo, startMongo } from '@taskfleet/dev-mongo'
import { type CommandFailure, failCommand } from '@taskfleet/testkit/fail-command'
import { ReplyRelay } from '@taskfleet/testkit/reply-relay'
import { newTask, taskFactory } from '@taskfleet/testkit/task-factory'
import { mongo } from 'mongoose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { LOCAL } from '../auth/key-store.ts'
import { Fleet } from '../fleet.ts'
import { databaseError, isDuplicatesOnly } from './unknown-outcome.ts'

const WRITES = ['insert', 'update', 'delete', 'findAndModify']
const LATER = new Date(Date.now() + 3_600_000)

let server: RunningMongo
let relay: ReplyRelay
let fleet: Fleet
let relayed: Fleet
let undo: (() => Promise<void>) | undefined

beforeAll(async () => {
  const { TASKFLEET_MONGO_URI: _, ...env } = process.env
  server = await startMongo({ env, enableTestCommands: true })
  relay = new ReplyRelay(server.uri)
  fleet = await Fleet.connect(server.uri, { name: 'unknown' })
  relayed = await Fleet.connect(await relay.start(server.uri), { name: 'unknown' })
})

afterEach(async () => {
  await undo?.()
  undo = undefined
})

afterAll(async () => {
  await fleet.close()
  await relayed.close()
  await relay.stop()
  await server.stop()
})

const fail = async (failure: CommandFailure, times?: number): Promise<void> => {
  undo = await failCommand(fleet.database.db, failure, times)
}

const codeOf = (acting: Promise<unknown>): Promise<unknown> =>
  acting.then(
    () => 'answered',
    (error: unknown) => (error as { code?: unknown }).code ?? error,
  )

const made = (): ReturnType<typeof taskFactory> => taskFactory(fleet.store)
const id = (): string => new mongo.ObjectId().toHexString()
const name = (): string => `n${id()}`

/** Each verb of a client, ready to run. */
const VERBS: Record<string, () => Promise<() => Promise<unknown>>> = {
  enqueue: async () => () => fleet.control().enqueue({ name: 'x', runAt: LATER.toISOString() }),
  cancel: async () => {
    const task = await made().pending()
    return () => fleet.control().cancel({ id: task._id.toHexString() })
  },
  pause: async () => {
    const task = await made().pending()
    return () => fleet.control().pause({ id: task._id.toHexString() })
  },
  resume: async () => {
    const task = await made().paused()
    return () => fleet.control().resume({ id: task._id.toHexString() })
  },
  retry: async () => {
    const task = await made().failed()
    return () => fleet.control().retry({ id: task._id.toHexString() })
  },
  reprioritise: async () => {
    const task = await made().pending()
    return () => fleet.control().reprioritise({ id: task._id.toHexString(), priority: 'high' })
  },
  edit: async () => {
    const task = await made().pending()
    return () => fleet.control().edit({ id: task._id.toHexString(), changes: { priority: 'low' } })
  },
  'mark an error': async () => {
    const fingerprint = id()
    await fleet.errors.record({
      error: { code: 'TEST', name: 'Error', message: 'it broke', fingerprint },
      task: new mongo.ObjectId(),
      name: 'x',
      version: 1,
      host: 'h',
    })
    return () => fleet.control().markError({ fingerprint, state: 'resolved' })
  },
  'pause a queue': async () => () => fleet.control().controlQueue({ queue: 'q', action: 'pause' }),
  'limit a queue': async () => () => fleet.as(LOCAL).queues.limit({ name: 'q', limits: { concurrency: 2 } }),
  'make a callback': async () => () => fleet.eventsFor().createCallback({ event: name(), task: 'x' }),
  'remove a callback': async () => {
    const { _id } = await fleet.eventsFor().createCallback({ event: name(), task: 'x' })
    return () => fleet.eventsFor().removeCallback(_id)
  },
  'make a schedule': async () => () => fleet.schedulesFor().create({ _id: name(), task: 'x', every: '1h' }),
  'pause a schedule': async () => {
    const { _id } = await fleet.schedulesFor().create({ _id: name(), task: 'x', every: '1h' })
    return () => fleet.schedulesFor().pause(_id)
  },
  'remove a schedule': async () => {
    const { _id } = await fleet.schedulesFor().create({ _id: name(), task: 'x', every: '1h' })
    return () => fleet.schedulesFor().remove(_id)
  },
  'make a key': async () => () => fleet.keysFor().create({ name: 'k', scopes: ['read'] }),
  'revoke a key': async () => {
    const key = await fleet.keysFor().create({ name: 'k', scopes: ['read'] })
    return () => fleet.keysFor().revoke(key.id)
  },
  'set the retention': async () => () => fleet.upkeepFor().setRetention({ completed: 86_400_000 }),
  prune: async () => {
    await made().completed()
    return () => fleet.upkeepFor().prune({ olderThanMs: 0 })
  },
}

const FAILURES: Record<string, CommandFailure> = {
  'it is not confirmed by a majority': {
    failCommands: WRITES,
    writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' },
  },
  'the connection is lost': { failCommands: WRITES, closeConnection: true },
}
const ELECTIONS: Record<string, CommandFailure> = {
  'too few members are there to confirm it': {
    failCommands: WRITES,
    writeConcernError: { code: 100, errmsg: 'not enough data-bearing nodes' },
  },
  'the primary steps down': { failCommands: WRITES, errorCode: 10_107, errorLabels: ['RetryableWriteError'] },
  'the server shuts down': { failCommands: WRITES, errorCode: 91, errorLabels: ['RetryableWriteError'] },
  'an election interrupts it': { failCommands: WRITES, errorCode: 11_602, errorLabels: ['RetryableWriteError'] },
}

describe.each(Object.keys(VERBS))('%s', (verb) => {
  const failures = verb === 'enqueue' || verb === 'cancel' ? { ...FAILURES, ...ELECTIONS } : FAILURES
  test.each(Object.entries(failures))('is no success when %s', async (_, failure) => {
    const act = await VERBS[verb]!()
    await fail(failure)
    expect(await codeOf(act())).toBe('UNKNOWN_OUTCOME')
  })
})

test('a task with an unknown outcome can be enqueued again with the id in the error', async () => {
  const task = newTask()
  await fail({ failCommands: ['insert'], writeConcernError: { code: 64, errmsg: 'timed out' } })
  const thrown = await fleet.store.enqueue([task]).catch((error: unknown) => error)
  expect(thrown).toMatchObject({
    code: 'UNKNOWN_OUTCOME',
    ids: [task._id.toHexString()],
    message: expect.stringContaining(task._id.toHexString()),
  })
  await undo?.()
  await fleet.store.enqueue([task])
  expect(await fleet.tasks.countDocuments({ _id: task._id })).toBe(1)
})

test('a task whose responses are lost is stored once, no matter how often it is requested', async () => {
  const task = newTask()
  relay.lose(['insert'], 2)
  expect(await codeOf(relayed.store.enqueue([task]))).toBe('UNKNOWN_OUTCOME')
  expect(relay.left).toBe(0)
  await relayed.store.enqueue([task])
  expect(await fleet.tasks.countDocuments({ _id: task._id })).toBe(1)
})

test('the driver recovers from a single lost response', async () => {
  const task = newTask()
  relay.lose(['insert'])
  expect(await relayed.store.enqueue([task])).toMatchObject([{ _id: task._id, status: 'pending' }])
})

test('an event that is not confirmed at first is stored once, with its tasks', async () => {
  const event = name()
  await fleet.eventsFor().createCallback({ event, task: 'x' })
  await fail({ failCommands: ['commitTransaction'], writeConcernError: { code: 64, errmsg: 'timed out' } }, 1)
  const posted = await fleet.eventsFor().post({ name: event })
  expect(await fleet.tasks.countDocuments({ event: new mongo.ObjectId(posted._id) })).toBe(1)
})

test('a claim that an election interrupts returns the tasks that it has claimed', async () => {
  const tasks = await Promise.all([made().pending(), made().pending(), made().pending()])
  relay.lose(['update'])
  const claims = await relayed.store.claim(
    tasks.map(({ _id }) => _id),
    { worker: 'w', host: 'h' },
  )
  expect(claims.map(({ task }) => String(task._id)).sort()).toEqual(tasks.map(({ _id }) => String(_id)).sort())
  expect(claims.every(({ adopted }) => adopted)).toBe(true)
})

test('attempts that end together during an election end once, each with its own result', async () => {
  const tasks = await Promise.all([made().pending(), made().pending()])
  const claims = await fleet.store.claim(
    tasks.map(({ _id }) => _id),
    { worker: 'w', host: 'h' },
  )
  await fail({ failCommands: ['update'], errorCode: 11_602 }, 1)
  const settled = await Promise.all(claims.map((claim) => fleet.store.settle(claim, { verb: 'complete', output: 1 })))
  expect(settled).toEqual([
    { owned: true, status: 'completed' },
    { owned: true, status: 'completed' },
  ])
})

test('pruned tasks are reported as removed, even if the response was lost', async () => {
  const ended = await made().completed()
  // The relayed process's estimate of the time may be slightly behind.
  await fleet.tasks.updateOne({ _id: ended._id }, { $set: { finishedAt: new Date(0) } })
  relay.lose(['delete'])
  const { removed } = await relayed.upkeepFor().prune({ olderThanMs: 0 })
  expect(removed).toBeGreaterThan(0)
  expect(await fleet.store.find(ended._id)).toBeNull()
})

test('a failed read is not an unknown outcome', async () => {
  const task = await made().pending()
  await fail({ failCommands: ['find', 'aggregate'], closeConnection: true })
  expect(await codeOf(fleet.control().explain(task._id.toHexString()))).toBe('NO_DATABASE')
})

test('a missing permission is named', async () => {
  const refusal = Object.assign(
    new Error('not authorized on taskfleet to execute command { findAndModify: "tasks", query: {} }'),
    { code: 13 },
  )
  expect(databaseError(refusal, { asked: 'write' })).toMatchObject({
    code: 'DATABASE_FORBIDDEN',
    message: expect.stringMatching(/readWrite.*`findAndModify` on `taskfleet.tasks`/),
  })
  await fail({ failCommands: WRITES, errorCode: 13 })
  expect(await codeOf(fleet.store.enqueue([newTask()]))).toBe('DATABASE_FORBIDDEN')
})

test('a bulk write without errors of single writes does not prove that the rest was stored', async () => {
  const unique = fleet.database.db.collection<{ _id: number }>('unique')
  await unique.insertOne({ _id: 1 })
  const twice = () => unique.bulkWrite([{ insertOne: { document: { _id: 1 } } }]).catch((error: unknown) => error)
  expect(isDuplicatesOnly(await twice())).toBe(true)
  await fail({ failCommands: ['insert'], closeConnection: true })
  expect(isDuplicatesOnly(await twice())).toBe(false)
})
