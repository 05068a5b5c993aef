import { setTimeout as sleep } from 'node:timers/promises'
import { Fleet, type TaskDocument } from '@taskfleet/core'
import type { BareVerbs } from './bare-child.ts'
import { type Bed, median, quantile, storeTasks } from './bed.ts'
import { type Child, startChild } from './children.ts'
import type { ClientVerbs } from './clients-child.ts'
import { hostNow } from './clock.ts'
import type { GatewayVerbs } from './gateway-child.ts'

const CLIENTS = [1, 100, 1_000]
const ROUNDS = 3
const WRITES = 15
/** Long enough for every client to have taken the last one. */
const PAUSE_MS = 120
/** Who has not seen it by then won't: a stream that is behind looks up a later revision. */
const SETTLED_MS = 6_000
const STEADY_A_SECOND = 100
const STEADY_SECONDS = 2
const TASKS = 100
const QUERY = { filter: { queue: 'watched' }, limit: TASKS }

type Ids = readonly TaskDocument['_id'][]

/** How long from an acknowledged status write to the delta in a client, beside a bare change stream and a bare broadcast? */
export async function run(bed: Bed): Promise<void> {
  const bareUri = bed.uri.replace('/bench_', '/bare_')
  const bareFleet = await Fleet.connect(bareUri)
  bed.defer(async () => {
    await bareFleet.database.db.dropDatabase()
    await bareFleet.close()
  })
  const gateway = await startChild<GatewayVerbs>(bed, './gateway-child.ts')
  const bare = await startChild<BareVerbs>(bed, './bare-child.ts')
  const clients = await startChild<ClientVerbs>(bed, './clients-child.ts')
  const url = await gateway.ask('start', bed.uri)
  const bareUrl = await bare.ask('start', bareUri)
  const watched = { name: 'watched', queue: 'watched' }
  const ids = (await storeTasks(bed.fleet, TASKS, watched)).map(({ _id }) => _id)
  const bareIds = (await storeTasks(bareFleet, TASKS, watched)).map(({ _id }) => _id)
  for (const count of CLIENTS) {
    await clients.ask('disconnect')
    await clients.ask('connect', url, count)
    await clients.ask('subscribe', [QUERY])
    await clients.ask('connectBare', bareUrl, count)
    const hops: number[] = []
    const sentHops: number[] = []
    const ours: number[] = []
    const sentOurs: number[] = []
    const theirs: number[] = []
    const broadcast: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      const bareWrites = await write(bareFleet, bareIds, WRITES, PAUSE_MS)
      const bareSeen = await settled(clients, bareWrites, count)
      const heard = new Map([...(await bare.ask('taken'))].map(([key, at]) => [key, [at]]))
      hops.push(...waits(bareWrites.acknowledged, heard, 1))
      sentHops.push(...waits(bareWrites.sent, heard, 1))
      theirs.push(...waits(bareWrites.acknowledged, bareSeen, count))
      broadcast.push(...waits(new Map([...heard].map(([key, [at]]) => [key, at!])), bareSeen, count))
      const writes = await write(bed.fleet, ids, WRITES, PAUSE_MS)
      const seen = await settled(clients, writes, count)
      ours.push(...waits(writes.acknowledged, seen, count))
      sentOurs.push(...waits(writes.sent, seen, count))
    }
    const every = 1_000 / STEADY_A_SECOND
    const bareSteady = await write(bareFleet, bareIds, STEADY_A_SECOND * STEADY_SECONDS, every)
    const theirSteady = waits(bareSteady.acknowledged, await settled(clients, bareSteady, count), count)
    await bare.ask('taken')
    const steady = await write(bed.fleet, ids, STEADY_A_SECOND * STEADY_SECONDS, every)
    const ourSteady = waits(steady.acknowledged, await settled(clients, steady, count), count)
    const ratio = (one: number[], other: number[]): string => (median(one) / median(other)).toFixed(2)
    process.stdout.write(
      [
        `${count} client${count > 1 ? 's' : ''}, from the acknowledgement of a write`,
        `  bare change stream, to its process            ${show(hops)}`,
        `  bare socket.io, from there to a client        ${show(broadcast)}`,
        `  both together                                 ${show(theirs)}`,
        `  taskfleet                                     ${show(ours)}; p50 ${ratio(ours, theirs)} × both together, ${ratio(ours, hops)} × the hop`,
        `  both together, ${STEADY_A_SECOND} writes a second           ${show(theirSteady)}`,
        `  taskfleet, ${STEADY_A_SECOND} writes a second               ${show(ourSteady)}`,
        `  from the sending of the write: the hop p50 ${median(sentHops).toFixed(1)} ms, taskfleet p50 ${median(sentOurs).toFixed(1)} ms, ${ratio(sentOurs, sentHops)} ×`,
        '',
      ].join('\n'),
    )
  }
}

interface Written {
  /** By id and revision. */
  sent: Map<string, number>
  acknowledged: Map<string, number>
}

/** Guarded updates as a worker makes them, one task after the other. */
async function write(fleet: Fleet, ids: Ids, count: number, everyMs: number): Promise<Written> {
  const sent = new Map<string, number>()
  const acknowledged = new Map<string, number>()
  const startedAt = performance.now()
  const revs = new Map(
    (await fleet.tasks.find({ _id: { $in: [...ids] } }).toArray()).map((task) => [task._id.toHexString(), task.rev]),
  )
  const under: Promise<void>[] = []
  for (let n = 0; n < count; n += 1) {
    const _id = ids[n % ids.length]!
    const id = _id.toHexString()
    const rev = revs.get(id)!
    revs.set(id, rev + 1)
    const status = rev % 2 === 0 ? 'pending' : 'running'
    sent.set(`${id}:${rev + 1}`, hostNow())
    const done = fleet.tasks
      .updateOne({ _id, rev }, [{ $set: { status, rev: rev + 1, updatedAt: '$$NOW' } }])
      .then(({ modifiedCount }) => {
        acknowledged.set(`${id}:${rev + 1}`, hostNow())
        if (modifiedCount !== 1) throw new Error('a guarded update did not match')
      })
    under.push(done)
    await sleep(Math.max(0, startedAt + (n + 1) * everyMs - performance.now()))
  }
  await Promise.all(under)
  return { sent, acknowledged }
}

/** What was seen when, once every client has seen the last write. */
async function settled(
  clients: Child<ClientVerbs>,
  { acknowledged }: Written,
  count: number,
): Promise<Map<string, number[]>> {
  const keys = [...acknowledged.keys()]
  for (const late = performance.now() + SETTLED_MS; performance.now() < late; await sleep(20)) {
    if ((await clients.ask('seen', keys)) === keys.length * count) break
  }
  return clients.ask('taken')
}

/**
 * From when it was written to when each client had it, or the next revision in its place. One that came before the
 * acknowledgement took no time.
 */
function waits(written: Map<string, number>, seen: Map<string, number[]>, clients: number): number[] {
  return [...written].flatMap(([key, at]) => {
    const [id, rev] = key.split(':')
    const times = seen.get(key) ?? seen.get(`${id}:${Number(rev) + 1}`) ?? []
    if (times.length !== clients) throw new Error(`${times.length} of ${clients} clients have seen ${key}`)
    return times.map((time) => Math.max(0, time - at))
  })
}

const show = (values: readonly number[]): string =>
  `p50 ${quantile(values, 0.5).toFixed(1)} ms, p99 ${quantile(values, 0.99).toFixed(1)} ms`
