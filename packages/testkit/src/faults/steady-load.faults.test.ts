import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
import { compileQuery, toRow } from '@taskfleet/core/internal'
import type { EventRow, QueryRequest, TaskRow } from '@taskfleet/protocol'
import { expect, test } from 'vitest'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { makeKey } from '../fleet/rest-calls.ts'
import { connect, HeldRows } from '../fleet/test-sockets.ts'
import { useFleet } from '../fleet/use-fleet.ts'
import { randomOf } from '../live/write-history.ts'
import { LoadMix } from './load-mix.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const SECONDS = Number(process.env.TASKFLEET_SECONDS ?? 600)
const PER_SECOND = 20
const SAMPLE_MS = 5_000
type ListRequest = QueryRequest & { collection?: 'tasks' | 'events' }
type ListRow = TaskRow | EventRow
/** Less than the time between two audits, which would correct the errors that the test looks for. */
const REST_MS = 30_000
/** Caches, pools and compiled code are there by then. */
const WARM = { from: 60, to: 120 }
const MEBIBYTE = 2 ** 20

const LISTS: ListRequest[] = [
  { filter: { status: 'running' }, sort: { _id: -1 }, limit: 50 },
  { filter: { queue: 'parked', status: 'pending' }, sort: { priority: -1 }, limit: 20 },
  { filter: { queue: 'quick' }, sort: { _id: -1 }, limit: 100 },
  { filter: { queue: 'parked' }, sort: { runAt: 1 }, limit: 10 },
  { filter: { status: 'completed' }, sort: { finishedAt: -1 }, limit: 25 },
  { filter: { status: { $in: ['cancelled', 'failed'] } }, sort: { updatedAt: -1 }, limit: 50 },
  { filter: { priority: { $gte: 8 } }, sort: { createdAt: 1 }, limit: 30 },
  { filter: { 'input.n': { $lt: 200 } }, sort: { _id: 1 }, limit: 200, fields: ['input', 'status'] },
  { collection: 'events', filter: {}, sort: { _id: -1 }, limit: 20 },
  { collection: 'events', filter: { status: 'finished' }, sort: { processedAt: -1 }, limit: 50 },
]

const fleet = useFleet()

/** A live list as a user keeps it open. */
class OpenList {
  readonly request: ListRequest
  readonly faults: string[] = []
  rows: readonly ListRow[] = []
  deltas = 0
  readonly #revs = new Map<string, number>()

  constructor(request: ListRequest) {
    this.request = request
  }

  async open(url: string, token: string): Promise<void> {
    const client = fleet.client(url, { token })
    client.onState((state) => {
      if (state === 'reconnecting' || state === 'refused') this.#fault(`the connection is ${state}`)
    })
    await client.subscribe<'tasks' | 'events'>(this.request, (rows, delta, reason) => {
      this.rows = rows
      // A gap makes the client ask again. The connection holds and everybody reads, so nothing else is a reason either.
      if (delta === null && reason !== 'snapshot') this.#fault(`was replaced: ${reason}`)
      if (delta !== null) this.deltas += 1
      for (const { row } of [...(delta?.added ?? []), ...(delta?.changed ?? [])]) this.#see(row)
    })
  }

  #see({ _id, rev }: ListRow): void {
    const before = this.#revs.get(_id) ?? 0
    if (rev < before) this.#fault(`${_id} went from rev ${before} back to ${rev}`)
    this.#revs.set(_id, rev)
  }

  #fault(what: string): void {
    this.faults.push(`${JSON.stringify(this.request)}: ${what}`)
  }
}

/** The memory of a process by the system, every few seconds. */
class MemoryRecord {
  readonly #pid: number
  readonly #startedAt = performance.now()
  readonly #samples: { at: number; bytes: number }[] = []

  constructor(pid: number) {
    this.#pid = pid
  }

  async sample(): Promise<void> {
    const status = await readFile(`/proc/${this.#pid}/status`, 'utf8')
    const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
    this.#samples.push({ at: (performance.now() - this.#startedAt) / 1_000, bytes: kib * 1_024 })
  }

  /** The median between two times, in seconds. */
  between(from: number, to: number): number {
    return quantile(
      this.#samples.filter(({ at }) => at >= from && at <= to).map(({ bytes }) => bytes),
      0.5,
    )
  }
}

function quantile(values: readonly number[], q: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(q * (values.length - 1))] ?? Number.NaN
}

async function stored(request: ListRequest): Promise<ListRow[]> {
  const { collection, filter, sort, limit, fields } = compileQuery(request)
  const docs = await fleet.database.db.collection(collection).find(filter).sort(sort).limit(limit).toArray()
  return docs.map((doc) => toRow<ListRow>(collection, doc, fields))
}

async function settles(look: () => Promise<boolean>): Promise<boolean> {
  for (const until = performance.now() + REST_MS; performance.now() < until; await sleep(50)) {
    if (await look()) return true
  }
  return false
}

