import type { AuditEntry } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import { mongo } from 'mongoose'
import { fitsOnServer } from '../documents/shape.ts'
import { SHAPES } from '../documents/shapes.ts'
import { toWire } from '../live/wire.ts'
import { fromNow, literals, NOW } from '../task/server-time.ts'
import type { ObjectId } from '../task/task-document.ts'

const KEPT_MS = 365 * 86_400_000
const TASKS_NAMED = 100
const FILTER_LIMIT = 2_000

/** Something that somebody did, without its time, which is the server's. */
export interface Deed {
  /** The key's id, or `local`. */
  by: string
  action: string
  tasks?: readonly ObjectId[]
  matched?: number
  changed?: number
  target?: string
  filter?: unknown
  reason?: string | undefined
  /** The code with which it was refused. */
  refused?: string
}

/** An entry's place in the log: there may be several of one moment. */
export interface AuditPlace {
  at: Date
  _id: ObjectId
}

/** Who did what: one entry per command, kept for a year. */
export class AuditLog {
  readonly #entries: mongo.Collection

  constructor(db: mongo.Db) {
    this.#entries = db.collection('audit')
  }

  async record({ tasks = [], matched = tasks.length, changed = matched, filter, ...deed }: Deed): Promise<void> {
    const entry = {
      ...deed,
      tasks: tasks.slice(0, TASKS_NAMED),
      matched,
      changed,
      ...(filter === undefined ? {} : { filter: JSON.stringify(toWire(filter)).slice(0, FILTER_LIMIT) }),
    }
    // An insert can't take the server's time.
    await this.#entries.updateOne(
      { _id: new mongo.ObjectId() },
      [{ $set: { ...literals(entry), at: NOW, expireAt: fromNow(KEPT_MS) } }],
      { upsert: true },
    )
  }

  /** The newest first; those after a place when that is given. */
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
      // A place in the log is a date and an id, and a page that is not full is the last.
      $expr: fitsOnServer(SHAPES.audit),
      ...given({ tasks: task }),
      ...(after === undefined ? {} : { $or: [{ at: { $lt: after.at } }, { at: after.at, _id: { $lt: after._id } }] }),
    }
    const entries = await this.#entries
      .find(filter, { projection: { expireAt: 0 } })
      .sort({ at: -1, _id: -1 })
      .limit(limit)
      .toArray()
    return entries.map((entry) => toWire(entry) as AuditEntry)
  }
}
