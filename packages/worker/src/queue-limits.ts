import type { TaskDocument } from '@taskfleet/core'
import type { QueueDocument } from '@taskfleet/core/internal'

/** After how long to try a place again that an unknown task has taken, in milliseconds. */
const UNKNOWN_MS = 2_000

export interface QueueLimitsOptions {
  /** How many of a queue run at once on this worker. */
  here: Readonly<Record<string, number>>
  /** Called when a task of a queue that was full may start. */
  onRoom: (queue: string) => void
}

/**
 * How many tasks of a queue may run at once: on this worker, and in the whole fleet. A fleet-wide limit has numbered
 * places. A claim takes one by writing its name on the task, and a unique index allows each name once. So the limit is exact, and a
 * place is free the moment its task leaves `running`, even if its worker has died. This class holds only hints about places.
 */
export class QueueLimits {
  readonly #options: QueueLimitsOptions
  readonly #fleet = new Map<string, number>()
  /** Taken places by name: the id of the task, or the time until which the place is not tried. */
  readonly #taken = new Map<string, string | number>()
  /** Tasks that were seen during a query, with the place of each. */
  #seenMeanwhile: Map<string, string | undefined> | undefined
  readonly #runningHere = new Map<string, number>()
  /** Queues whose tasks wait for room. */
  readonly #full = new Set<string>()

  constructor(options: QueueLimitsOptions) {
    this.#options = options
  }

  isLimited(queue: string): boolean {
    return this.#fleet.has(queue) || this.#options.here[queue] !== undefined
  }

  /** Whether a task of this queue was denied a place, and no place has become free since. */
  isFull(queue: string): boolean {
    return this.#full.has(queue)
  }

  /** Applies the settings of a queue; null when it has none. */
  setQueue(queue: string, settings: Pick<QueueDocument, 'concurrency'> | null): void {
    const limit = settings?.concurrency
    if (this.#fleet.get(queue) === limit) return
    if (limit === undefined) this.#fleet.delete(queue)
    else this.#fleet.set(queue, limit)
    this.#roomIn(queue)
  }

  /** Called with the latest state of a task: it may have taken, left or changed a place. */
  seen(id: string, task: Pick<TaskDocument, 'status' | 'slot' | 'queue'> | null): void {
    const slot = task?.status === 'running' ? task.slot : undefined
    this.#seenMeanwhile?.set(id, slot)
    if (slot !== undefined) this.#taken.set(slot, id)
    for (const [taken, holder] of this.#taken) {
      if (holder !== id || taken === slot) continue
      this.#taken.delete(taken)
      this.#roomIn(queueOf(taken))
    }
  }

  /** Replaces the hints by the answer of a query. Tasks that were seen during the query may be newer. */
  async load(ask: () => Promise<readonly Pick<TaskDocument, '_id' | 'slot'>[]>): Promise<void> {
    const meanwhile = new Map<string, string | undefined>()
    this.#seenMeanwhile = meanwhile
    const running = await ask().finally(() => {
      this.#seenMeanwhile = undefined
    })
    this.#taken.clear()
    for (const { _id, slot } of running) {
      if (slot !== undefined && !meanwhile.has(_id.toHexString())) this.#taken.set(slot, _id.toHexString())
    }
    for (const [id, slot] of meanwhile) if (slot !== undefined) this.#taken.set(slot, id)
    // The caller queries the database for tasks next.
    for (const queue of [...this.#full]) if (this.#hasRoom(queue)) this.#full.delete(queue)
  }

  /**
   * Where a task of this queue may start: in a place of the fleet, or without one. Null when the queue is full.
   */
  place(queue: string): { slot?: string } | null {
    const limit = this.#fleet.get(queue)
    if (!this.#hasRoom(queue)) {
      this.#full.add(queue)
      return null
    }
    return limit === undefined ? {} : { slot: this.#freePlace(queue, limit)! }
  }

  #hasRoom(queue: string): boolean {
    const here = this.#options.here[queue]
    if (here !== undefined && (this.#runningHere.get(queue) ?? 0) >= here) return false
    const limit = this.#fleet.get(queue)
    return limit === undefined || this.#freePlace(queue, limit) !== undefined
  }

  #freePlace(queue: string, limit: number): string | undefined {
    const now = performance.now()
    const from = Math.floor(Math.random() * limit)
    for (let step = 0; step < limit; step += 1) {
      const slot = placeName(queue, (from + step) % limit)
      const holder = this.#taken.get(slot)
      if (holder === undefined || (typeof holder === 'number' && holder <= now)) return slot
    }
    return undefined
  }

  /** Called when a claim found this place taken. */
  takenByOther(slot: string): void {
    if (typeof this.#taken.get(slot) !== 'string') this.#taken.set(slot, performance.now() + UNKNOWN_MS)
    setTimeout(() => this.#roomIn(queueOf(slot)), UNKNOWN_MS + 1).unref()
  }

  began(queue: string): void {
    this.#runningHere.set(queue, (this.#runningHere.get(queue) ?? 0) + 1)
  }

  ended(queue: string): void {
    this.#runningHere.set(queue, (this.#runningHere.get(queue) ?? 1) - 1)
    if (this.#options.here[queue] !== undefined) this.#roomIn(queue)
  }

  #roomIn(queue: string): void {
    if (this.#full.delete(queue)) this.#options.onRoom(queue)
  }
}

/** Names of queues contain no line feed. */
const placeName = (queue: string, n: number): string => `${queue}\n${n}`
const queueOf = (slot: string): string => slot.slice(0, slot.lastIndexOf('\n'))
