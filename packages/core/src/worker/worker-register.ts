import type { Connection, mongo } from 'mongoose'
import { majorityDb } from '../database/majority-db.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { DocumentGate } from '../documents/gate.ts'
import { amount, NOW } from '../task/server-time.ts'
import { ALIVE, beatUpdate, endUpdate, isAlive, sessionGuard, silenceMs } from './session.ts'
import type { WorkerDocument, WorkerReport } from './worker-model.ts'

/** What a worker reads with each renewal: what was asked of it. */
export type Beat = Pick<WorkerDocument, 'control'>

/** Where workers report that they live, and where the sessions of those that don't are ended. */
export class WorkerRegister {
  readonly #workers: mongo.Collection<WorkerDocument>
  readonly #clock: ServerClock
  readonly #gate: DocumentGate

  constructor(connection: Connection, clock: ServerClock, gate = new DocumentGate(majorityDb(connection))) {
    this.#gate = gate
    this.#workers = majorityDb(connection).collection('workers')
    this.#clock = clock
  }

  /**
   * Opens a session or renews it, with what there is to report about its worker. The answer also sets this process's idea of
   * the server's time.
   *
   * @returns null when the session has ended: nothing brings it back
   */
  async beat(id: string, report: WorkerReport): Promise<Beat | null> {
    const sentAt = performance.now()
    try {
      const written = await this.#workers.findOneAndUpdate(sessionGuard(id), beatUpdate(report), {
        upsert: true,
        returnDocument: 'after',
        projection: { heartbeatAt: 1, control: 1 },
      })
      if (written === null) return null
      this.#clock.observe(written.heartbeatAt, sentAt, performance.now())
      return written
    } catch (error) {
      // The session is there, and not alive: the guard made this an insert.
      if ((error as { code?: number }).code === 11_000) return null
      throw error
    }
  }

  async list(): Promise<WorkerDocument[]> {
    return this.#gate.all('workers', await this.#workers.find().sort({ name: 1, startedAt: -1 }).toArray())
  }

  /** Those that have said lately that they live. */
  async live(): Promise<WorkerDocument[]> {
    const now = this.#clock.now().getTime()
    const workers = await this.#workers
      .find({ state: { $in: [...ALIVE] } })
      .sort({ name: 1 })
      .toArray()
    return this.#gate.all('workers', workers).filter((worker) => now - worker.heartbeatAt.getTime() < silenceMs(worker))
  }

  /** Ends a session that was not renewed in time, if that is so by the server's clock. Null when it wasn't, or had ended. */
  async end(id: string): Promise<WorkerDocument | null> {
    const ended = await this.#workers.findOneAndUpdate(sessionGuard(id), endUpdate(), { returnDocument: 'after' })
    return ended !== null && !isAlive(ended) ? ended : null
  }

  /** The session of a process that goes on under another one: nobody needs to be worried by it any more. */
  async replaced(id: string): Promise<void> {
    await this.#workers.updateOne({ _id: id, state: 'dead' }, [
      { $set: { state: 'stopped', stoppedAt: NOW, rev: { $add: [amount('$rev'), 1] } } },
    ])
  }

  /** Whether the document of a worker fits. */
  isReadable(worker: WorkerDocument): boolean {
    return this.#gate.lets('workers', worker)
  }

  /** Asks a worker to take nothing new, or to take tasks again; it gets the request by its change feed. Null if it is gone. */
  async ask(id: string, action: 'drain' | 'resume', by: string): Promise<WorkerDocument | null> {
    return this.#workers.findOneAndUpdate(
      sessionGuard(id),
      [{ $set: { control: { action, by: { $literal: by }, at: NOW }, rev: { $add: [amount('$rev'), 1] } } }],
      { returnDocument: 'after' },
    )
  }

  async find(id: string): Promise<WorkerDocument | null> {
    return this.#gate.one('workers', await this.#workers.findOne({ _id: id }))
  }
}
