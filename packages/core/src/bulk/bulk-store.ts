import { type BulkRow, COMMANDS, type CommandName, type TaskStatus } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { DocumentGate } from '../documents/gate.ts'
import { amount, type Expression, fromNow, hasCome, literals, NOW } from '../task/server-time.ts'
import type { ObjectId } from '../task/task-document.ts'

/** A task of an operation. */
export interface BulkTask {
  _id: ObjectId
  /** Before an operation that changes priorities; what an undo sets again. */
  priority?: number
}

/** A task as it was when its part began. When an interrupted part is repeated, a newer revision shows that the task was changed. */
export interface SeenTask extends BulkTask {
  rev: number
  status: TaskStatus
}

/** A bulk operation, as the collection `bulk` holds it. Only the gateway that holds it writes its counts. */
export interface BulkDocument
  extends Omit<BulkRow, '_id' | 'refusals' | 'startedAt' | 'endedAt' | 'undoUntil' | 'undoes' | 'undoneBy'> {
  startedAt: Date
  endedAt?: Date
  undoUntil?: Date
  undoes?: ObjectId
  undoneBy?: ObjectId
  _id: ObjectId
  refusals: { code: string; message: string; count: number; tasks: ObjectId[] }[]
  /** The principal that started it is a key, so that key's current permissions apply. */
  keyed: boolean
  parts: number
  /** The part that is under way, or next. */
  next: number
  /** The tasks of the part that is under way. */
  doing?: SeenTask[]
  /** The first tasks that it changed, for the audit log. */
  sample?: ObjectId[]
  /** The gateway that carries it out, new for each take-over, and until when others leave it alone. */
  holder?: string
  heldUntil?: Date
  expireAt: Date
}

/** A hundred of an operation's tasks. */
interface BulkPart {
  /** The operation and the part's number: `<id>:0`. */
  _id: string
  tasks: BulkTask[]
  /** The tasks that were changed, for an undo. */
  changed?: BulkTask[]
  expireAt: Date
}

/** An operation as it is started. */
export type NewBulk = Pick<
  BulkDocument,
  '_id' | 'command' | 'by' | 'keyed' | 'filter' | 'reason' | 'queues' | 'names' | 'priority' | 'position' | 'undoes'
>

/** The result of a part. */
export interface PartResult {
  changed: readonly BulkTask[]
  unchanged: number
  refused: readonly { task: ObjectId; code: string; message: string }[]
}

const PART_SIZE = 100
const DAY_MS = 86_400_000
const KEPT_MS = 30 * DAY_MS
/** The lists of tasks are kept for this time. Within it, an operation can be undone. */
const PARTS_KEPT_MS = 7 * DAY_MS
const REASONS = 20
const TASKS_NAMED = 20
const SAMPLE = 100
const MESSAGE_LENGTH = 300
const CORRUPT = { code: 'CORRUPT', message: 'The operation was changed by hand and can’t be read' }
const OPEN_STATES = ['running', 'stopping'] as const

/** Commands that can be undone, and how. */
export const UNDO: Partial<Record<CommandName, CommandName>> = {
  pause: 'resume',
  resume: 'pause',
  reprioritise: 'reprioritise',
}

/**
 * Bulk operations. The list of tasks is fixed at the start and stored in parts. A gateway holds an operation for some seconds at a time.
 * Each of its writes to the operation is guarded by `holder` and `next`, so one that was taken over can't write any more, and each part is
 * counted once.
 */
export class BulkStore {
  readonly #operations: mongo.Collection<BulkDocument>
  readonly #parts: mongo.Collection<BulkPart>
  readonly #gate: DocumentGate
  readonly #partSize: number
  readonly #listeners = new Set<() => void>()

  /** @param options.partSize how many tasks a part has: the most that are repeated after a gateway's death */
  constructor(db: mongo.Db, gate = new DocumentGate(db), { partSize = PART_SIZE }: { partSize?: number } = {}) {
    this.#partSize = partSize
    this.#gate = gate
    this.#operations = db.collection('bulk')
    this.#parts = db.collection('bulkParts')
  }

