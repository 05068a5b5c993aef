import type { mongo } from 'mongoose'
import { list } from './server-time.ts'

const KEPT = 50
/** Below this many, past durations say too little. */
const ENOUGH = 5
const CACHED_MS = 10_000

interface DurationsDocument {
  /** The task's name. */
  _id: string
  /** How long its latest completed attempts took, in milliseconds, the newest last. */
  recent: number[]
}

/** How long each kind of task has taken lately: how far ahead of its deadline one must start. */
export class Durations {
  readonly #collection: mongo.Collection<DurationsDocument>
  readonly #cache = new Map<string, { at: number; leadMs: number | undefined }>()

  constructor(db: mongo.Db) {
    this.#collection = db.collection('durations')
  }

  /** Adds what attempts took, several names in one write. */
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

  /** What 95 of 100 attempts of this name took at most, in milliseconds; undefined while too few are known. */
  async lead(name: string): Promise<number | undefined> {
    const cached = this.#cache.get(name)
    if (cached !== undefined && performance.now() - cached.at < CACHED_MS) return cached.leadMs
    const recent: unknown = (await this.#collection.findOne({ _id: name }))?.recent
    const leadMs = percentile95(Array.isArray(recent) ? recent.filter(Number.isFinite) : [])
    this.#cache.set(name, { at: performance.now(), leadMs })
    return leadMs
  }
}

/** By the nearest rank. */
function percentile95(values: readonly number[]): number | undefined {
  if (values.length < ENOUGH) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.ceil(sorted.length * 0.95) - 1]
}
