import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@taskfleet/dev-mongo'
import { Queue, Worker } from 'bullmq'
import type { Bed } from './bed.ts'
import { lists, singles } from './enqueue.bench.ts'
import { AT_ONCE, type Peer } from './peer.ts'

const PAGE = 5_000

/** BullMQ on a Redis of its own, with its append-only file. Undefined without `redis-server` on the PATH. */
export async function startBullMq(bed: Bed): Promise<Peer | undefined> {
  if (spawnSync('redis-server', ['--version']).status !== 0) return undefined
  const connection = await startRedis(bed)
  const queue = new Queue('bench', { connection })
  bed.defer(() => queue.close())
  const jobs = (count: number) => Array.from({ length: count }, () => ({ name: 'noop', data: {} }))
  const drain = async (size: number): Promise<number> => {
    await queue.pause()
    for (let stored = 0; stored < size; stored += PAGE) await queue.addBulk(jobs(Math.min(PAGE, size - stored)))
    const worker = new Worker('bench', async () => null, { connection, concurrency: AT_ONCE })
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
    return size / seconds
  }
  const fill = async (ended: number): Promise<void> => {
    await queue.obliterate({ force: true })
    // Ended jobs are kept by their queue.
    if (ended > 0) await drain(ended)
  }
  const aside = new Queue('aside', { connection })
  bed.defer(() => aside.close())
  return {
    name: 'BullMQ',
    drain,
    fill,
    work: async (onRun) => {
      await queue.obliterate({ force: true })
      const worker = new Worker('bench', async () => onRun(), { connection, concurrency: AT_ONCE })
      await worker.waitUntilReady()
      return { enqueue: () => queue.add('noop', {}), stop: () => worker.close() }
    },
    enqueue: () => singles(() => aside.add('noop', {})),
    enqueueLists: () => lists((count) => aside.addBulk(jobs(count))),
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
