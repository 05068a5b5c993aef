import type { mongo } from 'mongoose'
import { NOW } from '../task/server-time.ts'

/** A queue that somebody has said something about. */
export interface QueueDocument {
  /** The queue's name. */
  _id: string
  paused: boolean
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
