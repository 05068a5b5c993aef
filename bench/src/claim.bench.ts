import { loadavg } from 'node:os'
import type { Claim } from '@taskfleet/core/internal'
import { type Bed, median, storeTasks } from './bed.ts'

const SIZES = [100, 1_000, 10_000, 100_000]
const PAGE = 5_000
const ROUNDS = 5
const CLAIMS = 20
/** As many as a worker reads. */
const READ = 500
const QUEUE = 'due'

interface Figures {
  /** Milliseconds of a read of the next tasks. */
  read: number
  /** Milliseconds of a claim of one of them. */
  claim: number
  /** Milliseconds of the least that a claim needs: one write by `_id` to a collection of as many documents. */
  bare: number
}

/** What does a claim cost with ever more tasks that are due, beside a bare write by `_id` among as many documents? */
export async function run(bed: Bed): Promise<void> {
  let stored = 0
  let first: Figures | undefined
  for (const size of SIZES) {
    for (; stored < size; stored += Math.min(PAGE, size - stored)) await storeMore(bed, Math.min(PAGE, size - stored))
    const rounds: Figures[] = []
    for (let round = 0; round < ROUNDS; round += 1) rounds.push(await claims(bed))
    // As many are due again.
    await storeMore(bed, ROUNDS * CLAIMS)
    const of = (part: keyof Figures): number => median(rounds.map((one) => one[part]))
    const figures: Figures = { read: of('read'), claim: of('claim'), bare: of('bare') }
    first ??= figures
    const show = (part: keyof Figures): string =>
      `${figures[part].toFixed(2)} ms (${(figures[part] / first![part]).toFixed(2)} × that of ${SIZES[0]})`
    process.stdout.write(
      `${size} due: a read of the next ${Math.min(size, READ)} ${show('read')}, a claim ${show('claim')}; floor, a bare write by _id ${show('bare')}; ${(figures.claim / figures.bare).toFixed(2)} × the floor; load average ${loadavg()[0]!.toFixed(1)}\n`,
    )
  }
}

async function storeMore({ fleet }: Bed, count: number): Promise<void> {
  await storeTasks(fleet, count, { name: 'noop', queue: QUEUE })
  const documents = Array.from({ length: count }, () => ({ status: 'pending' }))
  await fleet.database.db.collection('bare').insertMany(documents)
}

/** In turns, since other work on the machine comes and goes. */
async function claims({ fleet }: Bed): Promise<Figures> {
  const served = { queues: [QUEUE], tasks: new Map([['noop', { oldest: 1, newest: 1 }]]) }
  const readAt = performance.now()
  const { due } = await fleet.store.waiting(served, READ)
  const read = performance.now() - readAt
  const bare = fleet.database.db.collection('bare')
  const waiting = await bare.find({ status: 'pending' }).limit(CLAIMS).toArray()
  const took: { claim: number[]; bare: number[] } = { claim: [], bare: [] }
  for (const [n, { _id }] of due.slice(0, CLAIMS).entries()) {
    const claimedAt = performance.now()
    const claimed: Claim[] = await fleet.store.claim([_id], { worker: 'bench', host: 'bench' })
    took.claim.push(performance.now() - claimedAt)
    if (claimed.length !== 1) throw new Error('a due task was not claimed')
    const wroteAt = performance.now()
    await bare.findOneAndUpdate({ _id: waiting[n]!._id, status: 'pending' }, { $set: { status: 'running' } })
    took.bare.push(performance.now() - wroteAt)
  }
  return { read, claim: median(took.claim), bare: median(took.bare) }
}
