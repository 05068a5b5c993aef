import type { Change } from './feed-events.ts'

export interface FeedListener {
  change(change: Change): void
  /** Changes may have been missed: read again what you keep. */
  lost(reason: 'HISTORY_LOST' | 'COLLECTION_GONE'): void
}

/** Reports the changes of a fleet's documents: a change stream of the database, or a database in memory by itself. */
export interface Feed {
  /** When it has started, whatever is written from then on is reported. */
  start(): Promise<void>
  stop(): Promise<void>
  /** Returns its undo. */
  subscribe(listener: FeedListener): () => void
  /** Whether its changes come from the database, and not from another process of the fleet. */
  readonly isDirect: boolean
  /** Every change that was made before this moment of the server's time has been reported; the start of time before the first. */
  readonly reportedUntil: Date
  /** How long a write took to come back as a change, in milliseconds; it grows while one doesn't. */
  readonly lagMs: number
  /**
   * Resolves when every change is reported, and goes on being reported until the function that it returns is called.
   *
   * @throws {FleetError} `NO_DATABASE`
   */
  everything(): Promise<() => void>
  /** Called when this process needs to know of other changes than before; absent where all are reported. */
  refresh?(): void
}