  /** Calls the listener after each operation that this process starts. Returns its undo. */
  onStarted(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Stores an operation. The tasks come first: without them it could not be carried out. */
  async start(bulk: NewBulk, tasks: readonly BulkTask[]): Promise<BulkDocument> {
    const { _id, ...asked } = bulk
    const expireAt = new Date(Date.now() + PARTS_KEPT_MS)
    const parts: BulkPart[] = []
    for (let at = 0; at < tasks.length; at += this.#partSize) {
      parts.push({ _id: partId(_id, parts.length), tasks: tasks.slice(at, at + this.#partSize), expireAt })
    }
    if (parts.length > 0) await this.#parts.insertMany(parts)
    const canBeUndone = UNDO[bulk.command] !== undefined && bulk.position === undefined
    const fields = {
      ...given(asked),
      ...{ state: 'running', matched: tasks.length, changed: 0, unchanged: 0, refused: 0, refusals: [] },
      ...{ parts: parts.length, next: 0, sample: [] },
    }
    // An upsert, because an insert can't use the server's time.
    const made = await this.#operations.findOneAndUpdate(
      { _id },
      [
        {
          $set: {
            ...literals(fields),
            startedAt: NOW,
            ...(canBeUndone ? { undoUntil: fromNow(PARTS_KEPT_MS) } : {}),
            expireAt: fromNow(KEPT_MS),
          },
        },
      ],
      { upsert: true, returnDocument: 'after' },
    )
    for (const listener of this.#listeners) listener()
    return made!
  }

  async find(_id: ObjectId): Promise<BulkDocument | null> {
    return this.#gate.one('bulk', await this.#operations.findOne({ _id }, { projection: { doing: 0 } }))
  }

  /** The newest first. */
  async list(limit: number): Promise<BulkDocument[]> {
    const shown = { doing: 0, sample: 0 } as const
    const found = await this.#operations.find({}, { projection: shown }).sort({ _id: -1 }).limit(limit).toArray()
    return this.#gate.all('bulk', found as BulkDocument[])
  }

  /** How many operations of a principal have not ended, up to `most`. */
  async openOf(by: string, most: number): Promise<number> {
    const open = { state: { $in: [...OPEN_STATES] }, by }
    return (
      await this.#operations
        .find(open, { projection: { _id: 1 } })
        .limit(most)
        .toArray()
    ).length
  }

  /** Requests to stop. Null if it has ended. */
  async stop(_id: ObjectId, by: string): Promise<BulkDocument | null> {
    const stopped = await this.#operations.findOneAndUpdate(
      { _id, state: 'running' },
      { $set: { state: 'stopping', stoppedBy: by } },
      { returnDocument: 'after' },
    )
    for (const listener of this.#listeners) listener()
    return stopped
  }

  /** Marks an ended operation as undone by another. False if it was undone already. */
  async markUndone(_id: ObjectId, undoneBy: ObjectId): Promise<boolean> {
    const marked = await this.#operations.updateOne({ _id, undoneBy: { $exists: false } }, { $set: { undoneBy } })
    return marked.matchedCount === 1
  }

  async unmarkUndone(_id: ObjectId, undoneBy: ObjectId): Promise<void> {
    await this.#operations.updateOne({ _id, undoneBy }, { $unset: { undoneBy: 1 } })
  }

  /**
   * The operations that have not ended and that nobody holds by this process's clock, the oldest first. Those with commands of later
   * versions are left to gateways that know them.
   */
  async free(now: Date, limit: number): Promise<ObjectId[]> {
    const free = {
      state: { $in: [...OPEN_STATES] },
      _id: { $type: 'objectId' as const },
      command: { $in: COMMANDS },
      $or: [{ heldUntil: { $exists: false } }, { heldUntil: { $lte: now } }],
    }
    const found = await this.#operations
      .find(free, { projection: { _id: 1 } })
      .sort({ _id: 1 })
      .limit(limit)
      .toArray()
    return found.map(({ _id }) => _id)
  }

  /** Takes an operation that nobody holds, by the server's clock. Null if another holds it, or if it has ended or is malformed. */
  async take(_id: ObjectId, holder: string, holdMs: number): Promise<BulkDocument | null> {
    const isFree: Expression = { $or: [{ $eq: [{ $type: '$heldUntil' }, 'missing'] }, hasCome('$heldUntil')] }
    const taken = await this.#operations.findOneAndUpdate(
      { _id, state: { $in: [...OPEN_STATES] } },
      [
        {
          $set: {
            holder: { $cond: [isFree, { $literal: holder }, '$holder'] },
            heldUntil: { $cond: [isFree, fromNow(holdMs), '$heldUntil'] },
          },
        },
      ],
      { returnDocument: 'after' },
    )
    if (taken?.holder !== holder) return null
    if (this.#gate.lets('bulk', taken)) return taken
    // Or it would be in the way of others at every look.
    await this.#operations.updateOne({ _id, holder }, [{ $set: { state: 'failed', endedAt: NOW, error: CORRUPT } }])
    return null
  }

  /** Lets others carry it out at once. */
  async release({ _id, holder }: BulkDocument): Promise<void> {
    await this.#operations.updateOne({ _id, holder: holder! }, { $unset: { holder: 1, heldUntil: 1 } })
  }

  /** Whether it is still held, and keeps others away for longer. */
  async keep({ _id, holder, next }: BulkDocument, holdMs: number): Promise<boolean> {
    const kept = await this.#operations.updateOne({ _id, holder: holder!, next }, [
      { $set: { heldUntil: fromNow(holdMs) } },
    ])
    return kept.matchedCount === 1
  }

  /** The tasks of a part; null if they have expired. */
  async part(_id: ObjectId, n: number): Promise<readonly BulkTask[] | null> {
    return (await this.#parts.findOne({ _id: partId(_id, n) }))?.tasks ?? null
  }

  /** The tasks that an operation has changed. */
  async changedBy({ _id, parts }: BulkDocument): Promise<BulkTask[]> {
    const ids = Array.from({ length: parts }, (_, n) => partId(_id, n))
    const found = await this.#parts.find({ _id: { $in: ids } }).toArray()
    return found.sort((a, b) => numberOf(a._id) - numberOf(b._id)).flatMap(({ changed }) => changed ?? [])
  }

  /** Begins a part. Null if another has taken the operation over. */
  begin(bulk: BulkDocument, doing: readonly SeenTask[], holdMs: number): Promise<BulkDocument | null> {
    return this.#hold(bulk, { doing: { $literal: doing } }, holdMs)
  }

  /** Ends a part, and counts it once. Null if another has taken the operation over. */
  async finish(bulk: BulkDocument, result: PartResult, holdMs: number): Promise<BulkDocument | null> {
    const changed = [...result.changed]
    if (changed.length > 0) {
      // Added to what is there: a gateway that was taken over in the middle may write its part of the list late.
      const all = { $setUnion: [{ $ifNull: ['$changed', []] }, { $literal: changed }] }
      await this.#parts.updateOne({ _id: partId(bulk._id, bulk.next) }, [{ $set: { changed: all } }])
    }
    const add = (field: string, more: number): Expression => ({ $add: [amount(`$${field}`), more] })
    return this.#hold(
      bulk,
      {
        next: bulk.next + 1,
        doing: '$$REMOVE',
        changed: add('changed', changed.length),
        unchanged: add('unchanged', result.unchanged),
        refused: add('refused', result.refused.length),
        refusals: { $literal: withRefusals(bulk.refusals, result.refused) },
        sample: { $literal: [...(bulk.sample ?? []), ...changed.map(({ _id }) => _id)].slice(0, SAMPLE) },
      },
      holdMs,
    )
  }

  /** Ends the operation. Null if another has taken it over. */
  end(
    bulk: BulkDocument,
    state: 'stopped' | 'completed' | 'failed',
    error?: { code: string; message: string },
  ): Promise<BulkDocument | null> {
    return this.#operations.findOneAndUpdate(
      { _id: bulk._id, holder: bulk.holder!, next: bulk.next },
      [
        {
          $set: {
            ...literals(given({ state, error })),
            endedAt: NOW,
            ...{ holder: '$$REMOVE', heldUntil: '$$REMOVE', doing: '$$REMOVE' },
          },
        },
      ],
      { returnDocument: 'after' },
    )
  }

  #hold(
    { _id, holder, next }: BulkDocument,
    set: Record<string, Expression>,
    holdMs: number,
  ): Promise<BulkDocument | null> {
    return this.#operations.findOneAndUpdate(
      { _id, holder: holder!, next },
      [{ $set: { ...set, heldUntil: fromNow(holdMs) } }],
      { returnDocument: 'after' },
    )
  }
}

const partId = (_id: ObjectId, n: number): string => `${_id.toHexString()}:${n}`
const numberOf = (id: string): number => Number(id.slice(id.indexOf(':') + 1))

/** Refusals by code and message, each with its first tasks. Reasons beyond the first ones are counted by the operation only. */
function withRefusals(before: BulkDocument['refusals'], refused: PartResult['refused']): BulkDocument['refusals'] {
  const groups = new Map(before.map((group) => [`${group.code}\n${group.message}`, { ...group }]))
  for (const { task, code, message: whole } of refused) {
    const message = whole.slice(0, MESSAGE_LENGTH)
    const key = `${code}\n${message}`
    const group = groups.get(key) ?? { code, message, count: 0, tasks: [] }
    if (!groups.has(key) && groups.size >= REASONS) continue
    const tasks = group.tasks.length < TASKS_NAMED ? [...group.tasks, task] : group.tasks
    groups.set(key, { ...group, count: group.count + 1, tasks })
  }
  return [...groups.values()]
}
