import { ChangeFeed, compileQuery, LiveQueries } from '@taskfleet/core/internal'
import { type Bed, median } from './bed.ts'
import { drain } from './drain.bench.ts'

const TASKS = 2_000
const ROUNDS = 5
const RANGES = 1_000
const OPENED_AT_ONCE = 50

/** How much slower is a drain in a process that also has 1,000 live queries open, each with a range of its own? The goal is 10 %. */
export async function run(bed: Bed): Promise<void> {
  const cases: [name: string, filters: Record<string, unknown>[]][] = [
    ['one live query', [{ queue: 'none' }]],
    [`${RANGES} with a threshold of their own on priority`, each((n) => ({ priority: { $gt: 100 + n } }))],
    [
      `${RANGES} with a minute of their own on createdAt`,
      each((n) => ({ createdAt: { $gte: minute(n), $lt: minute(n + 1) } })),
    ],
    [
      `${RANGES} with a condition that can't be looked up`,
      each((n) => ({ rev: { $ne: -1 - n }, name: { $ne: 'noop' } })),
    ],
  ]
  const rates = new Map<string, number[]>(cases.map(([name]) => [name, []]))
  // In turns, since other work on the machine comes and goes. The first round is for the compiler.
  for (let round = 0; round <= ROUNDS; round += 1) {
    for (const [name, filters] of cases) {
      const rate = await withOpen(bed, filters, () => drain(bed, TASKS))
      if (round > 0) rates.get(name)!.push(rate)
    }
  }
  const [floor] = [...rates.values()].map(median)
  for (const [name, all] of rates) {
    const slower = 1 - median(all) / floor!
    process.stdout.write(`${name}: ${median(all).toFixed(0)} tasks a second, ${(slower * 100).toFixed(1)} % slower\n`)
  }
}

async function withOpen(bed: Bed, filters: Record<string, unknown>[], measure: () => Promise<number>): Promise<number> {
  // Each query that finds nothing reads all tasks.
  await bed.fleet.tasks.deleteMany({})
  const feed = new ChangeFeed(bed.fleet.database)
  await feed.start()
  const queries = new LiveQueries(bed.fleet.database, feed, { auditMs: 3_600_000 })
  const listener = { delta: () => undefined, reset: () => undefined }
  for (let first = 0; first < filters.length; first += OPENED_AT_ONCE) {
    const group = filters.slice(first, first + OPENED_AT_ONCE)
    await Promise.all(group.map((filter) => queries.watch(compileQuery({ filter, limit: 20 }), listener)))
  }
  try {
    return await measure()
  } finally {
    queries.stop()
    await feed.stop()
  }
}

const each = (filter: (n: number) => Record<string, unknown>): Record<string, unknown>[] =>
  Array.from({ length: RANGES }, (_, n) => filter(n))
/** Minutes of a day long ago: no task of the drain is in one. */
const minute = (n: number): string => new Date(Date.UTC(2020, 0, 1, 0, n)).toISOString()
