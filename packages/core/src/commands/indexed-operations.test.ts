import { type OPERATIONS, STATUSES } from '@taskfleet/protocol'
import { newTask, taskFactory } from '@taskfleet/testkit/task-factory'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { mongo } from 'mongoose'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { planOf } from '../database/query-plan.ts'
import { Fleet } from '../fleet.ts'
import { ChangeFeed } from '../live/change-feed.ts'
import { LiveQueries } from '../live/live-queries.ts'
import { compileFilter, compileQuery } from '../live/query.ts'

/** Collections that grow with what the fleet has done. The others have a document for each thing that somebody has set up. */
const HISTORY = ['tasks', 'events', 'audit', 'taskLogs', 'stats', 'throttles']

interface Things {
  waiting: string
  failed: string
  event: string
  callback: string
}
type Requests = readonly object[]
/** Requests that make queries from something other than the ids and names of single documents. */
type Asked = Requests | ((things: Things) => Requests)

const FILTERS = [
  {},
  { status: 'failed' },
  { status: { $in: ['pending', 'failed'] } },
  { status: { $in: [...STATUSES] } },
  { queue: 'default', name: 'test' },
  { 'input.file': 'a.iso' },
  { title: { $contains: 'iso' } },
  { 'labels.customer': 'cus_1' },
  { 'error.fingerprint': 'f', status: 'failed' },
  { $or: [{ status: 'running' }, { 'output.bytes': { $gt: 5 } }] },
  { finishedAt: { $gte: '2026-01-01' } },
]
const selections = FILTERS.map((filter) => ({ filter, dryRun: true }))
const ID = 'f'.repeat(24)

/**
 * Requests of every operation. A new operation does not compile without an entry. An empty list is for an operation that touches only
 * documents that its request names by their id, or none.
 */
const REQUESTS: { [Aggregate in keyof typeof OPERATIONS]: Record<keyof (typeof OPERATIONS)[Aggregate], Asked> } = {
  tasks: {
    enqueue: [
      { name: 'test', key: 'k' },
      { name: 'test', after: [ID] },
      { name: 'test', position: 'front' },
    ],
    enqueueMany: [{ tasks: [{ name: 'test', key: 'many' }] }],
    list: [
      ...FILTERS.map((filter) => ({ filter })),
      ...FILTERS.map((filter) => ({ filter, sort: { _id: 1 }, limit: 1_000 })),
      { filter: { status: { $in: ['completed', 'failed', 'cancelled'] } }, sort: { finishedAt: -1 } },
      { filter: { finishedAt: { $gte: '2026-01-01' }, name: 'test' }, sort: { finishedAt: 1 } },
      { filter: { status: { $in: ['pending', 'blocked', 'paused'] } }, sort: { priority: -1, order: 1 } },
    ],
    show: ({ failed }) => [{ id: failed }],
    cancel: selections,
    pause: selections,
    resume: selections,
    retry: selections,
    replay: selections,
    reprioritise: selections.map((one) => ({ ...one, priority: 5 })),
    edit: ({ waiting }) => [{ id: waiting, changes: { priority: 6, after: [ID] } }],
    explain: ({ waiting, failed }) => [{ id: waiting }, { id: failed }],
    log: ({ failed }) => [{ id: failed }, { id: failed, attempt: 1, before: { attempt: 1, seq: 5 } }],
    coverage: [{}],
    history: [{}, { unit: 'hour', queue: 'default', name: 'test' }],
    waiting: [{}, { unit: 'hour', queue: 'default', name: 'test' }],
    remove: ({ failed }) => [{ id: failed }],
  },
  bulk: {
    start: FILTERS.map((filter) => ({ command: 'pause', filter })),
    list: [{}],
    show: [{ id: ID }],
    stop: [{ id: ID }],
    undo: [{ id: ID }],
  },
  events: {
    post: [{ name: 'made' }],
    list: [{}, { name: 'made' }, { status: 'finished' }, { name: 'made', status: 'failed', after: ID }],
    show: ({ event }) => [{ id: event }],
    edit: ({ event }) => [{ id: event, changes: { priority: 6 } }],
    cancel: ({ event }) => [{ id: event }],
    retry: ({ event }) => [{ id: event }],
    remove: ({ event }) => [{ id: event }],
  },
  callbacks: {
    create: [{ event: 'made', task: 'test' }],
    list: [{}, { event: 'made' }],
    show: ({ callback }) => [{ id: callback }],
    edit: ({ callback }) => [{ id: callback, changes: { task: 'other' } }],
    replace: ({ callback }) => [{ id: callback, callback: { event: 'made', task: 'test' } }],
    remove: ({ callback }) => [{ id: callback }],
  },
  schedules: {
    create: [{ _id: 'nightly', task: 'test', cron: '0 3 * * *' }],
    list: [{}],
    show: [{ name: 'nightly' }],
    edit: [{ name: 'nightly', changes: { cron: '0 4 * * *' } }],
    replace: [{ name: 'nightly', schedule: { task: 'test', cron: '0 5 * * *' } }],
    pause: [{ name: 'nightly' }],
    resume: [{ name: 'nightly' }],
    run: [{ name: 'nightly' }],
    preview: [],
    remove: [{ name: 'nightly' }],
  },
  queues: {
    list: [{}],
    pause: [{ name: 'default' }],
    resume: [{ name: 'default' }],
    limit: [{ name: 'default', limits: { concurrency: 4, maxWaiting: 1_000 } }],
    replace: [{ name: 'default', settings: {} }],
  },
  workers: { list: [{}], drain: [{ worker: 'w' }], resume: [{ worker: 'w' }] },
  errors: {
    list: [{}, { state: 'open' }],
    mark: [{ fingerprint: 'f', state: 'resolved' }],
  },
  keys: {
    list: [{}],
    create: [{ name: 'k', scopes: ['read'] }],
    show: [{ id: 'none' }],
    edit: [{ id: 'none', changes: { name: 'n' } }],
    revoke: [{ id: 'none' }],
  },
  retention: {
    show: [{}],
    set: [{ completed: 1_000 }],
    prune: [{ dryRun: true }, { olderThanMs: 0, name: 'test', statuses: ['completed'] }],
  },
  audit: { list: ({ waiting }) => [{}, { id: waiting, limit: 5 }] },
  handlers: { list: [{}] },
  attention: { list: [{}] },
  documents: { list: [{}] },
}

