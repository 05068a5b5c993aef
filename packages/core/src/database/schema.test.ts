import { createHash, randomUUID } from 'node:crypto'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import { newTask } from '@taskfleet/testkit/task-factory'
import { afterEach, expect, test } from 'vitest'
import '@taskfleet/testkit/global-setup'
import { MongoTaskStore } from '../task/mongo-task-store.ts'
import { FleetDatabase } from './fleet-database.ts'
import { INDEXES, indexLabel, missingIndexes } from './indexes.ts'
import { requireSchema, SCHEMA_VERSION, schemaVersion } from './schema.ts'

const opened: FleetDatabase[] = []

async function freshDatabase(): Promise<FleetDatabase> {
  const database = await FleetDatabase.connect({
    uri: mongoUri(),
    name: `schema_${randomUUID().slice(0, 8)}`,
    timeoutMs: 10_000,
  })
  opened.push(database)
  return database
}

afterEach(async () => {
  for (const database of opened.splice(0)) {
    await database.db.dropDatabase()
    await database.close()
  }
})

const storeTask = ({ connection, clock }: FleetDatabase): Promise<unknown> =>
  new MongoTaskStore(connection, clock).enqueue([newTask()])

const settings = ({ db }: FleetDatabase) => db.collection<{ _id: string; version: number; oldest: number }>('settings')

const codeOf = (acting: Promise<unknown>): Promise<unknown> =>
  acting.then(
    () => 'done',
    (error: { code?: unknown }) => error.code,
  )

test('an empty database is set up by the first process, even if many start at once', async () => {
  const database = await freshDatabase()
  await Promise.all([database.requireSchema(), database.requireSchema(), database.requireSchema()])
  expect(await schemaVersion(database.db)).toBe(SCHEMA_VERSION)
  expect(await missingIndexes(database.db)).toEqual([])
})

test('a start builds nothing in a database that is already set up', async () => {
  const database = await freshDatabase()
  await database.requireSchema()
  await storeTask(database)
  await database.db.collection('events').dropIndex('by_name')
  await database.requireSchema()
  expect((await missingIndexes(database.db)).map(indexLabel)).toEqual(['events.by_name'])
})

test('a database from before versions is accepted if it has every index', async () => {
  const database = await freshDatabase()
  await database.ensureIndexes()
  await storeTask(database)
  expect(await schemaVersion(database.db)).toBeUndefined()
  await database.requireSchema()
  expect(await schemaVersion(database.db)).toBe(SCHEMA_VERSION)
})

test('a small database that lacks an index is set up at the start, as after an import', async () => {
  const database = await freshDatabase()
  await database.db.collection('tasks').insertMany([{ name: 'imported' }, { name: 'imported' }])
  await database.requireSchema()
  expect(await schemaVersion(database.db)).toBe(SCHEMA_VERSION)
  expect(await missingIndexes(database.db)).toEqual([])
})

test('a database that lacks an index of a large collection is rejected, and `migrate` builds it', async () => {
  const database = await freshDatabase()
  await database.ensureIndexes()
  const audit = database.db.collection('audit')
  await audit.dropIndex('by_task')
  await audit.insertMany([{}, {}, {}])
  await expect(requireSchema(database.db, (act) => database.patiently(act), 2)).rejects.toMatchObject({
    code: 'NEEDS_MIGRATION',
    message: expect.stringMatching(/audit\.by_task.*taskfleet migrate/),
  })
  expect(await database.migrate({ othersLive: false })).toMatchObject({ made: ['audit.by_task'], blocked: [] })
  await requireSchema(database.db, (act) => database.patiently(act), 2)
})

test('the size of a collection does not matter if its indexes exist', async () => {
  const database = await freshDatabase()
  await database.ensureIndexes()
  await database.db.collection('audit').insertMany([{}, {}, {}])
  await database.db.collection('events').dropIndex('by_name')
  await requireSchema(database.db, (act) => database.patiently(act), 2)
  expect(await missingIndexes(database.db)).toEqual([])
})

