import { setTimeout as sleep } from 'node:timers/promises'
import type { Fleet } from '@taskfleet/core'
import { parseNewTask } from '@taskfleet/core/internal'
import type { BareVerbs } from './bare-child.ts'
import { type Bed, median } from './bed.ts'
import { startChild } from './children.ts'
import type { ClientVerbs } from './clients-child.ts'
import { hostNow } from './clock.ts'
import type { GatewayVerbs } from './gateway-child.ts'

const CLIENTS = 100
const ROUNDS = 3
const EVENTS = 10_000
const PER_WRITE = 1_000

/** Each client gets the mark that is written last. */
const KINDS = {
  'the same query': { queue: 'same', queries: [{ filter: { queue: 'same' }, limit: CLIENTS * 2 }], marks: 1 },
  'a query each': {
    queue: 'each',
    queries: Array.from({ length: CLIENTS }, (_, n) => ({ filter: { queue: 'each', 'input.customer': `c${n}` } })),
    marks: CLIENTS,
  },
}

/** How many change events a second does one gateway carry to 100 clients, beside a bare change stream that only counts? */
export async function run(bed: Bed): Promise<void> {
  const bare = await startChild<BareVerbs>(bed, './bare-child.ts')
  const clients = await startChild<ClientVerbs>(bed, './clients-child.ts')
  const gateway = await startChild<GatewayVerbs>(bed, './gateway-child.ts')
  await bare.ask('start', bed.uri, false)
  const url = await gateway.ask('start', bed.uri)
  const floor: number[] = []
  for (const [kind, { queue, queries, marks }] of Object.entries(KINDS)) {
    await bed.fleet.store.enqueue(
      Array.from({ length: CLIENTS }, (_, n) => parseNewTask({ name: 'fan-out', queue, input: { customer: `c${n}` } })),
    )
    await clients.ask('disconnect')
    await clients.ask('connect', url, CLIENTS)
    await clients.ask('subscribe', queries)
    const ours: number[] = []
    const messages: number[] = []
    const cpu: number[] = []
    for (let round = 0; round < ROUNDS; round += 1) {
      // Both are paused during the writes, so that the speed of the writer does not limit them.
      const { seen: counted } = await bare.ask('progress')
      bare.pause()
      gateway.pause()
      await write(bed.fleet, queue, marks)
      const floorFrom = hostNow()
      bare.resume()
      const floorSeen = await until(
        () => bare.ask('progress'),
        ({ seen }) => seen >= counted + EVENTS + marks,
      )
      floor.push(rate(floorSeen.lastSeenAt - floorFrom))
      const before = await clients.ask('progress')
      gateway.resume()
      const from = hostNow()
      const cpuBefore = await gateway.ask('cpuMs')
      const after = await until(
        () => clients.ask('progress'),
        ({ added }) => added >= before.added + CLIENTS,
      )
      ours.push(rate(after.lastSeenAt - from))
      messages.push((after.messages - before.messages) / CLIENTS)
      cpu.push(((await gateway.ask('cpuMs')) - cpuBefore) / EVENTS)
    }
    process.stdout.write(
      `${CLIENTS} clients, ${kind}: ${median(ours).toFixed(0)} changes a second in ${median(messages).toFixed(0)} messages to each client, ${(median(cpu) * 1_000).toFixed(0)} µs of the gateway's processor a change; a bare change stream ${median(floor).toFixed(0)}; ${(median(ours) / median(floor)).toFixed(2)} ×\n`,
    )
  }
}

const rate = (ms: number): number => EVENTS / (ms / 1_000)

/** Updates tasks until there are `EVENTS` change events, then stores new tasks as marks of the end. */
async function write(fleet: Fleet, queue: string, marks: number): Promise<void> {
  const ids = (await fleet.tasks.find({ queue, name: 'fan-out' }).toArray()).map(({ _id }) => _id)
  for (let n = 0; n < EVENTS; n += PER_WRITE) {
    await fleet.tasks.bulkWrite(
      Array.from({ length: PER_WRITE }, (_, m) => ({
        updateOne: {
          filter: { _id: ids[m % ids.length]! },
          update: { $inc: { rev: 1 }, $set: { status: (n + m) % 2 === 0 ? 'running' : 'pending' } },
        },
      })),
    )
  }
  await fleet.store.enqueue(
    Array.from({ length: marks }, (_, n) => parseNewTask({ name: 'mark', queue, input: { customer: `c${n}` } })),
  )
}

async function until<T>(look: () => Promise<T>, isThere: (seen: T) => boolean): Promise<T> {
  for (const late = performance.now() + 20_000; performance.now() < late; await sleep(50)) {
    const seen = await look()
    if (isThere(seen)) return seen
  }
  throw new Error('the last changes did not come')
}
