import type { Feed } from './feed.ts'
import type { FeedScope } from './feed-events.ts'

/** Makes a feed report what its holders need, for as long as there is one. */
export class WideFeed {
  readonly #feed: Pick<Feed, 'widen'>
  readonly #scope: FeedScope
  readonly #holders = new Set<object>()
  #opening = 0
  #widened: Promise<() => void> | undefined

  constructor(feed: Pick<Feed, 'widen'>, scope: FeedScope) {
    this.#feed = feed
    this.#scope = scope
  }

  /** Calls `open` once the feed is wide, and narrows it again unless something holds it by then. @throws {FleetError} `NO_DATABASE` */
  async during<T>(open: () => T): Promise<T> {
    this.#opening += 1
    try {
      await this.#widen()
      return open()
    } finally {
      this.#opening -= 1
      this.#narrowIfFree()
    }
  }

  async #widen(): Promise<void> {
    this.#widened ??= this.#feed.widen(this.#scope)
    const widened = this.#widened
    try {
      await widened
    } catch (error) {
      // The next caller tries again.
      if (this.#widened === widened) this.#widened = undefined
      throw error
    }
  }

  hold(holder: object): void {
    this.#holders.add(holder)
  }

  release(holder: object): void {
    this.#holders.delete(holder)
    this.#narrowIfFree()
  }

  #narrowIfFree(): void {
    if (this.#holders.size > 0 || this.#opening > 0) return
    void this.#widened?.then(
      (release) => release(),
      () => undefined,
    )
    this.#widened = undefined
  }
}
