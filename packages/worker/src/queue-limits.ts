import type { TaskDocument } from '@taskfleet/core'
import type { QueueDocument } from '@taskfleet/core/internal'

/** A slot that was found taken without our knowing by whom is tried again after this. */
const UNKNOWN_MS = 2_000

export interface QueueLimitsOptions {
  /** How many of a queue run at once on this worker. */
  here: Readonly<Record<string, number>>
  /** Something of a queue that was full may start. */
  onRoom: (queue: string) => void
}

/**
 * How many tasks of a queue may run at once: on this worker, and in the whole fleet. A fleet-wide limit has numbered slots; a
 * claim takes one by writing its name on the task, where an index allows each name once. So the limit is exact, and a slot
 * is free the moment its task leaves `running`, however its worker ends. What is known here of slots are hints.
 */
export class QueueLimits {
  readonly #options: QueueLimitsOptions
  readonly #fleet = new Map<string, number>()
  /** Taken slots by name: whose they are, or until when they are not tried. */
  readonly #taken = new Map<string, string | number>()
  /** Tasks that were seen while the database is being asked, with the slot that each has. */
  #seenMeanwhile: Map<string, string | undefined> | undefined
  readonly #runningHere = new Map<string, number>()
  /** Queues of which something waits for room. */
  readonly #full = new Set<string>()

  constructor(options: QueueLimitsOptions) {
    this.#options = options
  }

  isLimited(queue: string): boolean {
    return this.#fleet.has(queue) || this.#options.here[queue] !== undefined
  }

  /** Whether it had no room when it was last asked for some, and none has become free since. */
  isFull(queue: string): boolean {
    return this.#full.has(queue)
  }

  /** What somebody said of a queue; null when nothing is said any more. */
  setQueue(queue: string, said: Pick<QueueDocument, 'concurrency'> | null): void {
    const limit = said?.concurrency
    if (this.#fleet.get(queue) === limit) return
    if (limit === undefined) this.#fleet.delete(queue)
    else this.#fleet.set(queue, limit)
    this.#roomIn(queue)
  }

  /** A task as it is now: it may have taken a slot, left one, or gone from one to another while nobody looked. */
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

  /** Replaces what is known by what the database says. What is seen while it is being asked may be newer than its answer. */
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
    // Whoever replaces it asks the database next.
    for (const queue of [...this.#full]) if (this.#hasRoom(queue)) this.#full.delete(queue)
  }

  /**
   * Where a task of this queue may start: in a slot of the fleet's, or without one; null when the queue is full.
   */
  place(queue: string): { slot?: string } | null {
    const limit = this.#fleet.get(queue)
    if (!this.#hasRoom(queue)) {
      this.#full.add(queue)
      return null
    }
    return limit === undefined ? {} : { slot: this.#freeSlot(queue, limit)! }
  }

  #hasRoom(queue: string): boolean {
    const here = this.#options.here[queue]
    if (here !== undefined && (this.#runningHere.get(queue) ?? 0) >= here) return false
    const limit = this.#fleet.get(queue)
    return limit === undefined || this.#freeSlot(queue, limit) !== undefined
  }

  #freeSlot(queue: string, limit: number): string | undefined {
    const now = performance.now()
    const from = Math.floor(Math.random() * limit)
    for (let step = 0; step < limit; step += 1) {
      const slot = slotName(queue, (from + step) % limit)
      const holder = this.#taken.get(slot)
      if (holder === undefined || (typeof holder === 'number' && holder <= now)) return slot
    }
    return undefined
  }

  /** A slot was taken when we came. */
  takenBySomebody(slot: string): void {
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

/** No queue's name holds a line feed. */
const slotName = (queue: string, n: number): string => `${queue}\n${n}`
const queueOf = (slot: string): string => slot.slice(0, slot.lastIndexOf('\n'))
