import type { Fleet } from '@taskfleet/core'
import { type Change, type Feed, isShaped, Service, WatchLoop, type WatchLoopOptions } from '@taskfleet/core/internal'
import type { Logger } from 'pino'

export interface DocumentWatchOptions {
  fleet: Fleet
  feed: Pick<Feed, 'subscribe'>
  log: Logger
}

/** How often indexes are checked while none is missing. */
const INDEXES_EVERY_MS = 300_000
/** The first check after the start, and the next one while an index is missing. */
const INDEXES_SOON_MS = 30_000
/** How often to check whether a survey of all documents, or an audit of the counts, is due. */
const SURVEY_ASKED_MS = 300_000
/** It reads all documents, so it does not compete with the start. */
const SURVEY_FIRST_MS = 10_000
/** The longest delay before an invalid task is ended, so that not every worker does it at the same moment. */
const SOON_MS = 500

/**
 * Finds invalid documents and missing indexes. The feed reports new documents. One worker of the fleet checks the
 * old ones from time to time.
 */
export class DocumentWatch extends Service {
  readonly #options: DocumentWatchOptions
  readonly #indexes: WatchLoop
  readonly #survey: WatchLoop
  readonly #counts: WatchLoop
  readonly #ending: WatchLoop
  /** Invalid tasks that must be ended. */
  #misfits: unknown[] = []

  constructor(options: DocumentWatchOptions) {
    super()
    this.#options = options
    const { fleet, log } = options
    const loop = (
      look: () => Promise<number | undefined>,
      when: Pick<WatchLoopOptions, 'everyMs' | 'firstMs' | 'retryMs'>,
    ): WatchLoop =>
      new WatchLoop({
        look,
        spread: true,
        log,
        failed: 'documents and indexes could not be checked',
        ...when,
      })
    this.#indexes = loop(() => this.#checkIndexes(), {
      everyMs: INDEXES_EVERY_MS,
      firstMs: INDEXES_SOON_MS * (0.9 + Math.random() * 0.2),
      retryMs: INDEXES_SOON_MS,
    })
    this.#survey = loop(async () => void (await fleet.surveyIfDue()), {
      everyMs: SURVEY_ASKED_MS,
      firstMs: SURVEY_FIRST_MS * Math.random(),
    })
    this.#counts = loop(async () => void (await fleet.counts.auditIfDue()), { everyMs: SURVEY_ASKED_MS })
    this.#ending = loop(async () => void (await fleet.store.endMisfits(this.#misfits.splice(0))), {})
  }

  protected override async onStart(): Promise<void> {
    const { feed } = this.#options
    this.defer(feed.subscribe({ change: (change) => this.#onChange(change), lost: (reason) => this.#onLost(reason) }))
    for (const loop of [this.#indexes, this.#survey, this.#counts, this.#ending]) await this.use(loop)
  }

  async #checkIndexes(): Promise<number | undefined> {
    const { missing } = await this.#options.fleet.indexes.look()
    return missing.length > 0 ? INDEXES_SOON_MS : undefined
  }

  #onChange({ collection, doc }: Change): void {
    const { gate } = this.#options.fleet
    if (doc === null || !isShaped(collection) || gate.isReadable(collection, doc)) return
    if (collection !== 'tasks') {
      gate.setAside.note(collection, doc)
      return
    }
    this.#misfits.push(doc._id)
    this.#ending.lookIn(Math.random() * SOON_MS)
  }

  /** The indexes of a dropped collection are gone with it. */
  #onLost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void {
    if (reason !== 'COLLECTION_GONE') return
    this.#options.fleet.indexes.doubt()
    this.#indexes.lookIn(0)
  }
}