test('documents that block one index block neither the start nor the other indexes', async () => {
  const database = await freshDatabase()
  const open = { key: 'twice', status: 'pending' }
  await database.db.collection('tasks').insertMany([open, { ...open }])
  await database.requireSchema()
  expect((await missingIndexes(database.db)).map(indexLabel)).toEqual(['tasks.open_key_in_queue'])
  expect(await database.migrate({ othersLive: false })).toMatchObject({
    made: [],
    blocked: [expect.stringMatching(/^tasks\.open_key_in_queue: .*twice/)],
  })
  await database.db.collection('tasks').deleteOne({ key: 'twice' })
  expect(await database.migrate({ othersLive: false })).toMatchObject({
    made: ['tasks.open_key_in_queue'],
    blocked: [],
  })
})

test('a conflicting index is named and does not block the others', async () => {
  const database = await freshDatabase()
  await database.db.collection('events').createIndex({ name: 1 }, { name: 'by_name' })
  await expect(database.requireSchema()).rejects.toMatchObject({
    code: 'INDEX_CONFLICT',
    message: expect.stringMatching(/events.*by_name/),
  })
  expect((await missingIndexes(database.db)).map(indexLabel)).toEqual(['events.by_name'])
})

test('an older schema is rejected, and a newer compatible one is accepted', async () => {
  const database = await freshDatabase()
  await database.requireSchema()
  const set = (version: number, oldest: number) =>
    settings(database).updateOne({ _id: 'schema' }, { $set: { version, oldest } })
  await set(SCHEMA_VERSION - 1, 0)
  expect(await codeOf(database.requireSchema())).toBe('NEEDS_MIGRATION')
  await set(SCHEMA_VERSION + 1, SCHEMA_VERSION)
  expect(await codeOf(database.requireSchema())).toBe('done')
  await set(SCHEMA_VERSION + 1, SCHEMA_VERSION + 1)
  expect(await codeOf(database.requireSchema())).toBe('NEWER_SCHEMA')
  expect(await codeOf(database.migrate({ othersLive: false }))).toBe('NEWER_SCHEMA')
})

test('an obsolete index stays while processes of another version live, and is dropped after them', async () => {
  const database = await freshDatabase()
  await database.ensureIndexes()
  const events = database.db.collection('events')
  await events.createIndex({ status: 1, scheduledFor: 1 }, { name: 'by_status' })
  const names = async (): Promise<unknown[]> => (await events.indexes()).map(({ name }) => name)
  expect(await database.migrate({ othersLive: true })).toMatchObject({ hidden: ['events.by_status'], dropped: [] })
  expect(await names()).toContain('by_status')
  expect(await database.migrate({ othersLive: false })).toMatchObject({ hidden: [], dropped: ['events.by_status'] })
  expect(await names()).not.toContain('by_status')
  expect(await database.migrate({ othersLive: false })).toMatchObject({ made: [], hidden: [], dropped: [] })
})

test('after schema 1, keys and throttles belong to their queue, and older programs are rejected once their index is gone', async () => {
  const database = await freshDatabase()
  await database.requireSchema()
  const { db } = database
  await settings(database).updateOne({ _id: 'schema' }, { $set: { version: 1, oldest: 1 } })
  await db.collection('tasks').dropIndex('open_key_in_queue')
  await db.collection('tasks').createIndex({ key: 1 }, { name: 'open_key' })
  const throttles = db.collection<{ _id: string; task: unknown; until: Date }>('throttles')
  const { insertedId: task } = await db.collection('tasks').insertOne({ queue: 'reports', name: 'daily' })
  const until = new Date(Date.now() + 3_600_000)
  await throttles.insertOne({ _id: 'daily\nsales', task, until })
  const beside = await database.migrate({ othersLive: true })
  expect(beside).toMatchObject({
    version: SCHEMA_VERSION,
    made: ['tasks.open_key_in_queue'],
    hidden: ['tasks.open_key'],
  })
  expect(await settings(database).findOne({ _id: 'schema' })).toMatchObject({ version: SCHEMA_VERSION, oldest: 1 })
  expect(await throttles.findOne({ _id: 'reports\ndaily\nsales' })).toMatchObject({ task, until })
  expect(await database.migrate({ othersLive: false })).toMatchObject({ dropped: ['tasks.open_key'] })
  expect(await settings(database).findOne({ _id: 'schema' })).toMatchObject({
    version: SCHEMA_VERSION,
    oldest: SCHEMA_VERSION,
  })
  expect(await throttles.countDocuments({})).toBe(2)
})

