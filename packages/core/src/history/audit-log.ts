import type { AuditEntry } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { driver } from '../database/driver.ts'
import { fitsOnServer } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { toWire } from '../live/wire.ts'
import { fromNow, literals, NOW } from '../task/server-time.ts'
import type { ObjectId } from '../task/task-document.ts'

const KEPT_MS = 365 * 86_400_000
const TASKS_NAMED = 100
const FILTER_LIMIT = 2_000

/** An action to record. The server sets its time. */
export interface Deed {
  /** By default a new one. With an id, the entry can be written again without harm. */
  _id?: ObjectId
  /** The key's id, or `local`. */
  by: string
  action: string
  tasks?: readonly ObjectId[]
  matched?: number
  changed?: number
  target?: string
  filter?: unknown
  reason?: string | undefined
  /** The error code if the action was refused. */
  refused?: string
}

/** An entry's position in the log: a date and an id, because several entries may have the same date. */
export interface AuditPlace {
  at: Date
  _id: ObjectId
}

/** Records who did what: one entry per command, kept for a year. */
export class AuditLog {
  readonly #entries: mongo.Collection

  constructor(db: mongo.Db) {
    this.#entries = db.collection('audit')
  }

  async record({
    _id = new driver.ObjectId(),
    tasks = [],
    matched = tasks.length,
    changed = matched,
    filter,
    ...deed
  }: Deed): Promise<void> {
    const entry = {
      ...deed,
      tasks: tasks.slice(0, TASKS_NAMED),
      matched,
      changed,
      ...(filter === undefined ? {} : { filter: JSON.stringify(toWire(filter)).slice(0, FILTER_LIMIT) }),
    }
    // An upsert, because an insert can't use the server's time.
    await this.#entries.updateOne({ _id }, [{ $set: { ...literals(entry), at: NOW, expireAt: fromNow(KEPT_MS) } }], {
      upsert: true,
    })
  }

  /** The newest first; if a position is given, the entries after it. */
  async list({
    task,
    after,
    limit = 100,
  }: {
    task?: ObjectId
    after?: AuditPlace
    limit?: number
  } = {}): Promise<AuditEntry[]> {
    const filter = {
      // The filter keeps malformed entries from shortening a page: a page that is not full is the last one.
      $expr: fitsOnServer(SHAPES.audit),
      ...given({ tasks: task }),
      ...(after === undefined
        ? {}
        : { at: { $lte: after.at }, $or: [{ at: { $lt: after.at } }, { _id: { $lt: after._id } }] }),
    }
    const entries = await this.#entries
      .find(filter, { projection: { expireAt: 0 } })
      .sort({ at: -1, _id: -1 })
      .limit(limit)
      .toArray()
    return entries.map((entry) => toWire(entry) as AuditEntry)
  }
}
