import { isDeepStrictEqual } from 'node:util'
import type { FleetClient, LiveQuery } from '@taskfleet/client'
import { toRow } from '@taskfleet/core/internal'
import type { TaskRow } from '@taskfleet/protocol'
import { countFault } from '../count-fault.ts'
import { heapUsed } from '../fleet/random-history.ts'
import { ownQueue, startGateway, startProxy } from '../fleet/test-sockets.ts'
import { eventually, type useFleet } from '../fleet/use-fleet.ts'

const PRIORITIES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
const TASKS = 100
const WINDOW = 20
/** A first connection that takes too long is an error, and one that is lost is made again. */
const OPENED_AT_ONCE = 10
const ORDER = { priority: 1, _id: 1 } as const

interface Viewer {
  client: FleetClient
  priority: number
  /** All tasks of one priority. */
  some: LiveQuery<'tasks'>
  /** A window that tasks enter and leave. */
  first: LiveQuery<'tasks'>
}

/**
 * Cuts the connections of all clients at once, repeatedly, while their tasks change.
 *
 * @returns bytes of the heap before and after, and how many views differ from the database at rest
 */
export async function reconnectStorm(
  fleet: ReturnType<typeof useFleet>,
  { clients, storms }: { clients: number; storms: number },
): Promise<{ before: number; after: number; wrong: number; load: ReturnType<typeof loadOf> }> {
  const queue = ownQueue()
  const gateway = await startGateway(fleet)
  const proxy = await startProxy(fleet, gateway.url!)
  const tasks = fleet.database.db.collection('tasks')
  const { _id: _, ...task } = (await tasks.findOne({ _id: (await fleet.post([], { queue }))._id }))!
  await tasks.insertMany(Array.from({ length: TASKS - 1 }, (_, n) => ({ ...task, priority: 1 + (n % 10) })))
  const filterOf = (priority: number) => ({ queue, priority })

  const open = async (n: number): Promise<Viewer> => {
    const client = fleet.client(proxy.url)
    const priority = PRIORITIES[n % PRIORITIES.length]!
    const some = await client.subscribe({ filter: filterOf(priority), sort: { _id: 1 } }, () => undefined)
    const first = await client.subscribe({ filter: { queue }, sort: ORDER, limit: WINDOW }, () => undefined)
    return { client, some, first, priority }
  }
  const viewers: Viewer[] = []
  while (viewers.length < clients) {
    viewers.push(...(await Promise.all(Array.from({ length: OPENED_AT_ONCE }, (_, n) => open(n)))))
  }

  const change = (): Promise<unknown> =>
    Promise.all(
      PRIORITIES.map(async (priority) => {
        const moved = await tasks.findOne(filterOf(priority))
        if (moved === null) return
        await tasks.updateOne({ _id: moved._id }, { $set: { priority: 1 + (priority % 10) }, $inc: { rev: 1 } })
      }),
    )
  const wrong = async (): Promise<number> => {
    const docs = await tasks.find({ queue }).sort(ORDER).toArray()
    const rows = docs.map((doc) => toRow<TaskRow>('tasks', doc))
    const window = rows.slice(0, WINDOW)
    const expected = new Map(PRIORITIES.map((one) => [one, rows.filter(({ priority }) => priority === one)]))
    return viewers
      .flatMap(({ priority, some, first }) => [
        isDeepStrictEqual(some.rows, expected.get(priority)),
        isDeepStrictEqual(first.rows, window),
      ])
      .filter((right) => !right).length
  }
  const atRest = async (): Promise<void> => {
    await eventually(() => viewers.every(({ some, first }) => some.live && first.live))
    await eventually(async () => gateway.load.connections === clients && (await wrong()) === 0)
  }
  const storm = async (): Promise<void> => {
    proxy.cut()
    countFault('all connections cut')
    await change()
    await eventually(() => viewers.some(({ client }) => client.state === 'live'))
    await change()
    await atRest()
  }

  await atRest()
  // Data from the first round is no leak.
  await storm()
  const before = await heapUsed()
  for (let n = 0; n < storms; n += 1) await storm()
  return { before, after: await heapUsed(), wrong: await wrong(), load: loadOf(gateway) }
}

const loadOf = ({ load: { connections, rooms, subscriptions, views } }: Awaited<ReturnType<typeof startGateway>>) => ({
  connections,
  rooms,
  subscriptions,
  views,
})
