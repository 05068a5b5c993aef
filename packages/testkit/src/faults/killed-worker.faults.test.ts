import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseNewTask } from '@taskfleet/core/internal'
import { afterEach, describe, expect, test } from 'vitest'
import { checkInvariants } from '../describe-task-store.ts'
import { useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const TASKS = fileURLToPath(new URL('./steady.tasks.mjs', import.meta.url))
const fleet = useFleet()

describe('workers that are killed', () => {
  const workers: WorkerProcess[] = []
  let folder: string | undefined
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.signal('SIGKILL')))
    if (folder !== undefined) await rm(folder, { recursive: true, force: true })
  })

  const startWorker = async (...args: string[]): Promise<WorkerProcess> => {
    const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: TASKS, args })
    workers.push(worker)
    return worker
  }
  const journal = async (): Promise<string> => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-kill-'))
    return join(folder, 'journal')
  }
  const post = (count: number, input: { ms: number; journal: string }) =>
    fleet.fleet.store.enqueue(
      Array.from({ length: count }, () => parseNewTask({ name: 'steady', input, maxAttempts: 50 })),
    )

  test('a worker that is stopped for longer than its lease comes back to nothing', async () => {
    const file = await journal()
    const [task] = await post(1, { ms: 2_500, journal: file })
    const zombie = await startWorker('--lease', '1000', '--concurrency', '1')
    await fleet.until(task!._id, ({ status }) => status === 'running')
    await zombie.signal('SIGSTOP')
    // Not the one that loses its lease on a busy machine.
    await startWorker('--lease', '4000', '--concurrency', '1')
    const taken = await fleet.until(task!._id, ({ attempt }) => attempt === 2)
    expect(taken.worker).not.toBe(zombie.id)
    await zombie.signal('SIGCONT')
    const ended = await fleet.ended(task!._id)
    expect(ended).toMatchObject({ status: 'completed', output: { attempt: ended.attempt } })
    expect(ended.attempts[0]).toMatchObject({ worker: zombie.id, outcome: 'lost' })
    checkInvariants(ended)
  }, 120_000)

  test("a killed worker's task runs elsewhere within 10 s, with the usual lease", async () => {
    const file = await journal()
    const [task] = await post(1, { ms: 30_000, journal: file })
    const first = await startWorker('--concurrency', '1')
    await fleet.until(task!._id, ({ status }) => status === 'running')
    await startWorker('--concurrency', '1')
    const killedAt = fleet.database.clock.now().getTime()
    await first.signal('SIGKILL')
    const again = await fleet.until(task!._id, ({ attempt }) => attempt === 2)
    expect(again.claimedAt!.getTime() - killedAt).toBeLessThanOrEqual(10_000)
  }, 120_000)
})
