import { describe, test } from 'vitest'
import { useFleet } from '../fleet/use-fleet.ts'
import { ENDS, poisonTrial } from './poison-trial.ts'

const ROUNDS = Number(process.env.TASKFLEET_ROUNDS ?? 1)
const fleet = useFleet()

describe(`F33: ${ROUNDS} times each, a task that ends its process`, () => {
  test.each([1, 3])(
    'beside 7 good tasks of 12 s at workers that are started again at once: %i of them',
    async (workers) => {
      for (let round = 0; round < ROUNDS; round += 1) {
        // Each has a queue and workers to itself.
        await Promise.all(ENDS.map((end) => poisonTrial(fleet, { end, workers, goodMs: 12_000, culpritMs: 3_000 })))
      }
    },
  )
})
