import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import {
  type Change,
  type ChangeFeed,
  compileQuery,
  type FeedListener,
  LiveQueries,
  parseNewTask,
} from '@taskfleet/core/internal'
import { type Bed, median } from './bed.ts'

const SIZES = [10, 1_000, 10_000]
const ROUNDS = 7
const EVENTS = 1_000
const TASKS = 400
/** How many queries match tasks of this bench. */
const FITTING = 8
const OPENED_AT_ONCE = 50

type Doc = Record<string, unknown> & { _id: unknown; rev: number }

/** What does a change cost with ever more different live queries open in one process? */
export async function run(bed: Bed): Promise<void> {
  await measure('selective, none of them fits a change', (n) => selective(n), strangeTasks())
  await measure('selective, 4 of them fit each change', (n) => selective(n), fewTasks())
  await measure('selective, spread over as many values as there are queries', (n) => selective(n), manyTasks())
  await measure(
    "with a range of each query's own, which no change fits",
    (n) => ({ priority: { $gt: 100 + n } }),
    fewTasks(),
  )
  await measure("with a day of each query's own, one of which fits each change", (n) => dayOf(n), datedTasks())
  await measure(
    'that no look-up can find',
    (n) => ({ priority: { $ne: 5 }, rev: { $ne: -n } }),
    fewTasks(),
    SIZES.slice(0, 2),
  )

  async function measure(
    what: string,
    filter: (n: number) => Record<string, unknown>,
    tasks: Doc[],
    sizes: readonly number[] = SIZES,
  ): Promise<void> {
    const figures: number[] = []
    const opened = await Promise.all(sizes.map((size) => open(size, filter)))
    const costs: number[][] = sizes.map(() => [])
    const told: number[] = sizes.map(() => 0)
    // The first round is for the compiler. Sizes take turns, so that other load on the machine affects all alike.
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const [at, one] of opened.entries()) {
        const before = one.deltas()
        const cost = await pass(one.feed, tasks)
        if (round > 0) costs[at]!.push(cost)
        told[at]! = one.deltas() - before
      }
    }
    for (const [at, size] of sizes.entries()) {
      figures.push(median(costs[at]!))
      process.stdout.write(
        `${what}: ${size} queries, ${figures[at]!.toFixed(1)} µs a change (${(figures[at]! / figures[0]!).toFixed(2)} × that of ${sizes[0]}; ${told[at]} deltas in ${EVENTS} changes)\n`,
      )
    }
    for (const { queries } of opened) queries.stop()
  }

  async function open(size: number, filter: (n: number) => Record<string, unknown>) {
    const feed = new HandFeed()
    const queries = new LiveQueries(bed.fleet.database, feed as unknown as ChangeFeed, { auditMs: 3_600_000 })
    let deltas = 0
    const listener = { delta: () => (deltas += 1), reset: () => undefined }
    for (let first = 0; first < size; first += OPENED_AT_ONCE) {
      const group = Array.from({ length: Math.min(OPENED_AT_ONCE, size - first) }, (_, n) => first + n)
      await Promise.all(group.map((n) => queries.watch(compileQuery({ filter: filter(n), limit: 20 }), listener)))
    }
    return { feed, queries, deltas: () => deltas }
  }
}

/** A feed that emits what it is given, as the change stream would. */
class HandFeed {
  readonly #listeners = new Set<FeedListener>()

  subscribe(listener: FeedListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  everything(): Promise<() => void> {
    return Promise.resolve(() => undefined)
  }

  tell(change: Change): void {
    for (const listener of this.#listeners) listener.change(change)
  }
}

/** Processor time of this process a change, in microseconds; what goes out to watchers is part of it. */
async function pass(feed: HandFeed, tasks: Doc[]): Promise<number> {
  const changes = Array.from({ length: EVENTS }, (_, n) => {
    const task = tasks[n % tasks.length]!
    task.rev += 1
    const doc = { ...task, status: task.rev % 2 === 0 ? 'running' : 'pending' }
    return { collection: 'tasks', id: task._id, doc } as unknown as Change
  })
  globalThis.gc?.()
  const before = process.cpuUsage()
  for (const [n, change] of changes.entries()) {
    feed.tell(change)
    if (n % 50 === 0) await turn()
  }
  const { user, system } = process.cpuUsage(before)
  // Whatever is still held back goes out before the next round.
  await sleep(60)
  return (user + system) / EVENTS
}

/** Queries by queue and status, customer, worker or id, in turns. */
function selective(n: number): Record<string, unknown> {
  const value = Math.floor(n / 4)
  switch (n % 4) {
    case 0:
      return { queue: `q${value}`, status: 'running' }
    case 1:
      return { 'input.customer': `c${value}` }
    case 2:
      return { worker: `w${value}` }
    default:
      return { _id: idOf(value) }
  }
}

const day = (n: number): Date => new Date(Date.UTC(2026, 0, 1 + n))
const dayOf = (n: number): Record<string, unknown> => ({
  createdAt: { $gte: day(n).toISOString(), $lt: day(n + 1).toISOString() },
})

const idOf = (n: number): string => (0xabc000000000 + n).toString(16).padStart(24, '0')

/** Only with the first values, so that the number of matching queries is always the same. */
const fewTasks = (): Doc[] => tasksOf((n) => n % (FITTING / 4))
/** Each from one of the first days. */
const datedTasks = (): Doc[] => tasksOf((n) => n % FITTING).map((task, n) => ({ ...task, createdAt: day(n % FITTING) }))
const strangeTasks = (): Doc[] => tasksOf((n) => 1_000_000 + n)
const manyTasks = (): Doc[] => tasksOf((n) => (n * 2_500) / TASKS)

function tasksOf(valueFor: (n: number) => number): Doc[] {
  return Array.from({ length: TASKS }, (_, n) => {
    const value = Math.floor(valueFor(n))
    const task = parseNewTask({ name: 'measured', queue: `q${value}`, input: { customer: `c${value}`, size: n } })
    return { ...task, status: 'pending', worker: `w${value}`, rev: 1, attempt: 1, createdAt: new Date() }
  })
}
