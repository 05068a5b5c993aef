import { FleetError, type Retention, type TaskStatus } from '@taskfleet/protocol'
import { durationWithin } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'

export type EndedStatus = Extract<TaskStatus, 'completed' | 'failed' | 'cancelled'>

const DAY_MS = 86_400_000
const DEFAULT_RETENTION: Retention = { completed: 30 * DAY_MS, failed: 90 * DAY_MS, cancelled: 30 * DAY_MS }
const READ_EVERY_MS = 30_000

/** The fleet's retention policy. It is stored in the database, so that every process applies the same. */
export class RetentionPolicy {
  readonly #settings: mongo.Collection<{ _id: string } & Partial<Retention>>
  #current: Retention = DEFAULT_RETENTION
  #readAt = Number.NEGATIVE_INFINITY

  constructor(db: mongo.Db) {
    this.#settings = db.collection('settings')
  }

  /** The policy as it was read at most 30 seconds ago. */
  async get(): Promise<Retention> {
    if (performance.now() - this.#readAt > READ_EVERY_MS) {
      this.#readAt = performance.now()
      const stored = await this.#settings.findOne({ _id: 'retention' })
      // A malformed part is replaced by its default.
      const good = Object.entries(stored ?? {}).filter(([field, ms]) => isPolicy(field, ms))
      this.#current = { ...DEFAULT_RETENTION, ...Object.fromEntries(good) }
    }
    return this.#current
  }

  /**
   * Applies to tasks that end from now on. Other processes apply it within 30 seconds.
   * @throws {FleetError} `OUT_OF_RANGE`
   */
  async set(changes: Partial<Retention>): Promise<Retention> {
    for (const [field, ms] of Object.entries(changes)) {
      if (!Object.hasOwn(DEFAULT_RETENTION, field)) {
        const known = Object.keys(DEFAULT_RETENTION).join(', ')
        throw new FleetError('OUT_OF_RANGE', `Retention has no field '${field}'; allowed are ${known}`, { field })
      }
      if (ms !== null) durationWithin(ms, field, { least: 1_000 })
    }
    await this.#settings.updateOne({ _id: 'retention' }, { $set: changes }, { upsert: true })
    this.#readAt = Number.NEGATIVE_INFINITY
    return this.get()
  }
}

const isPolicy = (field: string, ms: unknown): boolean =>
  Object.hasOwn(DEFAULT_RETENTION, field) && (ms === null || (Number.isFinite(ms) && (ms as number) >= 1_000))
