import { asError } from '@taskfleet/core'
import type { Affinity } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { TaskFactory } from './task-factory.ts'

/**
 * Where the checkpoints of this worker's handlers are of use: a part file, for instance, is on one disk. What has a checkpoint at a
 * place is claimed there first.
 */
export class Places {
  readonly #factories: readonly TaskFactory[]
  readonly #log: Logger
  /** By the names of the handlers. */
  readonly affinities = new Map<string, Affinity>()

  constructor(factories: Iterable<TaskFactory>, log: Logger) {
    this.#factories = [...factories]
    this.#log = log
  }

  get all(): string[] {
    return [...new Set([...this.affinities.values()].map(({ place }) => place))]
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
  }
}
