import { FleetError } from '@taskfleet/protocol'
import type { mongo } from 'mongoose'
import type { Logger } from 'pino'
import { asError } from '../thrown.ts'
import { WAITING_STATUSES } from './lifecycle.ts'
import type { NewTask } from './new-task.ts'
import type { TaskDocument } from './task-document.ts'

/** How many tasks may wait in a queue of which nothing else is said. */
export const DEFAULT_MAX_WAITING = 1_000_000
/** What was counted is good for so long. */
const COUNTED_FOR_MS = 1_000
/** What counting may cost at most, as a part of the time. */
const COUNT_SHARE = 1 / 20
const MAX_COUNT_MS = 2_000
/** Above this, the queues that were counted longest ago are forgotten. */
const MOST_QUEUES = 1_000

/** What is known of a queue. */
interface Known {
  most: number
  /** How many waited when they were counted, up to one more than `most`. */
  waiting: number
  /** What this process has let in since, or was about to store while they were counted. */
  added: number
  /** `performance.now()` from when on they are counted anew. */
  until: number
}

type Fresh = (tasks: readonly NewTask[]) => Promise<readonly NewTask[]>

/**
 * How many tasks may wait in a queue: a limit against floods. Waiting tasks are counted up to the limit, along an index, at
 * most once a second by each process that stores some; what this process has stored since is added. So it is exact for one
 * process, and several at once may go beyond it by what the others store within a second.
 */
export class QueueDepth {
  readonly #tasks: mongo.Collection<TaskDocument>
  readonly #queues: mongo.Collection<{ _id: string; maxWaiting?: number }>
  readonly #log: Logger | undefined
  readonly #known = new Map<string, Known>()
  readonly #counting = new Map<string, Promise<void>>()
  /** What is let in and not yet stored, by request and queue. */
  readonly #entering = new Map<object, ReadonlyMap<string, number>>()

  constructor(db: mongo.Db, { log }: { log?: Logger | undefined } = {}) {
    this.#tasks = db.collection('tasks')
    this.#queues = db.collection('queues')
    this.#log = log
  }

  /**
   * Lets tasks in, all or none. Returns what is to be called when they are stored, or won't be.
   *
   * @param request stands for the request: one that is tried again, such as a transaction, counts once
   * @param fresh those of the tasks that would come on top of what is there; asked only where a queue is full
   * @throws {FleetError} `QUEUE_FULL`
   */
  async admit(tasks: readonly NewTask[], request: object, fresh: Fresh): Promise<() => void> {
    this.#leave(request)
    let full = await this.#enter(request, perQueue(tasks))
    if (full !== null) full = await this.#enter(request, perQueue(await fresh(tasks)))
    if (full === null) return () => this.#leave(request)
    const message = `The queue '${full.queue}' takes no more: ${full.most} tasks may wait in it. Try again later, or raise its limit`
    throw new FleetError('QUEUE_FULL', message, { field: 'queue' })
  }

  /** Lets in as many of each queue, or none where one has no room for them; that one is returned. */
  async #enter(
    request: object,
    entering: ReadonlyMap<string, number>,
  ): Promise<{ queue: string; most: number } | null> {
    for (const [queue, count] of entering) {
      const known = this.#known.get(queue)
      if (known !== undefined && known.until > performance.now()) continue
      const counting = this.#count(queue)
      // Nobody waits for it who comes to a queue that was far from full.
      if (known === undefined || !hasRoom(known, count + known.most / 2)) await counting
    }
    // What was let in here may have been claimed since.
    for (const [queue, count] of entering) {
      const known = this.#known.get(queue)
      if (known !== undefined && known.added > 0 && !hasRoom(known, count)) await this.#count(queue)
    }
    // No waiting from here on: nobody comes in between.
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

  /** Those who ask at the same time share one count. */
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

  /** Where it can't be counted nothing is refused: what protects the fleet must not stop it. */
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
      this.#log?.warn({ err: asError(error), queue }, 'what waits in a queue could not be counted; nothing is refused')
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
