import type { ChangeFeed, FeedListener } from '@taskfleet/core/internal'

/** A change feed that a test controls, with its number of subscribers. */
export class FakeFeed implements Pick<ChangeFeed, 'subscribe'> {
  readonly listeners = new Set<FeedListener>()

  subscribe(listener: FeedListener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }
}
