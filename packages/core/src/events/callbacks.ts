import { FleetError } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { Signing } from '../auth/signing.ts'
import { confirmed } from '../database/unknown-outcome.ts'
import { DocumentGate } from '../documents/gate.ts'
import { readBounded } from '../live/bounded-read.ts'
import { literals, NOW } from '../task/server-time.ts'
import type { ObjectId } from '../task/task-document.ts'
import type { CallbackDocument } from './event-document.ts'
import { parseCallback } from './parse-event.ts'

/** The callbacks: which task runs when an event arrives. Changing or removing one doesn't affect tasks that are already queued. */
export class Callbacks {
  readonly #callbacks: mongo.Collection<CallbackDocument>
  readonly #gate: DocumentGate
  readonly #signing: Signing

  constructor(db: mongo.Db, gate = new DocumentGate(db), signing = new Signing()) {
    this.#gate = gate
    this.#signing = signing
    this.#callbacks = db.collection('callbacks')
  }

  /** Repeating it with the same id and content does no harm. @throws {FleetError} as `parseCallback`; `CALLBACK_EXISTS` */
  async create(request: unknown): Promise<CallbackDocument> {
    const { _id, ...callback } = parseCallback(request)
    const signature = this.#signing.field('callback', { _id, ...callback })
    const storing = () =>
      this.#callbacks.findOneAndUpdate(
        { _id },
        [
          {
            $replaceWith: {
              $cond: [
                { $isNumber: '$rev' },
                '$$ROOT',
                { _id, ...literals({ ...callback, ...signature }), createdAt: NOW, updatedAt: NOW, rev: 1 },
              ],
            },
          },
        ],
        { upsert: true, returnDocument: 'after' },
      )
    const stored = await confirmed(storing, [_id.toHexString()])
    if (stored === null || stored.event !== callback.event || stored.task !== callback.task) {
      throw new FleetError(
        'CALLBACK_EXISTS',
        `The callback ${_id.toHexString()} already exists with different content`,
        {
          field: '_id',
        },
      )
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
      [
        {
          $set: { ...literals(this.#signed(before, { _id, ...callback })), updatedAt: NOW, rev: { $add: ['$rev', 1] } },
        },
      ],
      { returnDocument: 'after' },
    )
    if (after === null)
      throw new FleetError('REV_CONFLICT', 'The callback was changed in the meantime; read it again', { field: 'rev' })
    return after
  }

  #signed(before: CallbackDocument, { _id, ...callback }: ReturnType<typeof parseCallback>): object {
    return {
      ...callback,
      ...given({ signature: this.#signing.signAgain('callback', before, { _id, ...callback }) }),
    }
  }

  /** @throws {FleetError} `NOT_FOUND` */
  async find(id: ObjectId): Promise<CallbackDocument> {
    const callback = await this.#callbacks.findOne({ _id: id })
    if (callback === null) throw noSuchCallback()
    return this.#gate.required('callbacks', callback)
  }

  /** The usable callbacks of an event. An invalid callback must not keep the event from the others. */
  async of(event: string, session?: mongo.ClientSession): Promise<CallbackDocument[]> {
    const found = await this.#callbacks
      .find({ event }, session === undefined ? {} : { session })
      .sort({ _id: 1 })
      .toArray()
    return this.#gate.all('callbacks', found).filter((callback) => this.#canRun(callback))
  }

  async list({ event, limit = 1_000 }: { event?: string; limit?: number } = {}): Promise<CallbackDocument[]> {
    const found = this.#callbacks
      .find(event === undefined ? {} : { event })
      .sort({ _id: 1 })
      .limit(limit)
    return this.#gate.all('callbacks', (await readBounded(found, limit)).docs)
  }

  /** Whether the content is valid: a document with the right types may still have invalid values. */
  #canRun(callback: CallbackDocument): boolean {
    const { _id, event, task, version, defaults } = callback
    const refused = this.#signing.refusal('callback', callback)
    try {
      if (refused !== undefined) throw refused
      parseCallback({ _id, event, task, version, defaults })
      return true
    } catch (error) {
      if (!(error instanceof FleetError)) throw error
      this.#gate.setAside.note('callbacks', { ...callback }, 'skipped', error.message)
      return false
    }
  }

  /** @returns whether it existed */
  async remove(id: ObjectId): Promise<boolean> {
    return (await this.#callbacks.deleteOne({ _id: id })).deletedCount === 1
  }
}

export const noSuchCallback = (): FleetError =>
  new FleetError('NOT_FOUND', 'There is no such callback', { field: 'id' })
