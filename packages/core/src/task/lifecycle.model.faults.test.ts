import { checkModel } from '@taskfleet/testkit/model/check-model'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import { expect, test } from 'vitest'

const RUNS = Number(process.env.TASKFLEET_RUNS ?? 1_000)
const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)

test(`${RUNS} runs of random operations: the store follows the lifecycle`, async () => {
  const coverage = await checkModel({ uri: mongoUri(), runs: RUNS, length: 60, lanes: 4, seed, tour: true })
  process.stdout.write(`seed ${seed}: ${coverage.summary}\n`)
  expect(coverage.missing, `seed ${seed}: every status is reached and every verb used`).toEqual([])
})
