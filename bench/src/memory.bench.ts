import { setTimeout as sleep } from 'node:timers/promises'
import type { BareVerbs } from './bare-child.ts'
import { type Bed, storeTasks } from './bed.ts'
import { type Child, startChild } from './children.ts'
import type { ClientVerbs } from './clients-child.ts'
import type { GatewayVerbs } from './gateway-child.ts'

const CONNECTIONS = 1_000
const WARM_UP = 100
const ROWS = 50
const QUERY = { filter: { queue: 'watched' }, limit: ROWS }

interface Held {
  heap: number
  rss: number
}

/** What does a connection, and an idle subscription to a shared query, take in a gateway's memory, beside bare socket.io? */
export async function run(bed: Bed): Promise<void> {
  const gateway = await startChild<GatewayVerbs>(bed, './gateway-child.ts')
  const bare = await startChild<BareVerbs>(bed, './bare-child.ts')
  const clients = await startChild<ClientVerbs>(bed, './clients-child.ts')
  const url = await gateway.ask('start', bed.uri)
  const bareUrl = await bare.ask('start', bed.uri, false)
  await storeTasks(bed.fleet, ROWS, { name: 'watched', queue: 'watched' })
  // What is made once, such as compiled code, must not count as any connection's.
  await clients.ask('connect', url, WARM_UP)
  await clients.ask('connectBare', bareUrl, WARM_UP)
  await clients.ask('subscribe', [QUERY])
  await clients.ask('disconnect')
  await sleep(1_000)

  const bareEmpty = await held(bare)
  await clients.ask('connectBare', bareUrl, CONNECTIONS)
  const bareFull = await held(bare)
  await clients.ask('disconnect')

  const empty = await held(gateway)
  await clients.ask('connect', url, CONNECTIONS)
  const connected = await held(gateway)
  await clients.ask('subscribe', [QUERY])
  const subscribed = await held(gateway)
  await clients.ask('disconnect')
  await sleep(1_000)
  const left = await held(gateway)
  process.stdout.write(
    [
      `bare socket.io, a connection                   ${each(bareEmpty, bareFull)}`,
      `gateway, a connection                          ${each(empty, connected)}; ${((connected.heap - empty.heap) / (bareFull.heap - bareEmpty.heap)).toFixed(2)} × the bare one's heap`,
      `gateway, an idle subscription, query shared    ${each(connected, subscribed)} (goal ≤ 2 KiB of heap; the view's ${ROWS} rows are in it once)`,
      `gateway, after all have left                   ${each(empty, left)} of each connection are still held`,
      '',
    ].join('\n'),
  )
}

async function held(child: Child<GatewayVerbs> | Child<BareVerbs>): Promise<Held> {
  await sleep(1_500)
  return (child as Child<GatewayVerbs>).ask('memory')
}

function each(before: Held, after: Held): string {
  const kib = (part: keyof Held): string => ((after[part] - before[part]) / CONNECTIONS / 1_024).toFixed(1)
  return `${kib('heap')} KiB heap, ${kib('rss')} KiB resident`
}