const held = useDatabase()
let client: mongo.MongoClient
let fleet: Fleet
let commands: mongo.Document[] = []
let things: Things

beforeAll(async () => {
  client = await mongo.MongoClient.connect(held.uri, { monitorCommands: true })
  client.on('commandStarted', ({ command }) => commands.push(command))
  fleet = await Fleet.from(client, { database: held.database.db.databaseName })
  const make = taskFactory(fleet.store)
  for (const status of STATUSES)
    await make[status]({ labels: { customer: 'cus_1' }, input: { file: 'a.iso' } } as never)
  const { _id: waiting } = await make.pending()
  const { _id: failed } = await make.failed()
  await fleet.store.enqueue([newTask({ deadline: new Date(Date.now() + 60_000) })])
  const callback = await fleet.as().callbacks.create({ event: 'seen', task: 'test' })
  const event = await fleet.as().events.post({ name: 'seen' })
  things = { waiting: String(waiting), failed: String(failed), event: event._id, callback: callback._id }
  // All that is small enough to be read as a whole now counts as large.
  vi.spyOn(mongo.Collection.prototype, 'estimatedDocumentCount').mockResolvedValue(5_000_000)
})
afterAll(async () => {
  vi.restoreAllMocks()
  await client.close()
})

/** The queries of a history that no index answers, of all that were sent since the last call. */
function unindexed(): object[] {
  const sent = commands.flatMap(queriesOf)
  commands = []
  return sent.filter(
    ({ collection, filter, sort }) => HISTORY.includes(collection) && planOf(collection, filter, sort) === undefined,
  )
}

interface Sent {
  collection: string
  filter: mongo.Document
  sort?: Record<string, 1 | -1>
}

/** What a command looks for. A sort counts only where there is a limit. */
function queriesOf(command: mongo.Document): Sent[] {
  const {
    find,
    aggregate,
    findAndModify,
    update,
    updates,
    deletes,
    query,
    filter = {},
    sort,
    limit,
    pipeline,
  } = command
  const sorted = (by: unknown): Pick<Sent, 'sort'> =>
    by === undefined ? {} : { sort: Object.fromEntries(entriesOf(by)) }
  if (find !== undefined) return [{ collection: find, filter, ...sorted(limit === undefined ? undefined : sort) }]
  if (findAndModify !== undefined) return [{ collection: findAndModify, filter: query, ...sorted(sort) }]
  if (update !== undefined) return updates.map(({ q }: { q: mongo.Document }) => ({ collection: update, filter: q }))
  if (deletes !== undefined)
    return deletes.map(({ q }: { q: mongo.Document }) => ({ collection: command.delete, filter: q }))
  // `countDocuments` is an aggregation. These two are not in the stable API.
  expect(Object.keys(command)[0]).not.toMatch(/^(count|distinct)$/)
  if (aggregate === undefined) return []
  const [{ $match: matched = {} }] = pipeline as [mongo.Document]
  const stage = (name: string) => (pipeline as mongo.Document[]).find((one) => name in one)?.[name]
  return [
    { collection: aggregate, filter: matched, ...sorted(stage('$limit') === undefined ? undefined : stage('$sort')) },
  ]
}

