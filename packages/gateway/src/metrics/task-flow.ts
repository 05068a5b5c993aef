import type { TaskDocument } from '@taskfleet/core'
import type { Change } from '@taskfleet/core/internal'
import { hasEnded } from '@taskfleet/protocol'

export interface FlowListener {
  enqueued(task: TaskDocument): void
  /** @param count how many claims it has had since its last change */
  claimed(task: TaskDocument, count: number): void
  ended(task: TaskDocument): void
}

const MOST_KNOWN = 50_000

/**
 * The steps of tasks, from the change feed. Each step is reported once, although a change may show a later state than its own, and
 * several may show the same. Only recently changed tasks are remembered; for others, their dates show what is new.
 */
export class TaskFlow {
  readonly #since: number
  readonly #listener: FlowListener
  readonly #known = new Map<string, { rev: number; attempt: number; ended: boolean }>()
  readonly #most: number

  /** @param since the server's time from which on steps are reported */
  constructor(since: Date, listener: FlowListener, most = MOST_KNOWN) {
    this.#since = since.getTime()
    this.#listener = listener
    this.#most = most
  }

  change({ collection, id, doc }: Pick<Change, 'collection' | 'id' | 'doc'>): void {
    if (collection !== 'tasks') return
    const key = String(id)
    const before = this.#known.get(key)
    this.#known.delete(key)
    if (doc === null) return
    const task = doc as TaskDocument
    const old = before !== undefined && task.rev <= before.rev
    this.#known.set(
      key,
      old ? before : { rev: task.rev, attempt: task.attempt, ended: (before?.ended ?? false) || hasEnded(task.status) },
    )
    if (this.#known.size > this.#most) this.#known.delete(this.#known.keys().next().value!)
    if (!old) this.#tell(task, before)
  }

  #tell(task: TaskDocument, before: { attempt: number; ended: boolean } | undefined): void {
    if (before === undefined && this.#isNew(task.createdAt)) this.#listener.enqueued(task)
    // A task written by hand may lack any field.
    const entries = Array.isArray(task.attempts) ? task.attempts : []
    const claims =
      before === undefined
        ? entries.filter(({ claimedAt }) => this.#isNew(claimedAt)).length
        : task.attempt - before.attempt
    if (claims > 0) this.#listener.claimed(task, claims)
    if (hasEnded(task.status) && before?.ended !== true && this.#isNew(task.finishedAt)) this.#listener.ended(task)
  }

  #isNew(date: Date | undefined): boolean {
    return date instanceof Date && date.getTime() >= this.#since
  }
}
