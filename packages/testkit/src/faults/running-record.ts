import type { TaskDocument } from '@taskfleet/core'
import type { mongo } from 'mongoose'
import { TaskStream } from '../history/task-stream.ts'

/** The running tasks at each moment by the change stream, and the checks that must always hold. */
export class RunningRecord {
  readonly #faults: string[] = []
  #stream!: TaskStream
  /** The most that ran at once. */
  most = 0

  /** Resolves when it gets every write from then on. */
  static async open(db: mongo.Db): Promise<RunningRecord> {
    const record = new RunningRecord()
    record.#stream = await TaskStream.open(db, (id, before, now) => record.#check(id, before, now))
    return record
  }

  get faults(): string[] {
    return [...this.#stream.faults, ...this.#faults]
  }

  /** How many tasks run at workers for which this is true. */
  runningAt(counts: (worker: string) => boolean): number {
    return this.#running().filter(({ worker }) => worker !== undefined && counts(worker)).length
  }

  /** The status of each task. */
  statuses(): Record<string, string> {
    return Object.fromEntries([...this.#stream.tasks].map(([id, { status }]) => [id, status]))
  }

  close(): Promise<void> {
    return this.#stream.close()
  }

  #running(): TaskDocument[] {
    return [...this.#stream.tasks.values()].filter(({ status }) => status === 'running')
  }

  #check(id: string, before: TaskDocument | undefined, now: TaskDocument | null): void {
    if (now === null) return
    if (before !== undefined && now.rev < before.rev) this.#faults.push(`${id}: rev ${before.rev} → ${now.rev}`)
    if (before !== undefined && now.rev === before.rev && now.status !== before.status)
      this.#faults.push(`${id}: ${before.status} → ${now.status} without a revision`)
    if (now.status !== 'running' && now.slot !== undefined) this.#faults.push(`${id} is ${now.status} with a slot`)
    const running = this.#running()
    this.most = Math.max(this.most, running.length)
    const slots = running.flatMap(({ slot }) => slot ?? [])
    if (new Set(slots).size < slots.length) this.#faults.push(`a slot is held twice: ${JSON.stringify(slots)}`)
  }
}
