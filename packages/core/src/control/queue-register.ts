import type { mongo } from 'mongoose'
import { FleetError } from '../errors.ts'
import { NOW } from '../task/server-time.ts'

/** A queue that somebody has said something about. */
export interface QueueDocument {
  /** The queue's name. */
  _id: string
  paused: boolean
  /** How many of its tasks run at once in the whole fleet at most. */
  concurrency?: number
  by?: string
  reason?: string
  updatedAt: Date
  rev: number
}

/** What is said of queues as a whole. Workers hear of it by the change feed and ask when they start. */
export class QueueRegister {
  readonly #queues: mongo.Collection<QueueDocument>

  constructor(db: mongo.Db) {
    this.#queues = db.collection('queues')
  }

  async setPaused(queue: string, paused: boolean, by: string, reason?: string): Promise<QueueDocument> {
    const queues = await this.#queues.findOneAndUpdate(
      { _id: queue },
      [
        {
          $set: {
            paused,
            by: { $literal: by },
            reason: reason === undefined ? '$$REMOVE' : { $literal: reason },
            updatedAt: NOW,
            rev: { $add: [{ $ifNull: ['$rev', 0] }, 1] },
          },
        },
      ],
      { upsert: true, returnDocument: 'after' },
    )
    return queues!
  }

  /**
   * @param concurrency how many of its tasks run at once in the whole fleet at most; null for no limit
   * @throws {FleetError} `OUT_OF_RANGE`
   */
  async setConcurrency(queue: string, concurrency: number | null, by: string): Promise<QueueDocument> {
    if (concurrency !== null && !(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 10_000)) {
      throw new FleetError('OUT_OF_RANGE', "'concurrency' is a whole number from 1 to 10000", { field: 'concurrency' })
    }
    const changed = await this.#queues.findOneAndUpdate(
      { _id: queue },
      [
        {
          $set: {
            paused: { $ifNull: ['$paused', false] },
            concurrency: concurrency ?? '$$REMOVE',
            by: { $literal: by },
            updatedAt: NOW,
            rev: { $add: [{ $ifNull: ['$rev', 0] }, 1] },
          },
        },
      ],
      { upsert: true, returnDocument: 'after' },
    )
    return changed!
  }

  async paused(): Promise<string[]> {
    return (await this.#queues.find({ paused: true }).toArray()).map(({ _id }) => _id)
  }

  find(queue: string): Promise<QueueDocument | null> {
    return this.#queues.findOne({ _id: queue })
  }

  async list(): Promise<QueueDocument[]> {
    return this.#queues.find().sort({ _id: 1 }).toArray()
  }
}
