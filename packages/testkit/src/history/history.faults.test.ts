import { describe, expect, test } from 'vitest'
import { useDatabase } from '../use-database.ts'
import { MUTANTS } from './mutants.ts'
import { runWorkload, type WorkloadOptions } from './workload.ts'

const RUNS = 3
const fleet = useDatabase()

const firstSeed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)

/** The errors that the checkers find within this many runs. */
async function found(options: Omit<WorkloadOptions, 'seed'>): Promise<string[]> {
  for (let run = 0; run < RUNS; run += 1) {
    const wrong = await runWorkload(fleet.database, { ...options, seed: firstSeed + run })
    if (wrong.length === 0) continue
    process.stdout.write(`caught in run ${run + 1}: ${wrong[0]} (${wrong.length} in all)\n`)
    return wrong
  }
  return []
}

describe(`the checkers of a history, within ${RUNS} runs,`, () => {
  test('find nothing wrong with the store', async () => {
    expect(await found({ tasks: 80 }), `seed ${firstSeed}`).toEqual([])
  })

  test.each(MUTANTS)('catch $says', async (mutant) => {
    expect(await found({ mutant }), `seed ${firstSeed}`).not.toEqual([])
  })

  test('catch a view that reads before it listens', async () => {
    expect(await found({ view: 'snapshot first' }), `seed ${firstSeed}`).not.toEqual([])
  })
})
