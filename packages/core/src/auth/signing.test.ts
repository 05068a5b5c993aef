import { taskFactory } from '@taskfleet/testkit/task-factory'
import type { mongo } from 'mongoose'
import { describe, expect, test } from 'vitest'
import { MemoryDatabase } from '../memory/memory-database.ts'
import { newSigningKey, SIGNING_ALGORITHMS, Signing, type SigningAlgorithm, type SigningOptions } from './signing.ts'

const FAR = '2099-01-01T00:00:00.000Z'
const codeOf = (make: () => unknown): unknown => {
  try {
    return make() ?? 'done'
  } catch (error) {
    return (error as { code?: string }).code
  }
}

/** A fleet in memory whose process signs, with a worker's checks of its documents. */
function signedFleet(algorithm: SigningAlgorithm = 'hmac', over: SigningOptions = {}) {
  const memory = new MemoryDatabase()
  const { key, trusted } = newSigningKey(algorithm, 'producer')
  const worker = new Signing({ mode: 'required', trusted: [trusted] })
  const fleet = memory.fleet({ signing: { key, mode: 'required', trusted: [trusted], ...over } })
  const stored = (id: unknown) => memory.db.collection('tasks').findOne({ _id: id as never }) as Promise<mongo.Document>
  const idOf = async (id: string) => (await fleet.tasks.find().toArray()).find(({ _id }) => String(_id) === id)!._id
  const problem = async (id: string): Promise<string | undefined> =>
    worker.problem('task', { ...(await stored(await idOf(id))) })?.code
  return { memory, fleet, worker, problem, idOf, stored, admin: fleet.as() }
}

describe.each(SIGNING_ALGORITHMS)('tasks signed with %s', (algorithm) => {
  test('are valid however they were made, and after every change by the fleet', async () => {
    const { fleet, admin, problem, memory } = signedFleet(algorithm)
    const input = { to: 'ann', amount: 1.5, nested: { list: [1, 'two', null], at: new Date(0) } }
    const plain = await admin.tasks.enqueue({ name: 'pay', input })
    const dated = { name: 'pay', input: { n: 1 }, runAt: FAR, deadline: FAR }
    const later = await admin.tasks.enqueue({ ...dated, key: 'k' })
    const many = await admin.tasks.enqueueMany({ tasks: [{ name: 'pay' }, { name: 'pay', after: plain._id }] })
    const replaced = await admin.tasks.enqueue({ name: 'pay', input: { n: 2 }, key: 'k', keyPolicy: 'replace' })
    expect(replaced._id).toBe(later._id)
    const debounced = await admin.tasks.enqueue({ name: 'pay', key: 'd', debounce: '1h' })
    await admin.tasks.enqueue({ name: 'pay', input: { last: true }, key: 'd', debounce: '1h' })
    await admin.tasks.edit({ id: plain._id, changes: { input: { n: 3 }, queue: 'bulk', deadline: FAR } })
    await admin.tasks.edit({ id: plain._id, changes: { runAt: FAR, priority: 9 } })
    await admin.tasks.edit({ id: many[1]!._id, changes: { after: [], deadline: null, input: 4 } })
    const waits = await admin.tasks.enqueue(dated)
    await admin.tasks.cancel({ id: waits._id })
    await admin.tasks.retry({ id: waits._id })
    const failed = await taskFactory(fleet.store).failed({ name: 'pay', input: { n: 5 } })
    const replay = await admin.tasks.replay({ id: failed._id.toHexString() })
    await admin.schedules.create({ _id: 'nightly', task: 'pay', cron: '0 3 * * *', input: { n: 6 } })
    await admin.schedules.edit({ name: 'nightly', changes: { every: '1h' } })
    const run = await admin.schedules.run({ name: 'nightly' })
    await admin.schedules.pause({ name: 'nightly' })
    const callback = await admin.callbacks.create({ event: 'Paid', task: 'pay', defaults: { input: { by: 'card' } } })
    await admin.callbacks.edit({ id: callback._id, changes: { version: 2 } })
    const event = await admin.events.post({ name: 'Paid', props: { amount: 2 } })
    const ids = [plain, later, ...many, debounced, waits, run].map(({ _id }) => _id)
    const all = [...ids, failed._id.toHexString(), ...replay.tasks!, ...event.tasks]
    expect(await Promise.all(all.map(problem))).toEqual(all.map(() => undefined))
    expect(event.tasks).toHaveLength(1)
    expect(await memory.db.collection('setAside').countDocuments({})).toBe(0)
    // The signature must not be visible.
    expect(
      JSON.stringify([
        await admin.tasks.show({ id: plain._id }),
        await admin.schedules.show({ name: 'nightly' }),
        callback,
      ]),
    ).not.toContain('signature')
  })

  test('are invalid after any change in the database', async () => {
    const { admin, memory, problem, idOf } = signedFleet(algorithm)
    const fields = {
      ...{ name: 'other', version: 2, queue: 'other', input: { to: 'mallory' }, deadline: new Date() },
      ...{ replayOf: 'x', schedule: 'x', event: 'x', runAt: new Date(0) },
    }
    const ofSignature = [
      ...['nobody', '1', '1', 'AAAA'].map((text, place) => (signature: string) => {
        return signature.split(':').with(place, text).join(':')
      }),
      () => 'nonsense',
      () => ({ kid: 'nonsense' }),
    ]
    const changes: [field: string, change: (before: string) => unknown][] = [
      ...Object.entries(fields).map(([field, value]): (typeof changes)[number] => [field, () => value]),
      ...ofSignature.map((change): (typeof changes)[number] => ['signature', change]),
    ]
    for (const [field, change] of changes) {
      const { _id } = await admin.tasks.enqueue({ name: 'pay', input: { to: 'ann' }, runAt: FAR })
      const id = await idOf(_id)
      const { signature } = (await memory.db.collection('tasks').findOne({ _id: id }))! as unknown as {
        signature: string
      }
      await memory.db.collection('tasks').updateOne({ _id: id }, { $set: { [field]: change(signature) } })
      expect([field, await problem(_id)]).toEqual([field, 'BAD_SIGNATURE'])
      // An edit of an invalid task does not make it valid.
      await admin.tasks.edit({ id: _id, changes: { deadline: FAR, runAt: FAR, input: 1 } }).catch(() => undefined)
      expect([field, await problem(_id)]).toEqual([field, 'BAD_SIGNATURE'])
      await memory.db.collection('tasks').updateOne({ _id: id }, { $unset: { signature: '' } })
      expect(await problem(_id)).toBe('UNSIGNED_TASK')
    }
    // A valid signature can't be used for a task with another id.
    const { _id } = await admin.tasks.enqueue({ name: 'pay' })
    const copy = await memory.db.collection('tasks').findOne({ _id: await idOf(_id) })
    await memory.db.collection('tasks').insertOne({ ...copy, _id: 'a copy' as never })
    const { worker, stored } = signedFleet(algorithm)
    expect(worker.problem('task', { ...copy, _id: 'a copy' })?.code).toBe('BAD_SIGNATURE')
    expect(await stored('a copy')).toBeNull()
  })
})

