import type { Connection, mongo } from 'mongoose'
import type { ServerClock } from '../database/server-clock.ts'
import { fromNow, NOW } from '../task/server-time.ts'
import { type WorkerDocument, workerModel } from './worker-model.ts'

const FORGOTTEN_AFTER_MS = 24 * 3_600_000

export type WorkerReport = Omit<WorkerDocument, '_id' | 'startedAt' | 'heartbeatAt' | 'stoppedAt' | 'expireAt' | 'rev'>

/** Where workers say that they live. The answer to each heartbeat also sets this process's idea of the server's time. */
export class WorkerRegister {
  readonly #workers: mongo.Collection<WorkerDocument>
  readonly #clock: ServerClock

  constructor(connection: Connection, clock: ServerClock) {
    this.#workers = workerModel(connection).collection as unknown as mongo.Collection<WorkerDocument>
    this.#clock = clock
  }

  /** Writes what there is to say about a worker. */
  async beat(id: string, report: WorkerReport): Promise<void> {
    const { gate, url, ...always } = report
    const stopped = report.state === 'stopped'
    const sentAt = performance.now()
    const written = await this.#workers.findOneAndUpdate(
      { _id: id },
      [
        {
          $set: {
            ...Object.fromEntries(Object.entries(always).map(([field, value]) => [field, { $literal: value }])),
            url: url === undefined ? '$$REMOVE' : { $literal: url },
            gate: gate === undefined ? '$$REMOVE' : { $literal: gate },
            startedAt: { $ifNull: ['$startedAt', NOW] },
            heartbeatAt: NOW,
            stoppedAt: stopped ? NOW : '$$REMOVE',
            expireAt: fromNow(FORGOTTEN_AFTER_MS),
            rev: { $add: [{ $ifNull: ['$rev', 0] }, 1] },
          },
        },
      ],
      { upsert: true, returnDocument: 'after', projection: { heartbeatAt: 1 } },
    )
    if (written !== null) this.#clock.observe(written.heartbeatAt, sentAt, performance.now())
  }

  async list(): Promise<WorkerDocument[]> {
    return this.#workers.find().sort({ name: 1, startedAt: -1 }).toArray()
  }

  async find(id: string): Promise<WorkerDocument | null> {
    return this.#workers.findOne({ _id: id })
  }
}
