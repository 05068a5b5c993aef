import { expect, test } from 'vitest'
import { useDatabase } from '../use-database.ts'
import { runWorkload } from './workload.ts'

const fleet = useDatabase()

// The checkers themselves are tested in `history.faults.test.ts`.
test('the history of workers, reapers and clients is one that the lifecycle allows', async () => {
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  expect(await runWorkload(fleet.database, { seed }), `seed ${seed}`).toEqual([])
}, 180_000)
