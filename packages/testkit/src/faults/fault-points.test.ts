import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from 'vitest'
import { useFleet } from '../fleet/use-fleet.ts'
import { FaultTrial, faultCase } from './fault-cases.ts'

// The most critical points; `fault-points.faults.test.ts` runs all of them many times.
const KILLED = ['claim.acked', 'complete.sent']
const STOPPED = ['handler.middle']

describe('a worker that is struck at a point', () => {
  const fleet = useFleet()
  let folder: string
  let trial: FaultTrial
  let trials = 0
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'taskfleet-faults-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))
  beforeEach(() => {
    trials += 1
    trial = new FaultTrial(fleet, join(folder, `journal-${trials}`), `trial-${trials}`)
  })
  afterEach(() => trial.end())

  test.each(KILLED)('killed at %s: its task ends elsewhere, once', (point) => trial.kill(faultCase(point)), 60_000)

  test.each(STOPPED)(
    'stopped at %s for longer than its lease: what it writes afterwards counts no more',
    (point) => trial.stop(faultCase(point)),
    60_000,
  )
})
