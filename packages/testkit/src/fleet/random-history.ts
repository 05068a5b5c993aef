import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ChangeFeed, compileQuery, FleetDatabase, toRow } from '@taskfleet/core/internal'
import { Gateway } from '@taskfleet/gateway'
import type { QueryRequest, TaskRow } from '@taskfleet/protocol'
import { randomOf, someQueries, WriteHistory } from '../live/write-history.ts'
import { GatewayProcess } from './gateway-process.ts'
import { type HistoryClient, LibraryClient, PlainClient } from './history-clients.ts'
import { LOOPBACK, ownQueue, silent } from './test-sockets.ts'

export interface RandomHistoryOptions {
  /** The database, with its name in it. */
  mongo: string
  seed: number
  seconds: number
  /** How many clients there are at a time. */
  clients: number
  /** Gateways in this process, which stop in order. */
  near: number
  /** Gateways in processes of their own, which are killed. */
  far: number
  writers: number
  /** Kills the database and starts it again. */
  restartDatabase?: () => Promise<void>
}

export interface RandomHistoryResult {
  writes: number
  came: number
  faults: Record<string, number>
  /** Errors at rest or on the way; should be empty. */
  wrong: string[]
  /** What the local gateways still held after all clients had left. */
  left: { connections: number; rooms: number; views: number }
  /** In bytes, before the clients connected and after they had left. */
  heap: { before: number; after: number }
}

/** Less than the time between two audits, which would correct the errors that the test looks for. */
const REST_MS = 30_000

/** A gateway of this process that may be stopped and restarted at the same address. */
class NearGateway {
  readonly #database: FleetDatabase
  #listen = LOOPBACK
  #feed!: ChangeFeed
  gateway!: Gateway

  constructor(database: FleetDatabase) {
    this.#database = database
  }

  get url(): string {
    return `http://${this.#listen.host}:${this.#listen.port}`
  }

  async start(): Promise<void> {
    this.#feed = new ChangeFeed(this.#database, { log: silent })
    await this.#feed.start()
    this.gateway = new Gateway({
      database: this.#database,
      feed: this.#feed,
      listen: this.#listen,
      log: silent,
      lingerMs: 500,
    })
    await this.gateway.start()
    this.#listen = { host: LOOPBACK.host, port: Number(new URL(this.gateway.url!).port) }
  }

  async stop(): Promise<void> {
    await this.gateway.stop()
    await this.#feed.stop()
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }
}

