import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseNewTask } from '@taskfleet/core/internal'
import { describe, expect, test } from 'vitest'
import { countFault } from '../count-fault.ts'
import { checkInvariants } from '../describe-task-store.ts'
import { ownQueue } from '../fleet/test-sockets.ts'
import { useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const LEASE_MS = 2_000
const ROUNDS = 3
const fleet = useFleet()

describe('F34: a host that stands still', () => {
  test(`for two leases, ${ROUNDS} times, makes each task run once more at most each time, and none is poison`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-starved-'))
    fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
    const queue = ownQueue()
    const start = async (lease: number, concurrency: number): Promise<WorkerProcess> => {
      const args = ['--lease', String(lease), '--concurrency', String(concurrency), '--queues', queue]
      const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args })
      fleet.cleanup(() => worker.signal('SIGKILL'))
      return worker
    }
    const still = await start(LEASE_MS, 6)
    for (let round = 0; round < ROUNDS; round += 1) {
      const input = { ms: 8_000, journal: join(folder, 'journal') }
      const tasks = await fleet.fleet.store.enqueue(
        Array.from({ length: 6 }, () => parseNewTask({ name: 'steady', input, queue })),
      )
      await Promise.all(tasks.map(({ _id }) => fleet.until(_id, ({ status }) => status === 'running')))
      // The other one takes over what it can, and not all of it.
      const other = await start(3 * LEASE_MS, 2)
      await still.signal('SIGSTOP')
      countFault('host stands still')
      await sleep(2 * LEASE_MS)
      await still.signal('SIGCONT')
      for (const task of await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))) {
        expect(task).toMatchObject({ status: 'completed', lost: 0, failures: 0 })
        expect(task.attempt).toBeLessThanOrEqual(2)
        const lost = task.attempts.filter(({ outcome }) => outcome === 'lost')
        // Its process lives: the loss was taken back, unless the task had ended elsewhere before that.
        expect(lost.length).toBeLessThanOrEqual(1)
        checkInvariants(task)
      }
      await other.signal('SIGTERM')
    }
  })

  test('while forty processes fight for its cores makes no task poison, and counts nothing against any', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-starved-'))
    fleet.cleanup(() => rm(folder, { recursive: true, force: true }))
    const queue = ownQueue()
    const args = ['--lease', String(LEASE_MS), '--concurrency', '6', '--queues', queue]
    for (let n = 0; n < 2; n += 1) {
      const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args })
      fleet.cleanup(() => worker.signal('SIGKILL'))
    }
    const input = { ms: 8_000, journal: join(folder, 'journal') }
    const tasks = await fleet.fleet.store.enqueue(
      Array.from({ length: 12 }, () => parseNewTask({ name: 'steady', input, queue })),
    )
    await Promise.all(tasks.map(({ _id }) => fleet.until(_id, ({ status }) => status === 'running')))
    const busy = 'for (const until = Date.now() + 20_000; Date.now() < until; );'
    const hogs = Array.from({ length: 40 }, () => spawn(process.execPath, ['-e', busy], { stdio: 'ignore' }))
    countFault('host at load 40')
    await Promise.all(hogs.map((hog) => once(hog, 'exit')))
    for (const task of await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))) {
      expect(task, JSON.stringify(task.attempts)).toMatchObject({ status: 'completed', lost: 0, failures: 0 })
      checkInvariants(task)
    }
  })
})
