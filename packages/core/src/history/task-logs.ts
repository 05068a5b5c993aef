import type { LogLine, StoredLogLine } from '@taskfleet/protocol'
import { given } from '@taskfleet/protocol/internal'
import type { mongo } from 'mongoose'
import { againAfterElection } from '../database/unknown-outcome.ts'
import { DocumentGate } from '../documents/gate.ts'
import { fromNow, NOW } from '../task/server-time.ts'
import type { ObjectId } from '../task/task-document.ts'

/** Lines of one attempt that were written together. */
interface LogBatch {
  /** `TASK:LEASE:FROM`, so that two processes that store the same lines store them once. */
  _id: string
  task: ObjectId
  attempt: number
  /** Proof of the claim that wrote it. */
  lease: string
  /** The first line's number. */
  from: number
  lines: LogLine[]
}

/** The new log lines of an attempt. */
export interface NewLines {
  task: ObjectId
  attempt: number
  lease: string
  lines: readonly LogLine[]
}

const KEPT_MS = 90 * 86_400_000
const LOG_PAGE = 500

/** The most characters of a document: a thousand long lines don't fit in one, and an oversized one would fail the whole write. */
const BATCH_CHARACTERS = 1024 * 1024

/** Splits lines at the same places in each retry, because a batch is identified by its first line. */
function inBatches({ lines, ...attempt }: NewLines): NewLines[] {
  const batches: LogLine[][] = []
  let room = 0
  for (const line of lines) {
    room -= line.message.length
    if (room < 0 || batches.length === 0) {
      batches.push([])
      room = BATCH_CHARACTERS - line.message.length
    }
    batches.at(-1)!.push(line)
  }
  return batches.map((batch) => ({ ...attempt, lines: batch }))
}

/** Log lines of tasks, stored in batches: one write for all attempts of a process. */
export class TaskLogs {
  readonly #batches: mongo.Collection<LogBatch>
  readonly #gate: DocumentGate

  constructor(db: mongo.Db, gate = new DocumentGate(db)) {
    this.#gate = gate
    this.#batches = db.collection('taskLogs')
  }

  /** Repeating it after an unknown outcome does no harm, because a batch is identified by its first line. */
  async append(news: readonly NewLines[]): Promise<void> {
    const batches = news.flatMap(inBatches)
    if (batches.length === 0) return
    const operations = batches.map(({ task, attempt, lease, lines }) => ({
      updateOne: {
        filter: { _id: `${task.toHexString()}:${lease}:${lines[0]!.seq}` },
        update: [
          {
            $set: {
              task,
              attempt,
              lease: { $literal: lease },
              from: lines[0]!.seq,
              lines: { $literal: lines },
              at: NOW,
              expireAt: fromNow(KEPT_MS),
            },
          },
        ],
        upsert: true,
      },
    }))
    await this.#batches.bulkWrite(operations as never, { ordered: false })
  }

  /** The newest lines before a position, the oldest of them first; at most `limit`. */
  async read(
    task: ObjectId,
    {
      attempt,
      before,
      limit = LOG_PAGE,
    }: { attempt?: number; before?: { attempt: number; seq: number }; limit?: number },
  ): Promise<StoredLogLine[]> {
    const earlier =
      before === undefined
        ? {}
        : { $or: [{ attempt: { $lt: before.attempt } }, { attempt: before.attempt, from: { $lt: before.seq } }] }
    const batches = this.#batches.find({ task, ...given({ attempt }), ...earlier }).sort({ attempt: -1, from: -1 })
    const found: StoredLogLine[] = []
    for await (const batch of batches) {
      if (!this.#gate.lets('taskLogs', batch)) continue
      const lines = batch.lines.filter(
        ({ seq }) => before === undefined || batch.attempt < before.attempt || seq < before.seq,
      )
      found.push(...lines.reverse().map((line) => ({ ...line, attempt: batch.attempt })))
      if (found.length >= limit) break
    }
    return found.slice(0, limit).reverse()
  }

  /** Removes the lines of removed tasks. */
  async remove(tasks: readonly ObjectId[]): Promise<void> {
    await againAfterElection(() => this.#batches.deleteMany({ task: { $in: [...tasks] } }))
  }
}
