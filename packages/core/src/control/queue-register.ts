import type { mongo } from 'mongoose'
import type { QueueLimits, QueueRate } from '../protocol.ts'
import { NOW } from '../task/server-time.ts'
import { parseQueueLimits } from './queue-limits.ts'

/** A queue that somebody has said something about. */
export interface QueueDocument {
  /** The queue's name. */
  _id: string
  paused: boolean
  /** How many of its tasks run at once in the whole fleet at most. */
  concurrency?: number
  /** How many of its tasks start in any span of a time in the whole fleet at most. */
  rate?: QueueRate
  /** How many of its tasks may wait; `DEFAULT_MAX_WAITING` when nothing is said. */
  maxWaiting?: number
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

  /** What is null is taken away, what is not named stays. @throws {FleetError} as `parseQueueLimits` */
  async setLimits(queue: string, limits: QueueLimits, by: string): Promise<QueueDocument> {
    const parsed = parseQueueLimits(limits)
    const changed = await this.#queues.findOneAndUpdate(
      { _id: queue },
      [
        {
          $set: {
            paused: { $ifNull: ['$paused', false] },
            ...Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, value ?? '$$REMOVE'])),
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

  find(queue: string): Promise<QueueDocument | null> {
    return this.#queues.findOne({ _id: queue })
  }

  async list(): Promise<QueueDocument[]> {
    return this.#queues.find().sort({ _id: 1 }).toArray()
  }
}
