import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bed, median, serverCpuMs } from './bed.ts'
import { startChild } from './children.ts'
import { noop } from './enqueue.bench.ts'
import type { GatewayVerbs } from './gateway-child.ts'
import type { IdleWorkersVerbs } from './idle-workers-child.ts'

const COUNTS = [0, 5, 20, 50]
const TASKS = 2_000
const AT_ONCE = 20
const ROUNDS = 3
/** After a start, workers look at documents and indexes once. */
const SETTLE_MS = 10_000
const IDLE_MS = 5_000

/** What does one enqueue cost the server beside idle workers of another queue, with a gateway in the fleet, and with a stream for each worker? */
export async function run(bed: Bed): Promise<void> {
  const gateway = await startChild<GatewayVerbs>(bed, 'gateway-child.ts')
  await gateway.ask('start', bed.uri)
  let alone = Number.NaN
  for (const count of COUNTS) {
    for (const ownStream of count === 0 || count > 20 ? [false] : [false, true]) {
      const workers = await startChild<IdleWorkersVerbs>(bed, 'idle-workers-child.ts')
      await workers.ask('start', bed.uri, count, ownStream)
      await sleep(SETTLE_MS)
      const idleMs = await idleCpuMs(bed)
      const figures: { rate: number; cpuUs: number }[] = []
      for (let round = 0; round < ROUNDS; round += 1) figures.push(await enqueue(bed, idleMs))
      await workers.ask('stop')
      const cpuUs = median(figures.map((one) => one.cpuUs))
      if (count === 0) alone = cpuUs
      process.stdout.write(
        `${count} idle workers${ownStream ? ', each with a stream of its own' : ''}: ${cpuUs.toFixed(0)} µs of the server for an enqueue, ${(cpuUs / alone).toFixed(2)} × that with none, besides ${idleMs.toFixed(1)} ms a second when nothing happens; ${median(figures.map(({ rate }) => rate)).toFixed(0)} a second; load average ${loadavg()[0]!.toFixed(1)}\n`,
      )
    }
  }
}

/** What the server takes in a second of rest, in milliseconds. */
async function idleCpuMs({ serverPid }: Bed): Promise<number> {
  const before = serverCpuMs(serverPid)
  await sleep(IDLE_MS)
  return (serverCpuMs(serverPid) - before) / (IDLE_MS / 1_000)
}

/** @param idleMs what the server takes in a second besides */
async function enqueue({ fleet, serverPid }: Bed, idleMs: number): Promise<{ rate: number; cpuUs: number }> {
  const before = serverCpuMs(serverPid)
  const startedAt = performance.now()
  let left = TASKS
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (; left > 0; left -= 1) await fleet.enqueue(noop, {}, { queue: 'busy' })
    }),
  )
  const seconds = (performance.now() - startedAt) / 1_000
  const cpuMs = serverCpuMs(serverPid) - before - idleMs * seconds
  return { rate: TASKS / seconds, cpuUs: (cpuMs * 1_000) / TASKS }
}
