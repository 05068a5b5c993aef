import type { Fleet } from '@taskfleet/core'
import type { QueueDocument } from '@taskfleet/core/internal'
import { QueueLimits } from './queue-limits.ts'
import { QueueRates } from './queue-rates.ts'
import type { RunnerSettings } from './runner-options.ts'

/** The queues that this worker serves: which are paused, and how many of their tasks may run and start. */
export class ServedQueues {
  readonly names: readonly string[]
  readonly limits: QueueLimits
  readonly rates: QueueRates
  readonly #fleet: Fleet
  readonly #onRoom: (reason: string) => void
  readonly #paused = new Set<string>()
  /** The latest revision of each that is known. */
  readonly #revs = new Map<string, number>()

  /** @param onRoom called with a reason when tasks of a queue may start that could not before */
  constructor(fleet: Fleet, settings: RunnerSettings, onRoom: (reason: string) => void) {
    this.#fleet = fleet
    this.names = settings.queues
    this.#onRoom = onRoom
    this.limits = new QueueLimits({
      here: settings.queueConcurrency,
      onRoom: (queue) => onRoom(`there is room in ${queue}`),
    })
    this.rates = new QueueRates({
      rates: fleet.rates,
      onRoom: (queue) => onRoom(`starts are free in ${queue}`),
      longestWaitMs: settings.pollMs,
      log: settings.log,
    })
  }

  /** Whether tasks of the queue may start now. A full queue is left out, so that its tasks don't block others. */
  isOpen(queue: string): boolean {
    return !this.#paused.has(queue) && !this.limits.isFull(queue) && !this.rates.isUsedUp(queue)
  }

  /** The queues whose tasks may start now. */
  get open(): string[] {
    return this.names.filter((queue) => this.isOpen(queue))
  }

  /** A queue has changed; null when its document was removed. */
  changed(queue: string, doc: QueueDocument | null): void {
    this.#set(queue, doc === null ? null : this.#fleet.queues.readable(doc))
  }

  /** Changes may have been missed: the next answer counts in any case. */
  lost(): void {
    this.#revs.clear()
  }

  /** Reads the settings and, if there are limits, the taken places. */
  async load(): Promise<void> {
    const stored = new Map((await this.#fleet.queues.list()).map((queue) => [queue._id, queue]))
    for (const queue of this.names) {
      // The feed may have reported a later revision meanwhile.
      const { rev = 0 } = stored.get(queue) ?? {}
      if (rev >= (this.#revs.get(queue) ?? 0)) this.#set(queue, stored.get(queue) ?? null)
    }
    if (this.names.some((queue) => this.limits.isLimited(queue))) {
      await this.limits.load(() => this.#fleet.store.slots())
    }
  }

  #set(queue: string, doc: QueueDocument | null): void {
    if (doc === null) this.#revs.delete(queue)
    else this.#revs.set(queue, doc.rev)
    this.limits.setQueue(queue, doc)
    this.rates.setQueue(queue, doc)
    const paused = doc?.paused === true
    if (this.#paused.has(queue) === paused) return
    if (paused) this.#paused.add(queue)
    else this.#paused.delete(queue)
    this.#onRoom('a queue was paused or resumed')
  }
}
