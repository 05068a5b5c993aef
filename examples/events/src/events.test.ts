import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Fleet } from '@taskfleet/core'
import { mongoUri } from '@taskfleet/testkit/mongo-uri'
import { expect, test } from 'vitest'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

/** What the example prints of its events, as users run it. Rejects unless it exits with 0. */
async function run(mongoUri: string): Promise<string[]> {
  const env = { ...process.env, TASKFLEET_MONGO_URI: mongoUri }
  const { stdout } = await promisify(execFile)(process.execPath, [main], { env })
  return stdout.split('\n').filter((line) => /^(finished|failed|cancelled) /.test(line))
}

/** Events that end within the same moment may be told of in any order. */
const EXPECTED = [
  'failed    Divide    {"a":1,"b":0}    division: DIVISION_BY_ZERO',
  'finished  Add       {"a":2,"b":3}    addition = 5',
  'finished  All       {"a":12,"b":4}   addition = 16, subtraction = 8, multiplication = 48, division = 3',
  'finished  Divide    {"a":9,"b":2}    division = 4.5',
  'finished  Multiply  {"a":4,"b":5}    multiplication = 20',
  'finished  Subtract  {"a":2,"b":3}    subtraction = -1',
]

test('every event ends as it should, is logged once, and runs by its priority and not before its time', async () => {
  const address = new URL(mongoUri())
  address.pathname = `/events_${randomUUID().slice(0, 8)}`
  expect((await run(address.href)).sort()).toEqual(EXPECTED)

  const fleet = await Fleet.connect(address.href)
  try {
    const tasks = await fleet.tasks.find().sort({ claimedAt: 1 }).toArray()
    expect(tasks.filter(({ claimedAt, runAt }) => claimedAt! < runAt)).toEqual([])
    const atOnce = tasks.filter(({ input }) => (input as { a: number }).a < 5)
    expect(atOnce.map(({ priority }) => priority)).toEqual([9, 5, 4, 2])
    // On the same database again: its callbacks are there already, and each event still calls each of them once.
    expect((await run(address.href)).sort()).toEqual(EXPECTED)
    expect(await fleet.tasks.countDocuments()).toBe(2 * tasks.length)
  } finally {
    await fleet.close()
  }
})
