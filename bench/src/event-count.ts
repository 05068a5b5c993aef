import { BSON, type Collection, Timestamp } from 'mongodb'
import type { Bed } from './bed.ts'

export interface Counted {
  count: number
  bytes: number
  /** With the document that the server looks up for an update. */
  bytesWithDocument: number
}

/** Counts what a plain change stream on the database reports, and what is in the oplog where that can be read. */
export class EventCount {
  readonly #marks: Collection
  readonly #oplog: Collection<{ ts: Timestamp; ns: string }>
  #readUntil: Timestamp
  #counted = new Map<string, Counted>()
  #marked: () => void = () => undefined

  private constructor({ fleet }: Bed) {
    const { db, streams, clock } = fleet.database
    this.#marks = db.collection('marks')
    this.#oplog = streams.db('local').collection('oplog.rs')
    this.#readUntil = new Timestamp({ t: Math.floor(clock.now().getTime() / 1_000), i: 0 })
  }

  static async start(bed: Bed): Promise<EventCount> {
    const events = new EventCount(bed)
    const stream = bed.fleet.database.streamsDb.watch([], { fullDocument: 'updateLookup' })
    bed.defer(() => stream.close())
    await stream.tryNext()
    const follow = async (): Promise<void> => {
      for await (const event of stream) events.#take(event as unknown as Record<string, unknown>)
    }
    // Closing ends it.
    follow().catch(() => undefined)
    return events
  }

  #take(event: Record<string, unknown>): void {
    const { operationType, ns, fullDocument, ...rest } = event as Record<string, unknown> & { ns?: { coll?: string } }
    if (ns?.coll === 'marks') {
      this.#marked()
      return
    }
    const bare = operationType === 'update' ? { operationType, ns, ...rest } : event
    this.#count(`events ${String(operationType)} ${ns?.coll}`, bare, event)
  }

  #count(name: string, bare: object, whole = bare): void {
    const { count = 0, bytes = 0, bytesWithDocument = 0 } = this.#counted.get(name) ?? {}
    this.#counted.set(name, {
      count: count + 1,
      bytes: bytes + BSON.calculateObjectSize(bare),
      bytesWithDocument: bytesWithDocument + BSON.calculateObjectSize(whole),
    })
  }

  /** Not every user may read it. What a server writes as one entry of `admin.$cmd`, such as a transaction, is left out. */
  async #countOplog(): Promise<void> {
    const since = { ts: { $gt: this.#readUntil }, ns: { $regex: `^${this.#marks.dbName}\\.` } }
    const entries = await this.#oplog
      .find(since)
      .toArray()
      .catch(() => [])
    for (const entry of entries) {
      this.#readUntil = entry.ts
      if (!entry.ns.endsWith('.marks')) this.#count('oplog', entry)
    }
  }

  /** What was reported since the last time, up to now. */
  async take(): Promise<Map<string, Counted>> {
    const seen = new Promise<void>((resolve) => (this.#marked = resolve))
    await this.#marks.insertOne({})
    await seen
    await this.#countOplog()
    const counted = this.#counted
    this.#counted = new Map()
    return counted
  }
}
