import type { QueueLimits, QueueRow } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import { DocumentGate } from '../documents/gate.ts'
import { mended } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import type { Stored } from '../documents/stored.ts'
import { amount, NOW } from '../task/server-time.ts'
import { parseQueueLimits } from './queue-limits.ts'

/** The settings of a queue. A queue without settings has no document. */
export interface QueueDocument extends Stored<QueueRow, 'updatedAt'> {}

/** The settings of queues. Workers read them when they start, and get changes from the change feed. */
export class QueueRegister {
  readonly #queues: mongo.Collection<QueueDocument>
  readonly #gate: DocumentGate

  constructor(db: mongo.Db, gate = new DocumentGate(db)) {
    this.#queues = db.collection('queues')
    this.#gate = gate
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
            rev: { $add: [amount('$rev'), 1] },
          },
        },
      ],
      { upsert: true, returnDocument: 'after' },
    )
    return queues!
  }

  /** `null` removes a limit; absent ones stay. @throws {FleetError} as `parseQueueLimits` */
  async setLimits(queue: string, limits: QueueLimits, by: string): Promise<QueueDocument> {
    const parsed = parseQueueLimits(limits)
    const changed = await this.#queues.findOneAndUpdate(
      { _id: queue },
      [
        {
          $set: {
            paused: { $eq: ['$paused', true] },
            ...Object.fromEntries(Object.entries(parsed).map(([name, value]) => [name, value ?? '$$REMOVE'])),
            by: { $literal: by },
            updatedAt: NOW,
            rev: { $add: [amount('$rev'), 1] },
          },
        },
      ],
      { upsert: true, returnDocument: 'after' },
    )
    return changed!
  }

  /** The well-formed fields of a queue's settings: a malformed limit counts as absent. */
  async find(queue: string): Promise<QueueDocument | null> {
    const found = await this.#queues.findOne({ _id: queue })
    return found === null ? null : this.readable(found)
  }

  async list(): Promise<QueueDocument[]> {
    const found = await this.#queues.find().sort({ _id: 1 }).toArray()
    return found.map((queue) => this.readable(queue)).filter((queue) => queue !== null)
  }

  /** A queue's settings without malformed fields; null if its name is malformed. */
  readable(queue: QueueDocument): QueueDocument | null {
    if (this.#gate.lets('queues', queue)) return queue
    return typeof queue._id === 'string' ? readableQueue(queue) : null
  }
}

function readableQueue(queue: QueueDocument): QueueDocument {
  const fit = mended(SHAPES.queues, { ...queue }) as Partial<QueueDocument> & Pick<QueueDocument, '_id'>
  return { paused: false, rev: 0, updatedAt: new Date(0), ...fit }
}
