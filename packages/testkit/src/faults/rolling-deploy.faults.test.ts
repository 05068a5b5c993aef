import { fileURLToPath } from 'node:url'
import type { TaskDocument } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import { afterEach, describe, expect, test } from 'vitest'
import { checkInvariants } from '../describe-task-store.ts'
import { eventually, useFleet } from '../fleet/use-fleet.ts'
import { WorkerProcess } from './worker-process.ts'

const tasksOf = (version: 1 | 2): string => fileURLToPath(new URL(`./rolling-v${version}.tasks.mjs`, import.meta.url))
const MS = 60

describe('a rolling deploy', () => {
  const fleet = useFleet()
  const workers: WorkerProcess[] = []
  afterEach(async () => {
    await Promise.all(workers.splice(0).map((worker) => worker.signal('SIGKILL')))
  })

  const start = async (version: 1 | 2, queue: string): Promise<WorkerProcess> => {
    const args = ['--lease', '2000', '--concurrency', '2', '--grace', '1ms', '--queues', queue]
    const worker = await WorkerProcess.start({ mongo: fleet.uri, tasks: tasksOf(version), args })
    workers.push(worker)
    return worker
  }
  const post = (queue: string, version: number, count: number): Promise<TaskDocument[]> =>
    fleet.fleet.store.enqueue(
      Array.from({ length: count }, () => {
        const input = version === 1 ? { ms: MS } : { seconds: MS / 1_000 }
        return parseNewTask({ name: 'rolling', version, input, queue })
      }),
    )
  const now = (tasks: readonly TaskDocument[]): Promise<TaskDocument[]> =>
    Promise.all(tasks.map(async ({ _id }) => (await fleet.fleet.store.find(_id))!))
  const workersOf = (tasks: readonly TaskDocument[]): Set<string> =>
    new Set(tasks.flatMap(({ attempts }) => attempts.map(({ worker }) => worker)))
  const endedWell = async (tasks: readonly TaskDocument[]): Promise<TaskDocument[]> => {
    const ended = await Promise.all(tasks.map(({ _id }) => fleet.ended(_id)))
    for (const task of ended) {
      checkInvariants(task)
      expect(task).toMatchObject({ status: 'completed', failures: 0, lost: 0 })
    }
    return ended
  }

  test('old and new workers at once: each runs what it can, an old message is brought up, nothing is lost', async () => {
    const queue = 'rolling'
    const [before, after] = await Promise.all([start(1, queue), start(2, queue)])
    const [old, fresh, future] = [await post(queue, 1, 40), await post(queue, 2, 20), await post(queue, 3, 3)]
    // Both workers have run some of the old ones when the old worker gets its signal.
    await eventually(async () => workersOf(await now(old)).size === 2)
    await before.signal('SIGTERM')

    const oldOnes = await endedWell(old)
    expect(workersOf(oldOnes)).toEqual(new Set([before.id, after.id]))
    for (const { attempts, output } of oldOnes) {
      const byNew = attempts.at(-1)!.worker === after.id
      expect(output).toEqual(byNew ? { by: 2, ran: { seconds: MS / 1_000 } } : { by: 1, ran: { ms: MS } })
    }
    const newOnes = await endedWell(fresh)
    expect(workersOf(newOnes)).toEqual(new Set([after.id]))
    for (const waiting of await now(future)) {
      expect(waiting).toMatchObject({ status: 'pending', attempt: 0, failures: 0, rev: 1 })
    }
  }, 60_000)

  test('a new message waits while only old workers are there, and runs when a new one comes', async () => {
    const queue = 'rolling-early'
    const before = await start(1, queue)
    const [fresh] = await post(queue, 2, 1)
    // The old worker has looked at the queue since: it ran what came later.
    await endedWell(await post(queue, 1, 2))
    expect((await now([fresh!]))[0]).toEqual(fresh)
    const after = await start(2, queue)
    const [ended] = await endedWell([fresh!])
    expect(workersOf([ended!])).toEqual(new Set([after.id]))
    expect(before.alive).toBe(true)
  }, 60_000)
})
