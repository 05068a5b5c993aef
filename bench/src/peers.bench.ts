import { loadavg } from 'node:os'
import { type Bed, median } from './bed.ts'
import { drain, fillWithEnded } from './drain.bench.ts'
import { lists, noop, singles } from './enqueue.bench.ts'
import type { Peer } from './peer.ts'
import { startAgenda } from './peer-agenda.ts'
import { startBullMq } from './peer-bullmq.ts'

const ROUNDS = 5
/** The first is there for those that take too long for the others. */
const SIZES = [50, 2_000, 5_000]
const ENDED = 100_000
/** A peer whose round would take longer is left out. */
const MOST_SECONDS = 40

/**
 * How do drains and enqueuing compare with BullMQ on Redis, and with Agenda on the same server as ours? On this machine, in turns.
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
    fill: (ended) => fillWithEnded(bed, ended),
    enqueue: () => singles(() => bed.fleet.enqueue(noop, {}, { queue: 'bench' })),
    enqueueLists: () => lists((count) => bed.fleet.enqueueMany(noop, entries(count))),
  }
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
