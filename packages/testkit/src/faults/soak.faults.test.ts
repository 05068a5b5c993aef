import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Fleet, type TaskDocument, taskModel } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { startMongo } from '@taskfleet/dev-mongo'
import { expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const COUNT = Number(process.env.TASKFLEET_SOAK ?? 2_000)
const LEASE_MS = 1_500
const WORKERS = 4

/** Numbers from 0 to 1 that the seed determines, so that a failure can be repeated (mulberry32, by Tommy Ettinger). */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

test(`${COUNT} tasks survive killed and stopped workers and a killed database`, async () => {
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  const random = randomOf(seed)
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-soak-'))
  const mongo = await startMongo({ syncOnCommit: true, env: { ...process.env, TASKFLEET_MONGO_URI: undefined } })
  const address = new URL(mongo.uri)
  address.pathname = '/soak'
  const fleet = await Fleet.connect(address.href)
  const workers: WorkerProcess[] = []
  const faults: string[] = []
  const startWorker = async (): Promise<void> => {
    const args = ['--lease', String(LEASE_MS), '--concurrency', '8']
    workers.push(await WorkerProcess.start({ mongo: address.href, tasks: TASKS, args }))
  }
  const someWorker = (): WorkerProcess => workers.filter(({ alive }) => alive)[Math.floor(random() * WORKERS)]!
  try {
    const input = { ms: 1_000, journal: join(folder, 'journal') }
    const wanted = Array.from({ length: COUNT }, () => parseNewTask({ name: 'steady', input, maxAttempts: 50 }))
    for (let at = 0; at < COUNT; at += 500) await fleet.store.enqueue(wanted.slice(at, at + 500))
    for (let started = 0; started < WORKERS; started += 1) await startWorker()
    const tasks = taskModel(fleet.database.connection).collection
    const left = (): Promise<number> =>
      tasks.countDocuments({ status: { $in: ['pending', 'running'] } }).catch(() => Number.POSITIVE_INFINITY)
    while ((await left()) > WORKERS * 8) {
      const draw = random()
      if (draw < 0.5) {
        faults.push('kill')
        await someWorker().signal('SIGKILL')
        await startWorker()
      } else if (draw < 0.8) {
        faults.push('stop')
        const zombie = someWorker()
        await zombie.signal('SIGSTOP')
        await sleep(LEASE_MS * (0.5 + random() * 2))
        await zombie.signal('SIGCONT')
      } else {
        faults.push('database')
        await mongo.kill?.()
        await sleep(300 + random() * 2_000)
        await mongo.restart?.()
      }
      await sleep(500 + random() * 1_500)
    }
    while ((await left()) > 0) await sleep(200)
    const ended = (await tasks.find().toArray()) as unknown as TaskDocument[]
    expect(ended, `seed ${seed}`).toHaveLength(COUNT)
    for (const task of ended) {
      checkInvariants(task)
      // Three losses are the end of a task by design; anything else must have completed.
      if (task.status !== 'completed')
        expect(task, `seed ${seed}`).toMatchObject({ status: 'failed', error: { code: 'POISON' } })
    }
    const count = (kind: string): number => faults.filter((fault) => fault === kind).length
    countFault('worker killed', count('kill'))
    countFault('worker stopped', count('stop'))
    countFault('database killed', count('database'))
    process.stdout.write(
      `seed ${seed}: ${count('kill')} workers killed, ${count('stop')} stopped, ${count('database')} times the database; ` +
        `${ended.filter(({ lost }) => lost > 0).length} tasks lost an attempt, all ended\n`,
    )
  } finally {
    await Promise.all(workers.map((worker) => worker.signal('SIGKILL')))
    await fleet.close()
    await mongo.stop()
    await rm(folder, { recursive: true, force: true })
  }
})
