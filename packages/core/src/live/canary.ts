import { randomUUID } from 'node:crypto'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import type { FleetDatabase } from '../database/fleet-database.ts'
import { asError } from '../thrown.ts'
import { UnderWay } from '../under-way.ts'
import { CANARIES } from './feed-events.ts'

/** A test write that must come back through the change stream, because a stream can fall silent without an error. */
export class Canary {
  readonly #database: FleetDatabase
  readonly #log: Logger | undefined
  readonly #id = `feed:${randomUUID()}`
  readonly #writes = new UnderWay(() => undefined)
  /** When the current write was sent, by `performance.now()`; undefined while none is on its way. */
  #sentAt: number | undefined
  #lagMs = 0
  #lastSentAt = Number.NEGATIVE_INFINITY

  constructor(database: FleetDatabase, log: Logger | undefined) {
    this.#database = database
    this.#log = log
  }

  /** How long the last write took to come back, in milliseconds. It grows while a write is on its way. */
  get lagMs(): number {
    return this.#sentAt === undefined ? this.#lagMs : Math.max(this.#lagMs, performance.now() - this.#sentAt)
  }

  /** How long ago the latest write was sent, in milliseconds. */
  get ageMs(): number {
    return performance.now() - this.#lastSentAt
  }

  send(): Promise<void> {
    this.#lastSentAt = performance.now()
    this.#sentAt ??= performance.now()
    const writing = this.#collection.updateOne({ _id: this.#id }, [{ $set: { at: '$$NOW' } }], { upsert: true }).then(
      () => undefined,
      (error: unknown) => this.#log?.debug({ err: asError(error) }, 'canary not written'),
    )
    this.#writes.add(writing)
    return writing
  }

  cameBack(id: string): void {
    if (id !== this.#id || this.#sentAt === undefined) return
    this.#lagMs = performance.now() - this.#sentAt
    this.#sentAt = undefined
  }

  /** Waits for the current write first: a late write would create the document again after its removal. */
  async remove(): Promise<void> {
    await this.#writes.settled()
    await this.#collection.deleteOne({ _id: this.#id }).catch(() => undefined)
  }

  get #collection(): mongo.Collection<{ _id: string; at?: Date }> {
    return this.#database.db.collection(CANARIES)
  }
}
