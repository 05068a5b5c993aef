import { loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { defineTask, TaskRunner } from '@taskfleet/worker'
import { z } from 'zod'
import { type Bed, median } from './bed.ts'
import { drain, fillWithEnded } from './drain.bench.ts'
import { lists, noop, singles } from './enqueue.bench.ts'
import { AT_ONCE, type Peer } from './peer.ts'
import { startAgenda } from './peer-agenda.ts'
import { startBullMq } from './peer-bullmq.ts'

const ROUNDS = 5
/** The first is there for those that take too long for the others. */
const SIZES = [50, 2_000, 5_000]
const ENDED = 100_000
/** How many tasks a flow has. */
const FLOW = 500
const LATENCY_ROUNDS = 50
const LATENCY_PAUSE_MS = 50
/** A peer that looks for tasks every few seconds gets fewer rounds. */
const LATENCY_MOST_MS = 60_000
/** A peer whose round would take longer is left out. */
const MOST_SECONDS = 40

/**
 * How do drains, enqueuing, a steady flow and the time to the handler compare with BullMQ on Redis, and with Agenda on the same server as ours? On this machine, in turns.
 * BullMQ needs `redis-server` on the PATH.
 */
export async function run(bed: Bed): Promise<void> {
  const bull = await startBullMq(bed)
  if (bull === undefined) process.stdout.write('BullMQ is left out: there is no redis-server on the PATH\n')
  const others = [...(bull === undefined ? [] : [bull]), await startAgenda(bed)]
  const peers = [ours(bed), ...others]
  const figure = { enqueue: (peer: Peer) => peer.enqueue, lists: (peer: Peer) => peer.enqueueLists }
  await compare(peers, 'enqueue, 20 in flight', figure.enqueue)
  await compare(peers, 'enqueue in lists of 500', figure.lists)
  await compare(peers, 'steady flow', (peer) => () => flow(peer))
  for (const peer of peers) await latency(peer)
  for (const ended of [0, ENDED]) {
    const last = new Map<Peer, number>()
    for (const size of SIZES) {
      const tooSlow = others.filter((peer) => size / last.get(peer)! > MOST_SECONDS)
      for (const peer of tooSlow) {
        const minutes = (size / last.get(peer)! / 60).toFixed(0)
        process.stdout.write(
          `${peer.name} is left out of the next row: at its last rate a round takes ${minutes} minutes\n`,
        )
      }
      // What was drained before would count as ended.
      const drained = (peer: Peer) => async (): Promise<number> => {
        await peer.fill(ended)
        const rate = await peer.drain(size)
        last.set(peer, rate)
        return rate
      }
      const what = `drain of ${size}, ${ended === 0 ? 'nothing else' : `${ended} ended tasks`} stored`
      const measured = peers.filter((peer) => !tooSlow.includes(peer))
      await compare(measured, what, drained)
    }
  }
}

function ours(bed: Bed): Peer {
  const entries = (count: number): { input: Record<string, never>; queue: string }[] =>
    Array.from({ length: count }, () => ({ input: {}, queue: 'bench' }))
  return {
    name: 'taskfleet',
    drain: (size) => drain(bed, size),
    work: async (onRun) => {
      const queue = `work-${Date.now()}`
      const task = defineTask({ name: 'ran', input: z.object({}), run: onRun })
      const runner = new TaskRunner({ mongo: bed.uri, tasks: [task], queues: [queue], concurrency: AT_ONCE })
      await runner.start()
      return { enqueue: () => bed.fleet.enqueue(task, {}, { queue }), stop: () => runner.stop({ grace: 0 }) }
    },
    fill: (ended) => fillWithEnded(bed, ended),
    enqueue: () => singles(() => bed.fleet.enqueue(noop, {}, { queue: 'bench' })),
    enqueueLists: () => lists((count) => bed.fleet.enqueueMany(noop, entries(count))),
  }
}

/** Tasks a second from the first enqueue to the last run, while 20 callers store one after the other and a worker takes them. */
async function flow(peer: Peer): Promise<number> {
  let ran = 0
  let allRan = (): void => undefined
  const done = new Promise<void>((resolve) => {
    allRan = resolve
  })
  const work = await peer.work(() => {
    ran += 1
    if (ran === FLOW) allRan()
  })
  const startedAt = performance.now()
  let left = FLOW
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (; left > 0; ) {
        left -= 1
        await work.enqueue()
      }
    }),
  )
  await done
  const seconds = (performance.now() - startedAt) / 1_000
  await work.stop()
  return FLOW / seconds
}

/** Prints how long a task takes from the request to its handler, while nothing else happens. */
async function latency(peer: Peer): Promise<void> {
  let onRun = (): void => undefined
  const work = await peer.work(() => onRun())
  const took: number[] = []
  const until = performance.now() + LATENCY_MOST_MS
  while (took.length < LATENCY_ROUNDS && performance.now() < until) {
    const ran = new Promise<void>((resolve) => {
      onRun = resolve
    })
    const startedAt = performance.now()
    await work.enqueue()
    await ran
    took.push(performance.now() - startedAt)
    await sleep(LATENCY_PAUSE_MS)
  }
  await work.stop()
  const p95 = took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.95)]!
  process.stdout.write(
    `request to handler, ${peer.name}: p50 ${median(took).toFixed(1)} ms, p95 ${p95.toFixed(1)} ms of ${took.length}\n`,
  )
}

/** Prints the medians of all that have this figure, and the ratios of ours to them. */
async function compare(
  peers: readonly Peer[],
  what: string,
  figureOf: (peer: Peer) => (() => Promise<number>) | undefined,
): Promise<void> {
  const measured = peers.flatMap((peer) => {
    const figure = figureOf(peer)
    return figure === undefined ? [] : [{ name: peer.name, figure, rates: [] as number[] }]
  })
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { figure, rates } of measured) rates.push(await figure())
  }
  const [mine, ...others] = measured.map(({ name, rates }) => ({ name, rate: median(rates) }))
  const compared = others.map(
    ({ name, rate }) => `${name} ${rate.toFixed(rate < 10 ? 1 : 0)}, ratio ${(mine!.rate / rate).toFixed(2)}`,
  )
  process.stdout.write(
    `${what}: ${[`${mine!.rate.toFixed(0)} a second`, ...compared].join('; ')} (load average ${loadavg()[0]!.toFixed(1)})\n`,
  )
}