/** The driver sends a sort as a map. */
const entriesOf = (sort: unknown): [string, 1 | -1][] =>
  sort instanceof Map ? [...(sort as Map<string, 1 | -1>)] : Object.entries(sort as Record<string, 1 | -1>)

describe('every operation walks an index of each history that it reads', () => {
  const operations = Object.entries(REQUESTS).flatMap(([aggregate, verbs]) =>
    Object.entries(verbs as Record<string, Asked>).map(([verb, asked]) => ({ name: `${aggregate}.${verb}`, asked })),
  )

  test.each(operations)('$name', async ({ name, asked }) => {
    const [aggregate, verb] = name.split('.') as [string, string]
    const methods = fleet.as() as unknown as Record<string, Record<string, (request: object) => Promise<unknown>>>
    for (const request of typeof asked === 'function' ? asked(things) : asked) {
      commands = []
      const code = await methods[aggregate]![verb]!(request).then(
        () => undefined,
        (error: { code?: string }) => error.code ?? error,
      )
      expect([undefined, 'NOT_FOUND', 'NOT_ENDED', 'NOT_WAITING', 'DEPENDENCY_CYCLE']).toContain(code)
      expect(unindexed(), JSON.stringify(request)).toEqual([])
    }
  })
})

describe('a live query', () => {
  let queries: LiveQueries
  let feed: ChangeFeed
  beforeAll(async () => {
    feed = new ChangeFeed(fleet.database)
    await feed.start()
    queries = new LiveQueries(fleet.database, feed)
  })
  afterAll(async () => {
    queries.stop()
    await feed.stop()
  })
  const quiet = { delta: () => undefined, reset: () => undefined }

  test('walks an index', async () => {
    for (const filter of FILTERS) {
      const { close } = await queries.watch(compileQuery({ filter }), quiet)
      expect(unindexed(), JSON.stringify(filter)).toEqual([])
      close()
    }
  })

  test.each([
    { collection: 'tasks', filter: { 'output.bytes': 5 }, sort: { createdAt: -1 } },
    { collection: 'tasks', filter: { status: 'failed' }, sort: { startedAt: -1 } },
    { collection: 'tasks', sort: { finishedAt: -1 } },
    { collection: 'events', filter: { status: 'finished' }, sort: { createdAt: -1 } },
  ])('is refused with the reason if no index serves it: %o', async (request) => {
    commands = []
    const refused = await queries.watch(compileQuery(request), quiet).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'QUERY_NOT_INDEXED', field: 'sort' })
    expect((refused as Error).message).toMatch(/No index has the matching .* all 5000000 would be read. Sort by '_id'/)
    expect(commands.filter(({ find }) => find === request.collection)).toEqual([])
  })

  test('of a small history is answered without one', async () => {
    vi.mocked(mongo.Collection.prototype.estimatedDocumentCount).mockResolvedValueOnce(1_000)
    const request = { filter: { 'input.file': 'a.iso', status: { $ne: 'failed' } }, sort: { createdAt: -1 } }
    const { live, close } = await queries.watch(compileQuery(request), quiet)
    expect(live.rows.length).toBeGreaterThan(1)
    close()
  })

  test('of statistics counts along an index or is refused', async () => {
    const count = (filter: object) =>
      queries
        .watchStats(compileFilter(filter), () => undefined)
        .then(
          ({ close }) => close(),
          (error: { code?: string }) => error.code,
        )
    expect(await count({ 'output.bytes': 5 })).toBe('QUERY_NOT_INDEXED')
    expect(await count({ worker: 'w', status: { $in: ['failed', 'running'] } })).toBe('QUERY_NOT_INDEXED')
    commands = []
    for (const filter of [
      {},
      { queue: 'default', name: { $in: ['test'] } },
      { worker: 'w', status: 'running' },
      { worker: 'w', status: { $in: ['paused', 'running'] } },
      { 'labels.customer': 'cus_1' },
    ]) {
      expect(await count(filter), JSON.stringify(filter)).toBeUndefined()
      expect(unindexed(), JSON.stringify(filter)).toEqual([])
    }
  })
})

test('a list that no index serves is refused', async () => {
  const { tasks } = fleet.as()
  await expect(tasks.list({ sort: { createdAt: -1 } })).rejects.toMatchObject({ code: 'QUERY_NOT_INDEXED' })
  expect(await tasks.list({ filter: { status: 'pending' }, sort: { createdAt: -1 } })).toHaveProperty('tasks')
})