/** Clients connect and disconnect while writers write and gateways fail; at rest every client must have the rows of the database. */
export async function runRandomHistory(options: RandomHistoryOptions): Promise<RandomHistoryResult> {
  const random = randomOf(options.seed)
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!
  const database = await FleetDatabase.connect({ uri: options.mongo, timeoutMs: 10_000 })
  const near = Array.from({ length: options.near }, () => new NearGateway(database))
  const far: GatewayProcess[] = []
  const clients = new Set<HistoryClient>()
  const wrong: string[] = []
  let writes = 0
  let came = 0
  try {
    await database.ensureIndexes()
    for (const one of near) await one.start()
    while (far.length < options.far) far.push(await GatewayProcess.start(options.mongo))
    const urls = [...near, ...far].map(({ url }) => url)
    const queue = ownQueue()
    const history = new WriteHistory(database.db, { queue, random })
    const queries = someQueries(queue, options.clients, random)

    const leave = (client: HistoryClient): void => {
      client.close()
      clients.delete(client)
      wrong.push(...client.faults)
    }
    const come = async (): Promise<HistoryClient> => {
      const Client = random() < 0.5 ? LibraryClient : PlainClient
      const client = new Client(pick(urls), pick(queries), history.reborn)
      clients.add(client)
      came += 1
      await client.open().catch((error: unknown) => {
        leave(client)
        throw error
      })
      return client
    }
    /** One client after the other, even if their gateways fail; the last one stays. */
    const visit = async (until: number): Promise<void> => {
      for (;;) {
        const client = await persist(come)
        await sleep(Math.max(0, Math.min(random() * 4_000, until - performance.now())))
        if (performance.now() >= until) return
        leave(client)
      }
    }
    const write = async (until: number): Promise<void> => {
      while (performance.now() < until) {
        await history.step()
        writes += 1
        await sleep(random() * 10)
      }
    }
    const faults: Record<string, () => Promise<void>> = {
      'gateway killed': async () => {
        const one = pick(far)
        await one.kill()
        await sleep(random() * 1_000)
        await persist(() => one.restart())
      },
      'gateway stopped': async () => {
        const one = pick(near)
        await one.stop()
        await sleep(random() * 500)
        await persist(() => one.start())
      },
      ...(options.restartDatabase === undefined ? {} : { 'database restarted': options.restartDatabase }),
    }
    const happened: Record<string, number> = {}
    const fail = async (until: number): Promise<void> => {
      for (const kinds = Object.keys(faults); performance.now() < until; ) {
        // Each kind once, then at random.
        const kind = kinds.find((one) => happened[one] === undefined) ?? pick(kinds)
        await faults[kind]!()
        happened[kind] = (happened[kind] ?? 0) + 1
        await sleep(random() * 3_000)
      }
    }
    const live = async (seconds: number, failing: boolean): Promise<void> => {
      const until = performance.now() + seconds * 1_000
      await Promise.all([
        ...Array.from({ length: options.clients }, () => visit(until)),
        ...Array.from({ length: options.writers }, () => write(until)),
        ...(failing ? [fail(until)] : []),
      ])
    }
    const gone = async (): Promise<void> => {
      for (const client of clients) leave(client)
      await eventually(() => near.every(({ gateway: { load } }) => load.connections + load.rooms + load.views === 0))
    }

    // Data that is loaded once is no leak.
    await live(options.seconds * 0.2, false)
    await gone()
    const before = await heapUsed()
    await live(options.seconds * 0.8, true)
    for (const client of clients) {
      const difference = await differenceAtRest(database, client)
      if (difference !== undefined) wrong.push(difference)
    }
    await gone()
    const loads = near.map(({ gateway }) => gateway.load)
    const left = {
      connections: sum(loads.map(({ connections }) => connections)),
      rooms: sum(loads.map(({ rooms }) => rooms)),
      views: sum(loads.map(({ views }) => views)),
    }
    return { writes, came, faults: happened, wrong, left, heap: { before, after: await heapUsed() } }
  } finally {
    for (const client of clients) client.close()
    await Promise.all(far.map((one) => one.kill()))
    for (const one of near) await one.stop().catch(() => undefined)
    await database.close()
  }
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

/** Retries, because its database may be away. */
async function persist<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await act()
    } catch {
      await sleep(200)
    }
  }
}

/** Whether it became true within the time for coming to rest. */
async function eventually(look: () => boolean | Promise<boolean>): Promise<boolean> {
  for (const until = performance.now() + REST_MS; performance.now() < until; await sleep(20)) {
    if (await look()) return true
  }
  return false
}

async function differenceAtRest(database: FleetDatabase, client: HistoryClient): Promise<string | undefined> {
  const stored = await rowsOf(database, client.request)
  if (await eventually(() => isDeepStrictEqual(client.rows, stored))) return undefined
  const ids = (rows: readonly TaskRow[]): string => rows.map(({ _id, rev }) => `${_id}:${rev}`).join(' ')
  return `${client.constructor.name} of ${JSON.stringify(client.request)} has ${ids(client.rows)} and not ${ids(stored)}`
}

async function rowsOf(database: FleetDatabase, request: QueryRequest): Promise<TaskRow[]> {
  const { filter, sort, limit, fields } = compileQuery(request)
  const docs = await database.db.collection('tasks').find(filter).sort(sort).limit(limit).toArray()
  return docs.map((doc) => toRow<TaskRow>('tasks', doc, fields))
}

/** After garbage collection: the least of a few readings, since timers and sockets are freed late. */
export async function heapUsed(): Promise<number> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round += 1) {
    await sleep(100)
    collect()
    least = Math.min(least, process.memoryUsage().heapUsed)
  }
  return least
}
