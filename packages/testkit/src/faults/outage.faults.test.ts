import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { Fleet, type TaskDocument } from '@taskfleet/core'
import { compileQuery, parseNewTask, toRow } from '@taskfleet/core/internal'
import { startMongo } from '@taskfleet/dev-mongo'
import type { QueryRequest, TaskRow } from '@taskfleet/protocol'
import { expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { LibraryClient, PlainClient } from '../fleet/history-clients.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const LEASE_MS = 3_000
/** Each of the running tasks lasts longer than all of it. */
const LONG_MS = 190_000
const SOON_MS = 5_000
const LISTS: QueryRequest[] = [
  { filter: { queue: 'long' }, sort: { _id: 1 }, limit: 20 },
  { filter: { queue: 'quick' }, sort: { _id: -1 }, limit: 10 },
]

/** The kinds of outage: the database is stopped, or its process is killed. */
const OUTAGES = [
  { ms: LEASE_MS, how: 'stands still' },
  { ms: 5 * LEASE_MS, how: 'stands still' },
  { ms: 12_000, how: 'stands still' },
  { ms: 12_000, how: 'is gone' },
  { ms: 12_000, how: 'is gone' },
  { ms: 60_000, how: 'stands still' },
] as const

test('F12 and F31: running tasks, producers and live clients come through outages of up to a minute', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-outage-'))
  const mongo = await startMongo({ syncOnCommit: true, env: { ...process.env, TASKFLEET_MONGO_URI: undefined } })
  const address = new URL(mongo.uri)
  address.pathname = '/outage'
  const fleet = await Fleet.connect(address.href)
  const workers: WorkerProcess[] = []
  let gateway: GatewayProcess | undefined
  const clients: (LibraryClient | PlainClient)[] = []
  const acked: TaskDocument[] = []
  const refusals: unknown[] = []
  let over = false
  const journal = join(folder, 'journal')
  const post = (queue: string, ms: number) => parseNewTask({ name: 'steady', queue, input: { ms, journal } })
  /** Stores tasks like a producer, even while the database is away. */
  const produce = async (): Promise<void> => {
    while (!over) {
      await fleet.store.enqueue([post('quick', 50)]).then(
        (tasks) => acked.push(...tasks),
        (error: unknown) => refusals.push((error as { code?: unknown }).code ?? error),
      )
      await sleep(250)
    }
  }
  try {
    for (const queue of ['long,quick', 'long,quick']) {
      const args = ['--lease', String(LEASE_MS), '--concurrency', '6', '--queues', queue]
      workers.push(await WorkerProcess.start({ mongo: address.href, tasks: TASKS, args }))
    }
    gateway = await GatewayProcess.start(address.href)
    for (const Client of [LibraryClient, PlainClient]) {
      for (const list of LISTS) {
        const client = new Client(gateway.url, list, new Set())
        clients.push(client)
        await client.open()
      }
    }
    const long = await fleet.store.enqueue(Array.from({ length: 4 }, () => post('long', LONG_MS)))
    const running = async (): Promise<boolean> =>
      (await fleet.tasks.countDocuments({ queue: 'long', status: 'running' })) === long.length
    while (!(await running())) await sleep(50)
    const producing = Promise.all([produce(), produce()])
    const figures: string[] = []
    for (const { ms, how } of OUTAGES) {
      await (how === 'stands still' ? mongo.kill?.('SIGSTOP') : mongo.kill?.('SIGKILL'))
      countFault(`database ${how}`)
      await sleep(ms)
      const backAt = Date.now()
      await (how === 'stands still' ? mongo.kill?.('SIGCONT') : mongo.restart?.())
      const claimedMs = (await firstClaim(fleet, backAt)) - backAt
      const exactMs = (await exactAt(fleet, clients)) - backAt
      figures.push(`${how} for ${ms} ms: first claim after ${claimedMs} ms, views exact after ${exactMs} ms`)
      expect(claimedMs, figures.at(-1)).toBeLessThanOrEqual(SOON_MS)
      expect(exactMs, figures.at(-1)).toBeLessThanOrEqual(SOON_MS)
    }
    over = true
    await producing
    process.stdout.write(`${figures.join('\n')}\n${acked.length} enqueued, ${refusals.length} of unknown outcome\n`)
    expect(refusals.filter((code) => code !== 'UNKNOWN_OUTCOME')).toEqual([])
    for (const { _id } of [...long, ...acked]) {
      const task = await ended(fleet, _id)
      expect(task).toMatchObject({ status: 'completed', lost: 0, failures: 0 })
      checkInvariants(task)
    }
    // The same attempts went on.
    for (const { _id } of long) expect(await fleet.store.find(_id)).toMatchObject({ attempt: 1 })
    expect(clients.flatMap(({ faults }) => faults)).toEqual([])
  } finally {
    over = true
    for (const client of clients) client.close()
    await Promise.all(workers.map((worker) => worker.signal('SIGKILL')))
    await gateway?.kill()
    await mongo.kill?.('SIGCONT')
    await fleet.close()
    await mongo.stop()
    await rm(folder, { recursive: true, force: true })
  }
})

/** Any request may fail while the database comes back. */
async function untilFound<T>(look: () => Promise<T | false>): Promise<T> {
  for (;;) {
    const found = await look().catch(() => false as const)
    if (found !== false) return found
    await sleep(50)
  }
}

/** When the first task was claimed since then, by the host's clock. */
const firstClaim = (fleet: Fleet, since: number): Promise<number> =>
  untilFound(async () => {
    const [first] = await fleet.tasks
      .find({ claimedAt: { $gte: new Date(since) } })
      .sort({ claimedAt: 1 })
      .limit(1)
      .toArray()
    return first === undefined ? false : first.claimedAt!.getTime()
  })

/** When every client has had the rows of the database, while producers go on. */
async function exactAt(
  fleet: Fleet,
  clients: readonly { request: QueryRequest; rows: readonly TaskRow[] }[],
): Promise<number> {
  await Promise.all(
    clients.map((client) =>
      untilFound(async () => isDeepStrictEqual(await stored(fleet, client.request), client.rows)),
    ),
  )
  return Date.now()
}

async function stored(fleet: Fleet, request: QueryRequest): Promise<TaskRow[]> {
  const { filter, sort, limit, fields } = compileQuery(request)
  const docs = await fleet.database.db.collection('tasks').find(filter).sort(sort).limit(limit).toArray()
  return docs.map((doc) => toRow<TaskRow>('tasks', doc, fields))
}

const ended = (fleet: Fleet, id: TaskDocument['_id']): Promise<TaskDocument> =>
  untilFound(async () => {
    const task = await fleet.store.find(id)
    return task !== null && ['completed', 'failed', 'cancelled'].includes(task.status) ? task : false
  })
