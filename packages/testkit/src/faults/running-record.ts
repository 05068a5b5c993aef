import type { TaskDocument } from '@taskfleet/core'
import type { ChangeStream, ChangeStreamDocument, Db } from 'mongodb'

type Known = Pick<TaskDocument, 'status' | 'rev' | 'slot' | 'worker'>

/**
 * What runs at each moment by the database's own account: a change stream tells every write in the order in which it was made,
 * and what each of them made of its task.
 */
export class RunningRecord {
  readonly #stream: ChangeStream<TaskDocument>
  readonly #tasks = new Map<string, Known>()
  readonly #following: Promise<void>
  #closed = false
  readonly faults: string[] = []
  /** The most that ran at once. */
  most = 0

  private constructor(stream: ChangeStream<TaskDocument>) {
    this.#stream = stream
    this.#following = this.#follow()
  }

  /** Resolves when it hears of all that is written from then on. */
  static async open(db: Db): Promise<RunningRecord> {
    const stream = db.collection<TaskDocument>('tasks').watch([], { maxAwaitTimeMS: 200 })
    // `watch()` sends nothing by itself.
    if ((await stream.tryNext()) !== null) throw new Error('the record is opened before anything is written')
    return new RunningRecord(stream)
  }

  /** How many run at workers of which this is true. */
  runningAt(counts: (worker: string) => boolean): number {
    return this.#running().filter(({ worker }) => worker !== undefined && counts(worker)).length
  }

  /** The status of each task, by what was told of it. */
  statuses(): Record<string, string> {
    return Object.fromEntries([...this.#tasks].map(([id, { status }]) => [id, status]))
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#stream.close()
    await this.#following
  }

  #running(): Known[] {
    return [...this.#tasks.values()].filter(({ status }) => status === 'running')
  }

  async #follow(): Promise<void> {
    try {
      for await (const event of this.#stream) this.#hear(event)
    } catch (error) {
      if (!this.#closed) this.faults.push(`the stream ended: ${String(error)}`)
    }
  }

  #hear(event: ChangeStreamDocument<TaskDocument>): void {
    if (!('documentKey' in event)) {
      this.faults.push(`unexpected: ${event.operationType}`)
      return
    }
    const id = String(event.documentKey._id)
    const before = this.#tasks.get(id)
    const after = changed(before, event)
    if (after === undefined) return
    if (before !== undefined && after.rev < before.rev) this.faults.push(`${id}: rev ${before.rev} → ${after.rev}`)
    if (before !== undefined && after.rev === before.rev && after.status !== before.status)
      this.faults.push(`${id}: ${before.status} → ${after.status} without a revision`)
    this.#tasks.set(id, after)
    if (after.status !== 'running' && after.slot !== undefined) this.faults.push(`${id} is ${after.status} with a slot`)
    const running = this.#running()
    this.most = Math.max(this.most, running.length)
    const slots = running.flatMap(({ slot }) => slot ?? [])
    if (new Set(slots).size < slots.length) this.faults.push(`a slot is held twice: ${JSON.stringify(slots)}`)
  }
}

/** A task after a write; undefined when it was removed. Whole where the event has all of it, else what it says was changed. */
function changed(before: Known | undefined, event: ChangeStreamDocument<TaskDocument>): Known | undefined {
  switch (event.operationType) {
    case 'insert':
    case 'replace':
      return event.fullDocument
    case 'update': {
      const { updatedFields = {}, removedFields = [] } = event.updateDescription
      const after: Record<string, unknown> = { ...before, ...updatedFields }
      for (const field of removedFields) delete after[field]
      return after as unknown as Known
    }
    default:
      return undefined
  }
}