test(`${PER_SECOND} requests a second for ${SECONDS} s with ${LISTS.length} live lists open: memory stays, no update is lost`, async () => {
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-load-'))
  fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
  const token = await makeKey(fleet, { scopes: ['read', 'write', 'control'] })
  const gateway = await GatewayProcess.start(fleet.uri)
  fleet.cleanup(() => gateway.kill())
  const args = ['--queues', 'quick,parked,events', '--concurrency', '8']
  const workers = await Promise.all([1, 2].map(() => WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args })))
  fleet.cleanup(() => Promise.all(workers.map((worker) => worker.signal('SIGKILL'))))
  const mix = new LoadMix({ url: gateway.url, token, journal: join(folder, 'journal'), random: randomOf(seed) })
  await mix.prepare()
  const lists = LISTS.map((request) => new OpenList(request))
  await Promise.all(lists.map((list) => list.open(gateway.url, token)))
  // By the protocol alone: it throws where a number is left out.
  const plain = await HeldRows.open(await connect(fleet, gateway.url, token), LISTS[2]!)

  const canMeasure = process.platform === 'linux'
  const memory = new MemoryRecord(gateway.pid)
  const sampling = setInterval(() => canMeasure && void memory.sample().catch(() => undefined), SAMPLE_MS)
  fleet.cleanup(() => clearInterval(sampling))
  if (canMeasure) await memory.sample()

  // Each is sent when it is due, whatever has become of those before.
  const underWay: Promise<void>[] = []
  const startedAt = performance.now()
  for (let sent = 0; sent < SECONDS * PER_SECOND; sent += 1) {
    const due = startedAt + (sent * 1_000) / PER_SECOND
    await sleep(Math.max(0, due - performance.now()))
    underWay.push(mix.step(due))
  }
  await Promise.all(underWay)
  if (canMeasure) await memory.sample()
  clearInterval(sampling)

  await mix.wind()
  const { tasks } = fleet.fleet
  const events = fleet.database.db.collection('events')
  const rest = await settles(
    async () =>
      (await tasks.countDocuments({ status: 'running' })) === 0 &&
      (await tasks.countDocuments({ status: 'pending', runAt: { $lte: fleet.database.clock.now() } })) === 0 &&
      (await events.countDocuments({ status: { $in: ['scheduled', 'processing'] } })) === 0,
  )
  expect(rest, 'everything due has ended').toBe(true)
  await mix.readBack()
  const faults = lists.flatMap((list) => list.faults)
  for (const { request, ...list } of lists) {
    if (!(await settles(async () => isDeepStrictEqual(list.rows, await stored(request)))))
      faults.push(`${JSON.stringify(request)} is not what the database has`)
  }
  for (const list of lists) {
    const { collection, filter, sort, limit, fields } = list.request
    if (collection === 'events') continue
    const query = new URLSearchParams({
      filter: JSON.stringify(filter),
      sort: JSON.stringify(sort),
      limit: String(limit),
    })
    if (fields !== undefined) query.set('fields', fields.join(','))
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`${gateway.url}/api/v1/tasks?${query}`, { headers })
    const body = (await answer.json()) as { tasks: TaskRow[] }
    if (!isDeepStrictEqual(body.tasks, list.rows)) faults.push(`${JSON.stringify(list.request)} is not what GET says`)
  }
  expect(plain.rows).toEqual(lists[2]!.rows)

  const ms = (q: number): string => quantile(mix.took, q).toFixed(1)
  const mib = (bytes: number): string => (bytes / MEBIBYTE).toFixed(1)
  const [first, warm, last] = [
    memory.between(0, 1),
    memory.between(WARM.from, WARM.to),
    memory.between(SECONDS - 60, SECONDS + 1),
  ]
  const deltas = lists.reduce((sum, list) => sum + list.deltas, 0)
  process.stdout.write(
    `seed ${seed}: ${mix.took.length} requests (${JSON.stringify(mix.done)}), answered in ${ms(0.5)} ms p50, ${ms(0.99)} ms p99, ` +
      `${ms(1)} ms at most; ${mix.size.tasks} tasks, ${mix.size.events} events, ${mix.readings} lists read to their end; ` +
      `${deltas} deltas, ${plain.deltas} by the protocol alone; resident ${mib(first)} → ${mib(warm)} → ${mib(last)} MiB\n`,
  )
  expect(mix.wrong.slice(0, 20), `seed ${seed}`).toEqual([])
  expect(faults, `seed ${seed}`).toEqual([])
  expect(mix.took.length).toBe(SECONDS * PER_SECOND)
  if (!canMeasure || SECONDS < WARM.to + 60) {
    process.stdout.write('memory is not compared: that needs Linux and three minutes\n')
    return
  }
  expect(last, `resident memory, ${mib(warm)} MiB when warm`).toBeLessThan(Math.max(warm * 1.15, warm + 20 * MEBIBYTE))
})
