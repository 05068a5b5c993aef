import { asError, type Fleet } from '@taskfleet/core'
import { type Change, type ChangeFeed, isShaped } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface DocumentWatchOptions {
  fleet: Fleet
  feed: ChangeFeed
  log: Logger
}

/** Indexes are looked for at least so often. */
const INDEXES_EVERY_MS = 30_000
/** Whether it is time to look at all documents is asked so often. */
const SURVEY_ASKED_MS = 60_000
/** What does not fit is set aside this much later at most: not every worker does it at the same moment. */
const SOON_MS = 500

/**
 * Sees documents that don't fit, and indexes that are gone. What is written from now on is told of by the feed; what has been
 * there before is looked for now and then, by one worker for all.
 */
export class DocumentWatch {
  readonly #options: DocumentWatchOptions
  readonly #unsubscribe: () => void
  readonly #timers = new Set<NodeJS.Timeout>()
  readonly #underWay = new Set<Promise<void>>()
  /** Tasks that don't fit and are to be ended. */
  #misfits: unknown[] = []
  #soon: NodeJS.Timeout | undefined
  #stopped = true

  constructor(options: DocumentWatchOptions) {
    this.#options = options
    this.#unsubscribe = options.feed.subscribe({
      change: (change) => this.#onChange(change),
      lost: (reason) => this.#onLost(reason),
    })
  }

  start(): void {
    this.#stopped = false
    const { fleet } = this.#options
    this.#every(INDEXES_EVERY_MS, () => fleet.indexes.look())
    this.#every(SURVEY_ASKED_MS, () => fleet.surveyIfDue())
    this.#run(() => fleet.surveyIfDue())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#unsubscribe()
    clearTimeout(this.#soon)
    for (const timer of this.#timers) clearInterval(timer)
    await Promise.all(this.#underWay)
  }

  #onChange({ collection, doc }: Change): void {
    const { gate } = this.#options.fleet
    if (doc === null || !isShaped(collection) || gate.isReadable(collection, doc)) return
    if (collection !== 'tasks') {
      gate.setAside.note(collection, doc)
      return
    }
    this.#misfits.push(doc._id)
    if (this.#stopped) return
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      const ids = this.#misfits
      this.#misfits = []
      this.#run(() => this.#options.fleet.store.endMisfits(ids))
    }, Math.random() * SOON_MS)
  }

  /** Where a collection is gone, its indexes are gone with it. */
  #onLost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void {
    if (reason !== 'COLLECTION_GONE') return
    const { indexes } = this.#options.fleet
    indexes.doubt()
    this.#run(() => indexes.look())
  }

  #every(ms: number, act: () => Promise<unknown>): void {
    this.#timers.add(setInterval(() => this.#run(act), ms * (0.9 + Math.random() * 0.2)))
  }

  #run(act: () => Promise<unknown>): void {
    if (this.#stopped) return
    const running = act()
      .then(() => undefined)
      .catch((error: unknown) => {
        this.#options.log.warn({ err: asError(error) }, 'documents and indexes could not be looked at')
      })
      .finally(() => this.#underWay.delete(running))
    this.#underWay.add(running)
  }
}
