import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Fleet, type TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { type RunningMongo, startMongo } from '@taskfleet/dev-mongo'
import { afterEach, describe, expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const LEASE_MS = 2_000
const run = promisify(execFile)

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'taskfleet-host-'))
  cleanups.push(() => rm(made, { recursive: true, force: true }))
  return made
}

async function startFleet(options: Parameters<typeof startMongo>[0]): Promise<{ mongo: RunningMongo; fleet: Fleet }> {
  const mongo = await startMongo({ syncOnCommit: true, ...options })
  cleanups.push(() => mongo.stop())
  const address = new URL(mongo.uri)
  address.pathname = '/host'
  const fleet = await Fleet.connect(address.href)
  cleanups.push(() => fleet.close())
  for (const name of ['one', 'other']) {
    const args = ['--lease', String(LEASE_MS), '--concurrency', '4', '--name', name]
    const worker = await WorkerProcess.start({ mongo: address.href, tasks: TASKS, args })
    cleanups.push(() => worker.signal('SIGKILL'))
  }
  return { mongo, fleet }
}

const post = (fleet: Fleet, ms: number, journal: string, bulk = ''): Promise<TaskDocument[]> =>
  fleet.store.enqueue([parseNewTask({ name: 'steady', input: { ms, journal, bulk } })])

async function ended(fleet: Fleet, id: TaskDocument['_id']): Promise<TaskDocument> {
  for (;;) {
    const task = await fleet.store.find(id).catch(() => null)
    if (task !== null && ['completed', 'failed', 'cancelled'].includes(task.status)) return task
    await sleep(50)
  }
}

/** The path of the library that fakes the clock, from its own command. */
const library = await run('faketime', ['-m', '-f', '+0', 'printenv', 'LD_PRELOAD']).then(
  ({ stdout }) => stdout.trim(),
  () => undefined,
)

describe.skipIf(library === undefined)('F21: the clock of the database (needs faketime)', () => {
  test('that jumps by a minute, ahead and back, has no task run twice at a time and loses none', async () => {
    const place = await folder()
    const clock = join(place, 'clock')
    await writeFile(clock, '+0')
    const faked = {
      ...{ LD_PRELOAD: library, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_CACHE_DURATION: '1' },
      ...{ FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    }
    const { fleet } = await startFleet({ env: { ...process.env, ...faked, TASKFLEET_MONGO_URI: undefined } })
    const tasks: TaskDocument[] = []
    for (const jump of ['+60s', '-60s', '+0']) {
      for (let n = 0; n < 6; n += 1) tasks.push(...(await post(fleet, 2_000, join(place, 'journal'))))
      while ((await fleet.tasks.countDocuments({ status: 'running' })) === 0) await sleep(20)
      await writeFile(clock, jump)
      countFault('clock of the database jumps')
      await sleep(2 * LEASE_MS)
    }
    for (const { _id } of tasks) {
      const task = await ended(fleet, _id)
      expect(task, JSON.stringify(task.attempts)).toMatchObject({ status: 'completed', failures: 0 })
      checkInvariants(task)
    }
  })
})

describe('F23: the disk of the database', () => {
  test('that is full makes writes fail clearly, and loses nothing that was acknowledged', async ({ skip }) => {
    const disk = await mkdtemp(join(tmpdir(), 'taskfleet-disk-'))
    cleanups.push(() => rm(disk, { recursive: true, force: true }))
    const mount = ['-t', 'tmpfs', '-o', 'size=300m', 'tmpfs', disk]
    await run('mount', mount).catch((error: Error) => skip(`nothing can be mounted here: ${error.message}`))
    cleanups.push(() => run('umount', ['--lazy', disk]))
    const place = await folder()
    const ballast = join(disk, 'ballast')
    const { mongo, fleet } = await startFleet({
      dataDir: join(disk, 'data'),
      env: { ...process.env, TASKFLEET_MONGO_URI: undefined },
    })
    const journal = join(place, 'journal')
    const acked: TaskDocument[] = []
    const codes = new Set<unknown>()
    const produce = async (count: number, bulk?: string): Promise<void> => {
      for (let n = 0; n < count; n += 1) {
        await post(fleet, 20, journal, bulk).then(
          (tasks) => acked.push(...tasks),
          (error: unknown) => codes.add((error as { code?: unknown }).code ?? String(error)),
        )
      }
    }
    await produce(20)
    const { bavail, bsize } = await statfs(disk)
    await writeFile(ballast, Buffer.alloc(bavail * bsize)).catch(() => undefined)
    countFault('disk of the database full')
    // The server has room in files that it made beforehand.
    const until = Date.now() + 60_000
    while (codes.size === 0 && Date.now() < until) await produce(1, randomBytes(150_000).toString('base64'))
    await Promise.race([produce(5), sleep(20_000)])
    // A server that can't write may end itself; its supervisor restarts it when there is space.
    await rm(ballast)
    await mongo.restart?.().catch((error: Error) => {
      if (!mongo.standIn) throw error
      skip(`this stand-in does not always come back from a full disk: ${error.message}`)
    })
    await produce(20)
    // Said by the server with a number, or by what became of the connection.
    expect(codes.size).toBeGreaterThan(0)
    for (const code of codes) expect(code === 'UNKNOWN_OUTCOME' || typeof code === 'number', String(code)).toBe(true)
    expect(acked.length).toBeGreaterThanOrEqual(40)
    for (const { _id } of acked) {
      const task = await ended(fleet, _id)
      expect(task, JSON.stringify(task.attempts)).toMatchObject({ status: 'completed', failures: 0 })
      checkInvariants(task)
    }
  })
})
