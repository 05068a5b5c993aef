import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { asError } from '../thrown.ts'
import { WAITING_STATUSES } from './lifecycle.ts'
import type { NewTask } from './new-task.ts'
import type { TaskDocument } from './task-document.ts'

/** How many tasks may wait in a queue without a limit of its own. */
export const DEFAULT_MAX_WAITING = 1_000_000
/** How long a count stays valid. */
const COUNTED_FOR_MS = 1_000
/** The most that counting may take, as a share of the time. */
const COUNT_SHARE = 1 / 20
const MAX_COUNT_MS = 2_000
/** If there are more, the queues that were counted longest ago are dropped. */
const MOST_QUEUES = 1_000

/** What this process knows about a queue. */
interface Known {
  most: number
  /** How many tasks waited at the last count, up to one more than `most`. */
  waiting: number
  /** How many this process has admitted since the count, or was storing during it. */
  added: number
  /** The count is valid until `performance.now()` has this value. */
  until: number
}

type Fresh = (tasks: readonly NewTask[]) => Promise<readonly NewTask[]>

/**
 * Limits how many tasks may wait in a queue, against floods. Each process that stores tasks counts the waiting ones, along an
 * index, at most once a second and up to the limit. It adds what it has stored since. So the limit is exact for one process.
 * Several processes may exceed it by what the others store within a second.
 */
export class QueueDepth {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #queues: mongo.Collection<{ _id: string; maxWaiting?: number }>
  readonly #log: Logger | undefined
  readonly #known = new Map<string, Known>()
  readonly #counting = new Map<string, Promise<void>>()
  /** How many tasks are admitted and not yet stored, by request and queue. */
  readonly #entering = new Map<object, ReadonlyMap<string, number>>()

  constructor(db: mongo.Db, { log }: { log?: Logger | undefined } = {}) {
    this.#tasks = db.collection('tasks')
    this.#queues = db.collection('queues')
    this.#log = log
  }

  /**
   * Admits tasks, all or none. Returns a function to call when they are stored, or when that has failed.
   *
   * @param request identifies the request: if it is tried again, as in a transaction, it counts once
   * @param fresh returns the tasks that would add to the queue; called only if a queue is full
   * @throws {FleetError} `QUEUE_FULL`
   */
  async admit(tasks: readonly NewTask[], request: object, fresh: Fresh): Promise<() => void> {
    this.#leave(request)
    let full = await this.#enter(request, perQueue(tasks))
    if (full !== null) full = await this.#enter(request, perQueue(await fresh(tasks)))
    if (full === null) return () => this.#leave(request)
    const message = `The queue '${full.queue}' is full: ${full.most} tasks may wait in it. Try again later, or raise its limit`
    throw new FleetError('QUEUE_FULL', message, { field: 'queue' })
  }

  /** Admits these numbers of tasks, or none if a queue has no room. Then returns that queue. */
  async #enter(
    request: object,
    entering: ReadonlyMap<string, number>,
  ): Promise<{ queue: string; most: number } | null> {
    for (const [queue, count] of entering) {
      const known = this.#known.get(queue)
      if (known !== undefined && known.until > performance.now()) continue
      const counting = this.#count(queue)
      // A request doesn't wait for the count if its queue was far from full.
      if (known === undefined || !hasRoom(known, count + known.most / 2)) await counting
    }
    // Tasks that were admitted here may have been claimed since, so count again.
    for (const [queue, count] of entering) {
      const known = this.#known.get(queue)
      if (known !== undefined && known.added > 0 && !hasRoom(known, count)) await this.#count(queue)
    }
    // No `await` from here on, so no other request comes in between.
    for (const [queue, count] of entering) {
      const known = this.#known.get(queue)
      if (known !== undefined && !hasRoom(known, count)) return { queue, most: known.most }
    }
    for (const [queue, count] of entering) {
      const known = this.#known.get(queue)
      if (known !== undefined) known.added += count
    }
    this.#entering.set(request, entering)
    return null
  }

  #leave(request: object): void {
    this.#entering.delete(request)
  }

  /** Requests at the same time share one count. */
  async #count(queue: string): Promise<void> {
    const counting = this.#counting.get(queue) ?? this.#countNow(queue).finally(() => this.#counting.delete(queue))
    this.#counting.set(queue, counting)
    await counting
  }

  async #countNow(queue: string): Promise<void> {
    const startedAt = performance.now()
    const entering = [...this.#entering.values()].reduce((sum, counts) => sum + (counts.get(queue) ?? 0), 0)
    const before = this.#known.get(queue)
    const addedBefore = before?.added ?? 0
    const { most, waiting } = await this.#ask(queue, before)
    const now = performance.now()
    const addedMeanwhile = (this.#known.get(queue)?.added ?? 0) - addedBefore
    const known = {
      most,
      waiting,
      added: entering + Math.max(0, addedMeanwhile),
      until: now + Math.max(COUNTED_FOR_MS, (now - startedAt) / COUNT_SHARE),
    }
    this.#known.delete(queue)
    this.#known.set(queue, known)
    if (this.#known.size > MOST_QUEUES) this.#known.delete(this.#known.keys().next().value!)
  }

  /** If the count fails, everything is admitted: a protection of the fleet must not stop the fleet. */
  async #ask(queue: string, before: Known | undefined): Promise<Pick<Known, 'most' | 'waiting'>> {
    try {
      const said = await this.#queues.findOne({ _id: queue }, { projection: { maxWaiting: 1 } })
      const limit: unknown = said?.maxWaiting
      const most = typeof limit === 'number' && limit >= 0 ? limit : DEFAULT_MAX_WAITING
      let waiting = 0
      for (const status of WAITING_STATUSES) {
        if (waiting > most) break
        const filter = { status, queue } as mongo.Filter<TaskDocument>
        waiting += await this.#tasks.countDocuments(filter, { limit: most + 1 - waiting, maxTimeMS: MAX_COUNT_MS })
      }
      return { most, waiting }
    } catch (error) {
      this.#log?.warn(
        { err: asError(error), queue },
        'the waiting tasks of a queue could not be counted; its limit is not applied',
      )
      return { most: before?.most ?? DEFAULT_MAX_WAITING, waiting: 0 }
    }
  }
}

const hasRoom = ({ most, waiting, added }: Known, count: number): boolean => waiting + added + count <= most

function perQueue(tasks: readonly NewTask[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { queue } of tasks) counts.set(queue, (counts.get(queue) ?? 0) + 1)
  return counts
}
