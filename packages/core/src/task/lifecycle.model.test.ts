import { checkModel } from '@taskfleet/testkit/model/check-model'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import { expect, test } from 'vitest'

const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)

test('for any operations in any order, the store follows the lifecycle', async () => {
  const coverage = await checkModel({ uri: mongoUri(), runs: 30, length: 50, lanes: 4, seed, tour: true })
  process.stdout.write(`seed ${seed}: ${coverage.summary}\n`)
  expect(coverage.missing, `seed ${seed}: every status is reached and every verb used\n${coverage}`).toEqual([])
}, 240_000)

test('the store in memory does too', async () => {
  const coverage = await checkModel({ runs: 50, length: 50, lanes: 1, seed, tour: true })
  expect(coverage.missing, `seed ${seed}: every status is reached and every verb used\n${coverage}`).toEqual([])
}, 240_000)