test('after schema 2, old and new indexes of tasks stand side by side until no older program is left', async () => {
  const database = await freshDatabase()
  await database.requireSchema()
  const { db } = database
  const tasks = db.collection('tasks')
  // The database as schema 2 has left it.
  const newer = INDEXES.filter(({ collection }) => collection === 'tasks').map(({ name }) => name)
  const ofBoth = ['lease_expiry', 'slot', 'raise', 'after', 'open_key_in_queue', 'event', 'schedule']
  const made = newer.filter((name) => !ofBoth.includes(name))
  for (const name of made) await tasks.dropIndex(name)
  await tasks.createIndexes(SCHEMA_2)
  await settings(database).updateOne({ _id: 'schema' }, { $set: { version: 2, oldest: 2 } })
  await storeTask(database)
  expect(await codeOf(database.requireSchema())).toBe('NEEDS_MIGRATION')
  const names = async (): Promise<unknown[]> => (await tasks.indexes()).map(({ name }) => name).sort()
  const old = SCHEMA_2.map(({ name }) => name)
  const beside = await database.migrate({ othersLive: true })
  expect(beside.made.sort()).toEqual(made.map((name) => `tasks.${name}`).sort())
  expect(beside.hidden.sort()).toEqual(old.map((name) => `tasks.${name}`).sort())
  expect(await names()).toEqual(['_id_', ...newer, ...old].sort())
  expect(await codeOf(database.requireSchema())).toBe('done')
  // A program of schema 2 is still accepted.
  expect(await settings(database).findOne({ _id: 'schema' })).toMatchObject({ version: 3, oldest: 1 })
  await storeTask(database)
  expect((await database.migrate({ othersLive: false })).dropped.sort()).toEqual(
    old.map((name) => `tasks.${name}`).sort(),
  )
  expect(await names()).toEqual(['_id_', ...newer].sort())
  expect(await missingIndexes(db)).toEqual([])
})

/** The indexes of `tasks` that only schema 2 had. */
const SCHEMA_2: { name: string; key: Record<string, 1 | -1>; sparse?: boolean; [option: string]: unknown }[] = [
  { name: 'claim_order', key: { status: 1, queue: 1, priority: -1, order: 1, _id: 1 } },
  { name: 'next_due', key: { status: 1, queue: 1, runAt: 1 } },
  { name: 'lease', key: { 'lease.id': 1 }, sparse: true },
  { name: 'running', key: { 'lease.session': 1, _id: 1 }, partialFilterExpression: { status: 'running' } },
  { name: 'coverage', key: { status: 1, name: 1, version: 1 } },
  { name: 'finished', key: { finishedAt: 1 }, sparse: true },
  { name: 'retention', key: { expireAt: 1 }, expireAfterSeconds: 0 },
]

test('the indexes change together with the version of the schema', () => {
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([...INDEXES].sort((a, b) => (indexLabel(a) < indexLabel(b) ? -1 : 1))))
    .digest('hex')
    .slice(0, 12)
  // A change of an index needs a new SCHEMA_VERSION and an update of this list.
  expect({ [SCHEMA_VERSION]: fingerprint }).toEqual({ 3: '047ddd30c57d' })
})
