import type { mongo } from 'mongoose'
import { confirmed } from '../database/unknown-outcome.ts'
import { FleetError } from '../errors.ts'
import { NOW } from '../task/server-time.ts'
import type { ObjectId } from '../task/task-document.ts'
import type { CallbackDocument } from './event-document.ts'
import { parseCallback } from './parse-event.ts'

/** What is to run when an event arrives. Changing or removing one leaves what is queued already as it is. */
export class Callbacks {
  readonly #callbacks: mongo.Collection<CallbackDocument>

  constructor(db: mongo.Db) {
    this.#callbacks = db.collection('callbacks')
  }

  /** Repeating it with the same id and content is harmless. @throws {FleetError} as `parseCallback`; `CALLBACK_EXISTS` */
  async create(request: unknown): Promise<CallbackDocument> {
    const { _id, ...callback } = parseCallback(request)
    const storing = () =>
      this.#callbacks.findOneAndUpdate(
        { _id },
        [
          {
            $replaceWith: {
              $cond: [
                { $isNumber: '$rev' },
                '$$ROOT',
                { _id, ...literals(callback), createdAt: NOW, updatedAt: NOW, rev: 1 },
              ],
            },
          },
        ],
        { upsert: true, returnDocument: 'after' },
      )
    const stored = await confirmed(storing, [_id.toHexString()])
    if (stored === null || stored.event !== callback.event || stored.task !== callback.task) {
      throw new FleetError('CALLBACK_EXISTS', `The callback ${_id.toHexString()} exists with other content`, {
        field: '_id',
      })
    }
    return stored
  }

  /** @throws {FleetError} as `parseCallback`; `NOT_FOUND`; `REV_CONFLICT` */
  async edit(id: ObjectId, changes: Record<string, unknown>, rev?: number): Promise<CallbackDocument> {
    const before = await this.find(id)
    const { event, task, version, defaults } = before
    const { _id, ...callback } = parseCallback({ event, task, version, defaults, ...changes, _id: id })
    const after = await this.#callbacks.findOneAndUpdate(
      { _id, rev: rev ?? before.rev },
      [{ $set: { ...literals(callback), updatedAt: NOW, rev: { $add: ['$rev', 1] } } }],
      { returnDocument: 'after' },
    )
    if (after === null)
      throw new FleetError('REV_CONFLICT', 'It was changed meanwhile; read it again', { field: 'rev' })
    return after
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async find(id: ObjectId): Promise<CallbackDocument> {
    const callback = await this.#callbacks.findOne({ _id: id })
    if (callback === null) throw new FleetError('NOT_FOUND', 'There is no such callback', { field: 'id' })
    return callback
  }

  async of(event: string, session?: mongo.ClientSession): Promise<CallbackDocument[]> {
    return this.#callbacks
      .find({ event }, session === undefined ? {} : { session })
      .sort({ _id: 1 })
      .toArray()
  }

  async list({ event, limit = 1_000 }: { event?: string; limit?: number } = {}): Promise<CallbackDocument[]> {
    return this.#callbacks
      .find(event === undefined ? {} : { event })
      .sort({ _id: 1 })
      .limit(limit)
      .toArray()
  }

  /** @returns whether there was one */
  async remove(id: ObjectId): Promise<boolean> {
    return (await this.#callbacks.deleteOne({ _id: id })).deletedCount === 1
  }
}

const literals = (fields: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, { $literal: value }]))