test('schedules and callbacks without a trusted signature are set aside and make no task', async () => {
  const { admin, memory, fleet } = signedFleet()
  await admin.schedules.create({ _id: 'good', task: 'pay', every: '1h' })
  const callback = await admin.callbacks.create({ event: 'Paid', task: 'pay' })
  const { db } = memory
  const schedule = (await db.collection('schedules').findOne({ _id: 'good' as never }))!
  await db.collection('schedules').insertOne({ ...schedule, _id: 'forged' as never, nextAt: new Date(1) })
  await db.collection('callbacks').updateOne({ event: 'Paid' }, { $set: { task: 'steal' } })
  expect((await fleet.schedules.due()).due).toEqual([])
  await expect(admin.schedules.run({ name: 'forged' })).rejects.toMatchObject({ code: 'BAD_SIGNATURE' })
  expect(await admin.events.post({ name: 'Paid' })).toMatchObject({ tasks: [] })
  expect((await admin.documents.list()).map(({ collection, id }) => [collection, id]).toSorted()).toEqual([
    ['callbacks', callback._id],
    ['schedules', 'forged'],
  ])
})

test('invalid keys and modes are rejected', () => {
  const { key, trusted } = newSigningKey('ed25519', 'a')
  expect(codeOf(() => new Signing({ mode: 'required' }))).toBe('NO_TRUSTED_KEYS')
  expect(codeOf(() => new Signing({ key: trusted }))).toBe('BAD_SIGNING_KEY')
  for (const wrong of ['', 'hmac:a', 'hmac:a:c2hvcnQ', 'ed25519:a:AAAA', 'ed25519-batch:a:AAAA', `rsa:a:${key}`]) {
    expect([wrong, codeOf(() => new Signing({ trusted: [wrong] }))]).toEqual([wrong, 'BAD_SIGNING_KEY'])
  }
  expect(codeOf(() => Signing.fromEnv({ TASKFLEET_SIGNING: 'always' }))).toBe('BAD_VALUE')
  const env = { TASKFLEET_SIGNING: 'required', TASKFLEET_SIGNING_KEY: key, TASKFLEET_TRUSTED_KEYS: ` ${trusted} , ` }
  expect(Signing.fromEnv(env)).toMatchObject({ mode: 'required', signs: true })
  expect(Signing.fromEnv({}).refusal('task', { _id: 1 })).toBeUndefined()
})
