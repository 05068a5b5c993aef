import type { Connection, mongo } from 'mongoose'
import type { ServerClock } from '../database/server-clock.ts'
import { DocumentGate } from '../documents/gate.ts'
import { amount, fromNow, millis, NOW } from '../task/server-time.ts'
import { type WorkerDocument, workerModel } from './worker-model.ts'

const FORGOTTEN_AFTER_MS = 24 * 3_600_000

/** Silent for so many heartbeats means gone. */
const BEATS_MISSED = 3

const SILENT = {
  $lte: [
    { $add: [millis('$heartbeatAt', 0), { $multiply: [amount('$heartbeatMs'), BEATS_MISSED] }] },
    { $toLong: NOW },
  ],
}

export type WorkerReport = Omit<
  WorkerDocument,
  '_id' | 'control' | 'startedAt' | 'heartbeatAt' | 'stoppedAt' | 'expireAt' | 'rev'
>

/** Where workers say that they live. The answer to each heartbeat also sets this process's idea of the server's time. */
export class WorkerRegister {
  readonly #workers: mongo.Collection<WorkerDocument>
  readonly #clock: ServerClock
  readonly #gate: DocumentGate

  constructor(
    connection: Connection,
    clock: ServerClock,
    gate = new DocumentGate(connection.getClient().db(connection.name)),
  ) {
    this.#gate = gate
    this.#workers = workerModel(connection).collection as unknown as mongo.Collection<WorkerDocument>
    this.#clock = clock
  }

  /** Writes what there is to say about a worker, and returns what was asked of it. */
  async beat(id: string, report: WorkerReport): Promise<WorkerDocument['control']> {
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
            rev: { $add: [amount('$rev'), 1] },
          },
        },
      ],
      { upsert: true, returnDocument: 'after', projection: { heartbeatAt: 1, control: 1 } },
    )
    if (written !== null) this.#clock.observe(written.heartbeatAt, sentAt, performance.now())
    return written?.control
  }

  async list(): Promise<WorkerDocument[]> {
    return this.#gate.all('workers', await this.#workers.find().sort({ name: 1, startedAt: -1 }).toArray())
  }

  /** Those that have said lately that they live. */
  async live(): Promise<WorkerDocument[]> {
    const now = this.#clock.now().getTime()
    const workers = await this.#workers
      .find({ state: { $in: ['running', 'draining'] } })
      .sort({ name: 1 })
      .toArray()
    return this.#gate
      .all('workers', workers)
      .filter((worker) => now - worker.heartbeatAt.getTime() < this.silentMs(worker))
  }

  /** For how long a worker may be silent before it counts as gone, in milliseconds. */
  silentMs({ heartbeatMs }: Pick<WorkerDocument, 'heartbeatMs'>): number {
    return BEATS_MISSED * heartbeatMs
  }

  /** Whether what is told of a worker may be relied on. */
  isReadable(worker: WorkerDocument): boolean {
    return this.#gate.lets('workers', worker)
  }

  /** Says of a worker that it has been silent too long, if that is so by the server's clock. */
  async markLost(id: string): Promise<boolean> {
    const marked = await this.#workers.findOneAndUpdate(
      { _id: id, state: { $in: ['running', 'draining'] } },
      [
        {
          $set: {
            state: { $cond: [SILENT, 'lost', '$state'] },
            rev: { $add: [amount('$rev'), { $cond: [SILENT, 1, 0] }] },
          },
        },
      ],
      { returnDocument: 'after', projection: { state: 1 } },
    )
    return marked?.state === 'lost'
  }

  /** Asks a worker to take nothing new, or to take tasks again; it hears of it by its change feed. Null when it is gone. */
  async ask(id: string, action: 'drain' | 'resume', by: string): Promise<WorkerDocument | null> {
    return this.#workers.findOneAndUpdate(
      { _id: id, state: { $in: ['running', 'draining'] } },
      [{ $set: { control: { action, by: { $literal: by }, at: NOW }, rev: { $add: [amount('$rev'), 1] } } }],
      { returnDocument: 'after' },
    )
  }

  async find(id: string): Promise<WorkerDocument | null> {
    return this.#gate.one('workers', await this.#workers.findOne({ _id: id }))
  }
}
