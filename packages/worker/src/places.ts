import { asError, type Fleet } from '@taskfleet/core'
import { type Affinity, type Hint, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { TaskFactory } from './task-factory.ts'

const LOOK_MS = 1_000

/**
 * Where the checkpoints of this worker's handlers are of use: a part file, for instance, is on one disk. What has a checkpoint at a
 * place is claimed there first.
 */
export class Places {
  readonly #factories: readonly TaskFactory[]
  readonly #log: Logger
  /** By the names of the handlers. */
  readonly affinities = new Map<string, Affinity>()
  /** The places themselves, each once. */
  all: readonly string[] = []
  #keepsSlots = false
  #looking: WatchLoop | undefined

  constructor(factories: Iterable<TaskFactory>, log: Logger) {
    this.#factories = [...factories]
    this.#log = log
  }

  /** Asks each handler for its place. A handler that can't tell it has none, and its tasks go on anywhere. */
  async find(): Promise<void> {
    for (const { name, prefer } of this.#factories) {
      if (prefer === undefined) continue
      try {
        const place: unknown = await prefer.place()
        if (typeof place !== 'string' || place === '') throw new TypeError('a place is a text that is not empty')
        this.affinities.set(name, { place, ms: prefer.ms })
      } catch (error) {
        this.#log.warn({ err: asError(error), name }, 'the place of a handler is not known: its tasks go on anywhere')
      }
    }
    this.all = [...new Set([...this.affinities.values()].map(({ place }) => place))]
  }

  /**
   * After a crash, the tasks of the process before are free only when its session has ended. Until then, slots are kept for them: they would
   * be taken by other tasks, perhaps for hours, and what is on this disk would be fetched again elsewhere.
   */
  async keepSlotsFor({ name, fleet, forMs, onFree }: EarlierProcess): Promise<void> {
    if (this.affinities.size === 0) return
    const until = performance.now() + forMs
    const names = [...this.affinities.keys()]
    const before = {
      status: 'running' as const,
      host: name,
      name: { $in: names },
      'affinity.place': { $in: [...this.all] },
    }
    const look = async (): Promise<number | undefined> => {
      const kept = this.#keepsSlots
      this.#keepsSlots = performance.now() < until && (await fleet.tasks.countDocuments(before, { limit: 1 })) > 0
      if (kept && !this.#keepsSlots) onFree()
      return this.#keepsSlots ? LOOK_MS : undefined
    }
    const failed = 'the tasks of the process before could not be read'
    this.#looking = new WatchLoop({ look, retryMs: LOOK_MS, log: this.#log, failed })
    await this.#looking.start()
    await this.#looking.look()
  }

  /** Whether slots are kept for others than this task. */
  keepsSlotFrom({ name, affinity }: Pick<Hint, 'name' | 'affinity'>): boolean {
    if (!this.#keepsSlots || !this.affinities.has(name)) return false
    return affinity === undefined || !this.all.includes(affinity.place)
  }

  async stop(): Promise<void> {
    await this.#looking?.stop()
  }
}

interface EarlierProcess {
  /** The name of this worker, which the process before had too. */
  name: string
  fleet: Fleet
  /** For how long at most. */
  forMs: number
  /** Called when no slots are kept any more. */
  onFree: () => void
}
