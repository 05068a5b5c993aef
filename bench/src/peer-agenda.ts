import { MongoBackend } from '@agendajs/mongo-backend'
import { Agenda } from 'agenda'
import { MongoClient } from 'mongodb'
import type { Bed } from './bed.ts'
import { storeEnded } from './ended-tasks.ts'
import { singles } from './enqueue.bench.ts'
import { AT_ONCE, type Peer } from './peer.ts'

/** The jobs that only fill its collection. */
const ENDED = { data: 'ended' }

/**
 * Agenda on the same server as ours, in a database of its own. It polls as often as by default (5 s) and locks as many jobs as there
 * are: with shorter intervals or a limit of locks a drain is slower. It begins when all are locked.
 */
export async function startAgenda(bed: Bed): Promise<Peer> {
  const address = new URL(bed.uri)
  address.pathname = `${address.pathname}_agenda`
  const client = await MongoClient.connect(address.href)
  bed.defer(() => client.close())
  const db = client.db()
  bed.defer(() => db.dropDatabase())
  const jobs = db.collection('agendaJobs')
  const agenda = async (onRun = (): void => undefined): Promise<Agenda> => {
    const made = new Agenda({ backend: new MongoBackend({ mongo: db as never }), maxConcurrency: AT_ONCE })
    await made.ready
    made.define('noop', async () => onRun(), { concurrency: AT_ONCE })
    return made
  }
  const producer = await agenda()
  const drain = async (size: number): Promise<number> => {
    let left = size
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        for (; left > 0; ) {
          left -= 1
          await producer.now('noop', {})
        }
      }),
    )
    const worker = await agenda()
    let done = 0
    const drained = new Promise<void>((resolve, reject) => {
      worker.on('error', reject)
      worker.on('success', () => {
        done += 1
        if (done === size) resolve()
      })
    })
    const startedAt = performance.now()
    await worker.start()
    await drained
    const seconds = (performance.now() - startedAt) / 1_000
    await worker.stop()
    return size / seconds
  }
  return {
    name: 'Agenda',
    drain,
    work: async (onRun) => {
      await jobs.deleteMany({})
      const worker = await agenda(onRun)
      await worker.start()
      return { enqueue: () => worker.now('noop', {}), stop: () => worker.stop() }
    },
    enqueue: async () => {
      await jobs.deleteMany({})
      return singles(() => producer.now('noop', {}))
    },
    fill: async (ended) => {
      const there = await jobs.countDocuments(ENDED)
      await jobs.deleteMany(there === ended ? { data: { $ne: ENDED.data } } : {})
      if (there === ended) return
      await drain(1)
      // A success is reported before it is stored.
      let stored = await jobs.findOne({ lastFinishedAt: { $ne: null } })
      while (stored === null) stored = await jobs.findOne({ lastFinishedAt: { $ne: null } })
      await jobs.deleteMany({})
      await storeEnded(jobs, { ...stored, ...ENDED }, ended)
    },
  }
}
