import { parseNewTask } from '@taskfleet/core/internal'
import { z } from 'zod'
import { type Bed, median } from './bed.ts'

const TASKS = 4_000
const AT_ONCE = 20
const LIST = 500
const ROUNDS = 5

export const noop = { name: 'noop', version: 1, input: z.object({}) }

/** Tasks a second from `AT_ONCE` callers, each of which waits for its answer. */
export async function singles(store: () => Promise<unknown>): Promise<number> {
  let left = TASKS
  const startedAt = performance.now()
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left > 0) {
        left -= 1
        await store()
      }
    }),
  )
  return TASKS / ((performance.now() - startedAt) / 1_000)
}

/** Tasks a second in lists of `LIST`, one after the other. */
export async function lists(store: (count: number) => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  for (let stored = 0; stored < TASKS; stored += LIST) await store(LIST)
  return TASKS / ((performance.now() - startedAt) / 1_000)
}

/** How fast are tasks stored, one by one and in lists, beside a driver that inserts the same documents? In turns. */
export async function run({ fleet }: Bed): Promise<void> {
  const bare = fleet.database.db.collection('bare')
  const document = (): object => {
    const { _id: _, ...fields } = parseNewTask({ name: 'noop' })
    return { ...fields, status: 'pending', createdAt: new Date(), attempts: [], rev: 1 }
  }
  const documents = (count: number): object[] => Array.from({ length: count }, document)
  const entries = (count: number): { input: Record<string, never>; queue: string }[] =>
    Array.from({ length: count }, () => ({ input: {}, queue: 'bench' }))
  const ways = {
    'one by one': () => singles(() => fleet.enqueue(noop, {}, { queue: 'bench' })),
    'one by one, bare': () => singles(() => bare.insertOne(document())),
    'in lists': () => lists((count) => fleet.enqueueMany(noop, entries(count))),
    'in lists, bare': () => lists((count) => bare.insertMany(documents(count))),
  }
  const rates = new Map<string, number[]>(Object.keys(ways).map((name) => [name, []]))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, way] of Object.entries(ways)) rates.get(name)!.push(await way())
  }
  for (const [name, each] of rates) process.stdout.write(`${name}: ${median(each).toFixed(0)} tasks a second\n`)
}
