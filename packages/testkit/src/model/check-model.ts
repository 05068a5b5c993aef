import { FleetDatabase, MongoTaskStore } from '@taskfleet/core/internal'
import { MemoryDatabase } from '@taskfleet/core/memory'
import fc from 'fast-check'
import { Types } from 'mongoose'
import { freesUniqueValues } from '../frees-unique-values.ts'
import { mapDeep } from '../map-deep.ts'
import { loseWorker, openTestSession } from '../test-session.ts'
import { command, FIRST, type Seen, TOUR } from './commands.ts'
import { Coverage } from './coverage.ts'
import { MINUTE, type Tampering, type World } from './operations.ts'

export interface ModelCheck {
  /** The server; each lane has a database of its own there. In memory without it. */
  uri?: string
  runs: number
  /** The most commands of a run. */
  length: number
  /** How many runs there are at a time; the reaper of one must not see the tasks of another. */
  lanes: number
  seed: number
  /** Also runs every verb once, for too few random runs to reach all. */
  tour?: boolean
}

/** To look for the shortest failing run may take hours on a slow server. The shortest one until then is reported. */
const SHRINKING_MS = 180_000

/**
 * Runs random commands against the store and a model of the lifecycle, and compares after each.
 *
 * @throws {Error} with the shortest failing run, and the seed to repeat it
 */
export async function checkModel({
  runs,
  length,
  lanes,
  seed,
  tour = false,
  ...server
}: ModelCheck): Promise<Coverage> {
  const coverage = new Coverage()
  const shares = Array.from({ length: lanes }, (_, lane) => Math.floor((runs + lane) / lanes))
  const checks = shares.map((share, lane) =>
    checkLane({ ...server, runs: share, length, seed: seed + lane, tour: tour && lane === 0 }, coverage),
  )
  // Each lane cleans up after itself, also when another one has failed.
  const failed = (await Promise.allSettled(checks)).find(({ status }) => status === 'rejected')
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
  return coverage
}

/** A database of its own on a server, or in memory. */
async function openDatabase(uri: string | undefined) {
  if (uri === undefined) return { database: new MemoryDatabase(), freesKeys: true, close: async () => undefined }
  const own = new URL(uri)
  own.pathname = `/model_${new Types.ObjectId().toHexString()}`
  const database = await FleetDatabase.connect({ uri: own.href, timeoutMs: 10_000 })
  const close = async (): Promise<void> => {
    await database.db.dropDatabase()
    await database.close()
  }
  try {
    await database.ensureIndexes()
    return { database, freesKeys: await freesUniqueValues(database.db), close }
  } catch (error) {
    await close()
    throw error
  }
}

async function checkLane(lane: Omit<ModelCheck, 'lanes'>, coverage: Coverage): Promise<void> {
  const { uri, runs, length, seed, tour } = lane
  const { database, freesKeys, close } = await openDatabase(uri)
  try {
    await openTestSession(database)
    const store = new MongoTaskStore(database.connection, database.clock)
    const shared = { store, tampering: tamperingWith(database), freesKeys }
    const begin = async (): Promise<{ model: World; real: Seen }> => {
      const run = new Types.ObjectId().toHexString()
      const model: World = {
        ...shared,
        queue: `q-${run}`,
        key: `key-${run}`,
        tasks: [],
        claimed: new Map(),
        note: (verb, from, to) => coverage.moved(verb, from, to),
      }
      const real: Seen = { documents: new Map(), coverage }
      coverage.runs += 1
      for (const first of FIRST) await first().run(model, real)
      return { model, real }
    }
    if (tour) {
      const { model, real } = await begin()
      for (const next of TOUR) await next().run(model, real)
    }
    const property = fc.asyncProperty(fc.commands([command], { maxCommands: length, size: 'max' }), (commands) =>
      fc.asyncModelRun(begin, commands),
    )
    const limit = { interruptAfterTimeLimit: SHRINKING_MS, markInterruptAsFailure: true }
    await fc.assert(property, { numRuns: runs, seed, unbiased: true, ...limit })
  } finally {
    await close()
  }
}

function tamperingWith(database: Pick<FleetDatabase, 'db'>): Tampering {
  const tasks = database.db.collection('tasks')
  return {
    moveBack: async (id, ms) => {
      const task = await tasks.findOne({ _id: id })
      if (task !== null)
        await tasks.updateOne({ _id: id }, [
          {
            $replaceWith: {
              $literal: mapDeep(task, (part) => (part instanceof Date ? new Date(part.getTime() - ms) : part)),
            },
          },
        ])
    },
    loseWorker: (id) => loseWorker(database, id),
    holdLost: async (ids) => {
      const lost = { _id: { $in: [...ids] }, lost: { $gte: 2 }, status: { $ne: 'running' } }
      const soon = { runAt: { $lt: new Date(Date.now() + MINUTE / 2) } }
      await tasks.updateMany({ ...lost, ...soon }, { $set: { runAt: new Date(Date.now() + MINUTE) } })
    },
    corrupt: async (id) => {
      await tasks.updateOne({ _id: id }, { $set: { priority: 'high' } })
    },
  }
}
