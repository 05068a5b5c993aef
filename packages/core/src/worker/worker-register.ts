import type { mongo } from 'mongoose'
import { type DatabaseSource, majorityDb } from '../database/majority-db.ts'
import type { ServerClock } from '../database/server-clock.ts'
import { DocumentGate } from '../documents/gate.ts'
import { amount, NOW } from '../task/server-time.ts'
import { ALIVE, beatUpdate, endUpdate, isAlive, isSilent, sessionGuard } from './session.ts'
import type { WorkerDocument, WorkerReport } from './worker-model.ts'

/** The result of a renewal: the latest request to the worker. */
export type Beat = Pick<WorkerDocument, 'control'>

/** The register of workers: live ones renew their sessions here, and the sessions of dead ones are ended here. */
export class WorkerRegister {
  readonly #workers: mongo.Collection<WorkerDocument>
  readonly #clock: ServerClock
  readonly #gate: DocumentGate

  constructor(source: DatabaseSource, clock: ServerClock, gate = new DocumentGate(majorityDb(source))) {
    this.#gate = gate
    this.#workers = majorityDb(source).collection('workers')
    this.#clock = clock
  }

  /**
   * Opens or renews a session, with a report about its worker. The response also updates this process's estimate of the server's
   * time.
   *
   * @returns null when the session has ended; it can't be opened again
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
      // The session exists but is not alive: the guard didn't match, so the upsert tried to insert it.
      if ((error as { code?: number }).code === 11_000) return null
      throw error
    }
  }

  async list(): Promise<WorkerDocument[]> {
    return this.#gate.all('workers', await this.#workers.find().sort({ name: 1, startedAt: -1 }).toArray())
  }

  /** The workers whose sessions were renewed in time. */
  async live(): Promise<WorkerDocument[]> {
    const now = this.#clock.now()
    const workers = await this.#workers
      .find({ state: { $in: [...ALIVE] } })
      .sort({ name: 1 })
      .toArray()
    return this.#gate.all('workers', workers).filter((worker) => !isSilent(worker, now))
  }

  /** Ends a session that was not renewed in time by the server's clock. Null when it was renewed or had already ended. */
  async end(id: string): Promise<WorkerDocument | null> {
    const ended = await this.#workers.findOneAndUpdate(sessionGuard(id), endUpdate(), { returnDocument: 'after' })
    return ended !== null && !isAlive(ended) ? ended : null
  }

  /** Marks a session whose process goes on under a new session, so that it is no longer reported as lost. */
  async replaced(id: string): Promise<void> {
    await this.#workers.updateOne({ _id: id, state: 'dead' }, [
      { $set: { state: 'stopped', stoppedAt: NOW, rev: { $add: [amount('$rev'), 1] } } },
    ])
  }

  /** Whether the document of a worker is well-formed. */
  isReadable(worker: WorkerDocument): boolean {
    return this.#gate.lets('workers', worker)
  }

  /** Requests a worker to drain or to resume. It gets the request from its change feed. Null if it is gone. */
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
