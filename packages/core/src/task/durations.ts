import type { mongo } from 'mongoose'
import { list } from './server-time.ts'

const KEPT = 50
/** Fewer durations than this are not enough for an estimate. */
const ENOUGH = 5
const CACHED_MS = 10_000

interface DurationsDocument {
  /** The task's name. */
  _id: string
  /** How long its latest completed attempts took, in milliseconds, the newest last. */
  recent: number[]
}

/** The recent durations of tasks by name. They tell how long before its deadline a task must start. */
export class Durations {
  readonly #collection: mongo.Collection<DurationsDocument>
  readonly #cache = new Map<string, { at: number; leadMs: number | undefined }>()

  constructor(db: mongo.Db) {
    this.#collection = db.collection('durations')
  }

  /** Adds durations of attempts, for several names in one write. */
  async add(taken: ReadonlyMap<string, readonly number[]>): Promise<void> {
    if (taken.size === 0) return
    await this.#collection.bulkWrite(
      [...taken].map(([name, recent]) => ({
        updateOne: {
          filter: { _id: name },
          update: [
            { $set: { recent: { $slice: [{ $concatArrays: [list('$recent'), recent.map(Math.round)] }, -KEPT] } } },
          ],
          upsert: true,
        },
      })),
      { ordered: false },
    )
  }

  /** The 95th percentile of the durations of this name, in milliseconds; undefined while there are too few. */
  async lead(name: string): Promise<number | undefined> {
    const cached = this.#cache.get(name)
    if (cached !== undefined && performance.now() - cached.at < CACHED_MS) return cached.leadMs
    const recent: unknown = (await this.#collection.findOne({ _id: name }))?.recent
    const leadMs = percentile95(Array.isArray(recent) ? recent.filter(Number.isFinite) : [])
    this.#cache.set(name, { at: performance.now(), leadMs })
    return leadMs
  }
}

/** Uses the nearest-rank method. */
function percentile95(values: readonly number[]): number | undefined {
  if (values.length < ENOUGH) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.95) - 1]
}
