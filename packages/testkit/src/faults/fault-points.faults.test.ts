import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { useFleet } from '../fleet/use-fleet.ts'
import { FAULT_CASES, FaultTrial } from './fault-cases.ts'

const ROUNDS = Number(process.env.TASKFLEET_ROUNDS ?? 10)

describe(`${ROUNDS} times each, a worker`, () => {
  const fleet = useFleet()
  let folder: string
  let trials = 0
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-faults-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const repeat = async (run: (trial: FaultTrial) => Promise<void>): Promise<void> => {
    for (let round = 0; round < ROUNDS; round += 1) {
      trials += 1
      const trial = new FaultTrial(fleet, join(folder, `journal-${trials}`), `trial-${trials}`)
      await run(trial).finally(() => trial.end())
    }
  }

  test.each(FAULT_CASES)('killed at $point: its task ends elsewhere, once', (fault) =>
    repeat((trial) => trial.kill(fault)),
  )

  test.each(FAULT_CASES)(
    'stopped at $point for longer than its lease: what it writes afterwards counts no more',
    (fault) => repeat((trial) => trial.stop(fault)),
  )
})
