import { describe, test } from 'vitest'
import { useFleet } from '../fleet/use-fleet.ts'
import { poisonTrial } from './poison-trial.ts'

const fleet = useFleet()

// The long form is in `poison.faults.test.ts`.
describe('F33: a task that ends its process', () => {
  test('is given up with its evidence, and takes none of its neighbours along', async () => {
    await poisonTrial(fleet, { end: 'kill', workers: 1, goodMs: 1_000, culpritMs: 200 })
  }, 120_000)
})
