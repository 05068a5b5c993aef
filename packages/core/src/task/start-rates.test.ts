import { useDatabase } from '@taskfleet/testkit/use-database'
import { expect, test } from 'vitest'
import { StartRates } from './start-rates.ts'

const db = useDatabase()
const said = { rate: { limit: 10, per: 60_000 }, rev: 1 }

test('many first requests at the same time share the available starts', async () => {
  const rates = new StartRates(db.database.db)
  const grants = await Promise.all(Array.from({ length: 12 }, () => rates.ask('crowd', said, 3)))
  expect(grants.reduce((sum, { count }) => sum + count, 0)).toBe(10)
  const none = grants.find(({ count }) => count === 0)!
  expect(none.nextInMs).toBeGreaterThan(50_000)
  expect(none.nextInMs).toBeLessThanOrEqual(62_000)
  const next = await rates.nextStart('crowd', said.rate, db.database.clock.now())
  expect(next!.getTime()).toBeGreaterThan(db.database.clock.now().getTime() + 50_000)
})

test('unused starts are available to others', async () => {
  const rates = new StartRates(db.database.db)
  const grant = await rates.ask('back', said, 10)
  expect((await rates.ask('back', said, 1)).count).toBe(0)
  await rates.giveBack(grant, 4)
  expect(await rates.nextStart('back', said.rate, db.database.clock.now())).toBeNull()
  expect((await rates.ask('back', said, 9)).count).toBe(4)
  expect(await rates.nextStart('unheard-of', said.rate, db.database.clock.now())).toBeNull()
})
