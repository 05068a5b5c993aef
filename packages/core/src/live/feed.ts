import type { Change, FeedScope } from './feed-events.ts'

export interface FeedListener {
  change(change: Change): void
  /** Changes may have been missed, so the listener must read its data again. */
  lost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void
}

/** Reports the changes of a fleet's documents, from the database's change stream or from a database in memory. */
export interface Feed {
  /** Every write after the start has finished is reported. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Returns a function that unsubscribes. */
  subscribe(listener: FeedListener): () => void
  /** Whether its changes come from the database, and not from another process of the fleet. */
  readonly isDirect: boolean
  /** All changes before this moment of the server's time have been reported. It is 1970 before the first change. */
  readonly reportedUntil: Date
  /** How long a write took to come back as a change, in milliseconds. It grows while a write is on its way. */
  readonly lagMs: number
  /**
   * Resolves when at least these changes are reported. That lasts until the returned function is called.
   *
   * @throws {FleetError} `NO_DATABASE`
   */
  widen(scope: FeedScope): Promise<() => void>
  /** Called when this process needs to know of other changes than before; absent where all are reported. */
  refresh?(): void
}
