import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { GatewayProcess } from '../fleet/gateway-process.ts'
import { ask, asked, codeOf, connect, stopReading } from '../fleet/test-sockets.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'

const MOST_MB = 64
const MOST_WAIT_MS = 500
const ROUNDS = Number(process.env.TASKFLEET_ROUNDS ?? 5)
const fleet = useFleet()

/** Measures a gateway's memory and its answer times, from now on. */
class Watched {
  readonly #gateway: GatewayProcess
  readonly #waits: number[] = []
  #base = 0
  #peak = 0
  #timer: NodeJS.Timeout | undefined

  constructor(gateway: GatewayProcess) {
    this.#gateway = gateway
  }

  async start(): Promise<this> {
    this.#base = await residentMb(this.#gateway.pid)
    // A failed request counts as one that took for ever.
    this.#timer = setInterval(() => this.#look().catch(() => this.#waits.push(Number.POSITIVE_INFINITY)), 50)
    fleet.cleanup(() => clearInterval(this.#timer))
    return this
  }

  stop(): { grownMb: number; p99Ms: number } {
    clearInterval(this.#timer)
    const sorted = this.#waits.sort((a, b) => a - b)
    return { grownMb: this.#peak - this.#base, p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0 }
  }

  async #look(): Promise<void> {
    const asked = performance.now()
    await (await fetch(`${this.#gateway.url}/health/live`)).text()
    this.#waits.push(performance.now() - asked)
    this.#peak = Math.max(this.#peak, await residentMb(this.#gateway.pid))
  }
}

async function residentMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

async function warmGateway(): Promise<GatewayProcess> {
  const gateway = await GatewayProcess.start(fleet.uri)
  fleet.cleanup(() => gateway.kill())
  const socket = await connect(fleet, gateway.url)
  // Compiled code and the buffers that every gateway needs sooner or later.
  for (let n = 1; n <= 20; n += 1) {
    const { subscription } = await asked<{ subscription: string }>(socket, 'subscribeQuery', {
      limit: n,
      filter: { queue: 'none' },
    })
    await asked(socket, 'unsubscribeQuery', { subscription })
  }
  return gateway
}

async function store(queue: string, count: number, bytes: number): Promise<void> {
  const task = await fleet.post([], { queue, runAt: new Date('2100-01-01'), label: 'x'.repeat(bytes) })
  const tasks = fleet.database.db.collection('tasks')
  const stored = await tasks.findOne({ _id: task._id })
  for (let n = 1; n < count; n += 50) {
    const { _id: _, ...copy } = stored!
    await tasks.insertMany(Array.from({ length: Math.min(50, count - n) }, () => ({ ...copy })))
  }
}

test('twenty queries for rows that are too large together are refused before they are held', async () => {
  await store('large', 500, 120_000)
  const gateway = await warmGateway()
  const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(fleet, gateway.url)))
  const watched = await new Watched(gateway).start()
  const codes = await Promise.all(
    sockets.map(async (socket, n) =>
      codeOf(
        // They are read one after the other.
        await socket.timeout(60_000).emitWithAck('subscribeQuery', {
          filter: { queue: 'large', 'input.z': { $ne: n } },
          fields: ['input'],
          limit: 1_000,
        }),
      ),
    ),
  )
  const { grownMb, p99Ms } = watched.stop()
  expect(new Set(codes)).toEqual(new Set(['TOO_BIG']))
  expect(grownMb).toBeLessThan(MOST_MB)
  expect(p99Ms).toBeLessThan(MOST_WAIT_MS)
})

test('fifty clients that stop reading cost little, and the others go on', async () => {
  await store('watched', 200, 2_000)
  const gateway = await warmGateway()
  const query = { filter: { queue: 'watched' }, fields: ['input', 'priority'], limit: 200 }
  const stopped = await Promise.all(Array.from({ length: 50 }, () => connect(fleet, gateway.url)))
  for (const socket of stopped) await asked(socket, 'subscribeQuery', query)
  const reading = await connect(fleet, gateway.url)
  let deltas = 0
  reading.on('queryDelta', () => (deltas += 1))
  await asked(reading, 'subscribeQuery', query)
  const watched = await new Watched(gateway).start()
  for (const socket of stopped) stopReading(socket)
  const tasks = fleet.database.db.collection('tasks')
  for (let round = 1; round <= 40; round += 1) {
    const before = deltas
    await tasks.updateMany({ queue: 'watched' }, { $set: { priority: 1 + (round % 10) }, $inc: { rev: 1 } })
    await eventually(() => deltas > before)
  }
  const { grownMb, p99Ms } = watched.stop()
  expect(grownMb).toBeLessThan(MOST_MB)
  expect(p99Ms).toBeLessThan(MOST_WAIT_MS)
})

test('hundreds of queries that are opened and given up leave little behind', async () => {
  await store('churned', 200, 1_000)
  const gateway = await warmGateway()
  const sockets = await Promise.all(Array.from({ length: 60 }, () => connect(fleet, gateway.url)))
  const watched = await new Watched(gateway).start()
  await Promise.all(
    sockets.map(async (socket, n) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const filter = { queue: 'churned', 'input.z': { $ne: n * 100 + round } }
        const answer = await ask<{ subscription: string }>(socket, 'subscribeQuery', {
          filter,
          fields: ['input'],
          limit: 200,
        })
        if (answer.ok) await ask(socket, 'unsubscribeQuery', { subscription: answer.subscription })
      }
    }),
  )
  const { grownMb, p99Ms } = watched.stop()
  expect(grownMb).toBeLessThan(MOST_MB)
  expect(p99Ms).toBeLessThan(MOST_WAIT_MS)
})
