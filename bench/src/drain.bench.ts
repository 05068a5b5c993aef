import { parseNewTask } from '@taskfleet/core'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { median, openBed } from './bed.ts'

const SIZES = [500, 2_000, 5_000]
const ROUNDS = 3
const AT_ONCE = 20

/** How fast does one worker drain waiting no-op tasks, beside a bare driver loop with the same writes? */
export async function run(): Promise<void> {
  const bed = await openBed()
  const noop = defineTask({ name: 'noop', input: z.object({}), run: () => null })
  try {
    for (const size of SIZES) {
      const ours: number[] = []
      const floor: number[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        floor.push(await bareDriver(bed, size))
        const queue = `drain-${size}-${round}`
        await bed.fleet.store.enqueue(Array.from({ length: size }, () => parseNewTask({ name: 'noop', queue })))
        const runner = new TaskRunner({ mongo: bed.uri, tasks: [noop], queues: [queue], concurrency: AT_ONCE })
        let done = 0
        const startedAt = performance.now()
        const drained = new Promise<void>((resolve) => {
          runner.on('success', () => {
            done += 1
            if (done === size) resolve()
          })
        })
        await runner.start()
        await drained
        ours.push(size / ((performance.now() - startedAt) / 1_000))
        await runner.stop({ grace: 0 })
      }
      process.stdout.write(
        `${size} tasks: ${median(ours).toFixed(0)} a second; a bare driver, one write at a time on ${AT_ONCE} loops: ${median(floor).toFixed(0)}; ${(median(ours) / median(floor)).toFixed(2)} × (start-up of the worker included)\n`,
      )
    }
  } finally {
    await bed.close()
  }
}

/** The least that a claim and an end cost: two writes by `_id`, nothing around them. */
async function bareDriver(bed: Awaited<ReturnType<typeof openBed>>, size: number): Promise<number> {
  const collection = bed.fleet.database.db.collection<{ _id: number; status: string }>('bare')
  await collection.deleteMany({})
  await collection.insertMany(Array.from({ length: size }, (_, _id) => ({ _id, status: 'pending' })))
  let next = 0
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (let _id = next++; _id < size; _id = next++) {
        await collection.findOneAndUpdate({ _id, status: 'pending' }, { $set: { status: 'running' } })
        await collection.updateOne({ _id, status: 'running' }, { $set: { status: 'completed' } })
      }
    }),
  )
  return size / ((performance.now() - startedAt) / 1_000)
}
