import { checkAgreement } from '@taskfleet/testkit/live/agreement'
import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'

const held = useDatabase()

test('the matcher and the server agree on 200,000 pairs of filter and document', async () => {
  const seed = Number(process.env.TASKFLEET_SEED ?? Date.now() % 2 ** 31)
  const { pairs, fitted } = await checkAgreement(held.database.db, { batches: 20, documents: 100, filters: 100, seed })
  expect(pairs).toBeGreaterThanOrEqual(200_000)
  process.stdout.write(`seed ${seed}: ${pairs} pairs, ${fitted} of them fitted\n`)
})
