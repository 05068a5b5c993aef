import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@taskfleet/dev-mongo'
import { Queue, Worker } from 'bullmq'
import { type Bed, median } from './bed.ts'
import { drain } from './drain.bench.ts'
import { lists, noop, singles } from './enqueue.bench.ts'

const ROUNDS = 5
const AT_ONCE = 20

/** How do drains and enqueuing compare with BullMQ on Redis, on this machine, in turns? Needs `redis-server` on the PATH. */
export async function run(bed: Bed): Promise<void> {
  if (spawnSync('redis-server', ['--version']).status !== 0) {
    process.stdout.write('left out: there is no redis-server on the PATH\n')
    return
  }
  const connection = await startRedis(bed)
  const entries = (count: number): { input: Record<string, never>; queue: string }[] =>
    Array.from({ length: count }, () => ({ input: {}, queue: 'bench' }))
  const queue = new Queue('bench', { connection })
  bed.defer(() => queue.close())
  const rows: Record<string, [ours: () => Promise<number>, bullmq: () => Promise<number>]> = {
    'drain of 2,000': [() => drain(bed, 2_000), () => drainBull(connection, 2_000)],
    'drain of 5,000': [() => drain(bed, 5_000), () => drainBull(connection, 5_000)],
    'enqueue, 20 in flight': [
      () => singles(() => bed.fleet.enqueue(noop, {}, { queue: 'bench' })),
      () => singles(() => queue.add('noop', {})),
    ],
    'enqueue in lists of 500': [
      () => lists((count) => bed.fleet.enqueueMany(noop, entries(count))),
      () => lists((count) => queue.addBulk(Array.from({ length: count }, () => ({ name: 'noop', data: {} })))),
    ],
  }
  for (const [what, [ours, bull]] of Object.entries(rows)) {
    const rates: [number[], number[]] = [[], []]
    for (let round = 0; round < ROUNDS; round += 1) {
      rates[0].push(await ours())
      rates[1].push(await bull())
    }
    const [mine, theirs] = rates.map(median) as [number, number]
    const line = `${what}: ${mine.toFixed(0)} a second, BullMQ ${theirs.toFixed(0)}, ratio ${(mine / theirs).toFixed(2)}`
    process.stdout.write(`${line} (load ${loadavg()[0]!.toFixed(1)})\n`)
  }
}

type Connection = { host: string; port: number; maxRetriesPerRequest: null }

async function startRedis(bed: Bed): Promise<Connection> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-redis-'))
  const port = await freePort()
  const redis = spawn('redis-server', ['--port', String(port), '--dir', folder, '--appendonly', 'yes'], {
    stdio: 'pipe',
  })
  bed.defer(async () => {
    redis.kill()
    await once(redis, 'exit')
    await rm(folder, { recursive: true, force: true })
  })
  let said = ''
  for await (const part of redis.stdout) {
    said += String(part)
    if (said.includes('Ready to accept connections')) break
  }
  redis.stdout.resume()
  return { host: '127.0.0.1', port, maxRetriesPerRequest: null }
}

async function drainBull(connection: Connection, size: number): Promise<number> {
  const name = `drain-${size}-${Date.now()}`
  const queue = new Queue(name, { connection })
  await queue.addBulk(Array.from({ length: size }, () => ({ name: 'noop', data: {} })))
  await queue.pause()
  const worker = new Worker(name, async () => null, { connection, concurrency: AT_ONCE })
  await worker.waitUntilReady()
  let done = 0
  const drained = new Promise<void>((resolve) => {
    worker.on('completed', () => {
      done += 1
      if (done === size) resolve()
    })
  })
  const startedAt = performance.now()
  await queue.resume()
  await drained
  const seconds = (performance.now() - startedAt) / 1_000
  await worker.close()
  await queue.close()
  return size / seconds
}
