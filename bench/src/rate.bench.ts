import { parseNewTask } from '@taskfleet/core/internal'
import type { QueueLimits } from '@taskfleet/protocol'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { median, openBed } from './bed.ts'

const SIZE = 1_000
const ROUNDS = 3
const AT_ONCE = 20
const WORKERS = 3
const FULL = { limit: 100, per: '2s' } as const
const PERIODS = 6

/** What does a rate of a queue cost where it is far above the load, and how much of it is used where there is always work? */
export async function run(): Promise<void> {
  const bed = await openBed()
  const noop = defineTask({ name: 'noop', input: z.object({}), run: () => null })
  /** Tasks a second, by so many workers. */
  const drain = async (queue: string, workers: number, size: number, rate?: QueueLimits['rate']): Promise<number> => {
    if (rate !== undefined) await bed.fleet.queues.setLimits(queue, { rate }, 'bench')
    await bed.fleet.store.enqueue(Array.from({ length: size }, () => parseNewTask({ name: 'noop', queue })))
    const runners = Array.from(
      { length: workers },
      () => new TaskRunner({ mongo: bed.uri, tasks: [noop], queues: [queue], concurrency: AT_ONCE }),
    )
    let done = 0
    let startedAt = 0
    const drained = new Promise<void>((resolve) => {
      for (const runner of runners) {
        runner.on('success', () => {
          done += 1
          if (startedAt === 0) startedAt = performance.now()
          if (done === size) resolve()
        })
      }
    })
    await Promise.all(runners.map((runner) => runner.start()))
    await drained
    const seconds = (performance.now() - startedAt) / 1_000
    await Promise.all(runners.map((runner) => runner.stop({ grace: 0 })))
    return size / seconds
  }
  try {
    const [without, far]: [number[], number[]] = [[], []]
    for (let round = 0; round < ROUNDS; round += 1) {
      without.push(await drain(`free-${round}`, 1, SIZE))
      far.push(await drain(`far-${round}`, 1, SIZE, { limit: 100_000, per: '1s' }))
    }
    process.stdout.write(
      `one worker, ${SIZE} tasks: ${median(without).toFixed(0)} a second without a rate, ${median(far).toFixed(0)} with one far above; ${(median(far) / median(without)).toFixed(2)} ×\n`,
    )
    // The first full window is there at once: what comes after it is the rate.
    const size = FULL.limit * (PERIODS + 1)
    const used = await drain('full', WORKERS, size, FULL)
    const ideal = FULL.limit / 2
    const after = (size - FULL.limit) / (size / used)
    process.stdout.write(
      `${WORKERS} workers, ${FULL.limit} per ${FULL.per}, always work: ${after.toFixed(1)} starts a second of ${ideal}; ${((after / ideal) * 100).toFixed(0)} %\n`,
    )
  } finally {
    await bed.close()
  }
}
