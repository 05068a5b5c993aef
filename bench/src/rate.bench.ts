import { type Bed, median } from './bed.ts'
import { drain } from './drain.bench.ts'

const SIZE = 1_000
const ROUNDS = 3
const WORKERS = 3
const FULL = { limit: 100, per: '2s' } as const
const PERIODS = 6

/** What does a rate of a queue cost where it is far above the load, and how much of it is used where there is always work? */
export async function run(bed: Bed): Promise<void> {
  const [without, far]: [number[], number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round += 1) {
    without.push(await drain(bed, SIZE))
    far.push(await drain(bed, SIZE, { rate: { limit: 100_000, per: '1s' } }))
  }
  process.stdout.write(
    `one worker, ${SIZE} tasks: ${median(without).toFixed(0)} a second without a rate, ${median(far).toFixed(0)} with one far above; ${(median(far) / median(without)).toFixed(2)} ×\n`,
  )
  // The first full window is there at once: what comes after it is the rate.
  const size = FULL.limit * (PERIODS + 1)
  const used = await drain(bed, size, { workers: WORKERS, rate: FULL })
  const ideal = FULL.limit / 2
  const after = (size - FULL.limit) / (size / used)
  process.stdout.write(
    `${WORKERS} workers, ${FULL.limit} per ${FULL.per}, always work: ${after.toFixed(1)} starts a second of ${ideal}; ${((after / ideal) * 100).toFixed(0)} %\n`,
  )
}
