import {
  applyDelta,
  type CollectionName,
  type CollectionRows,
  type QueryDelta,
  type QueryRequest,
  type QueryReset,
  type SubscribeAnswer,
  type SubscribeQuery,
} from '@taskfleet/protocol'
import type { LiveQuery, RowsListener } from './api.ts'
import { mayPass } from './may-pass.ts'
import { retryDelay } from './retry-delay.ts'

interface Link {
  ask<T>(request: SubscribeQuery): Promise<T>
  isLive(): boolean
  /** Gives one share of a subscription back to the gateway. */
  release(subscription: string): void
  /** @param subscription to be given up at the gateway, if there is one */
  closed(subscription: string | undefined): void
  /** What was open once is refused for good, and closed. */
  refused(error: unknown): void
}

/** The client's end of a live query: applies deltas in order, and resumes where it was after a lost connection. */
export class LiveRows<N extends CollectionName> implements LiveQuery<N> {
  readonly #query: QueryRequest
  readonly #listener: RowsListener<N>
  readonly #link: Link
  #rows: readonly CollectionRows[N][] = []
  #subscription: string | undefined
  #epoch: string | undefined
  #seq = 0
  #current = false
  #closed = false
  /** In a row. */
  #failures = 0
  #asking: Promise<void> | undefined
  /** What came behind the answer but was heard before it: both may be read from the wire in one go. */
  #early: ({ delta: QueryDelta } | { reset: QueryReset })[] = []
  #retry: ReturnType<typeof setTimeout> | undefined

  constructor(query: QueryRequest, listener: RowsListener<N>, link: Link) {
    this.#query = query
    this.#listener = listener
    this.#link = link
  }

  get rows(): readonly CollectionRows[N][] {
    return this.#rows
  }

  get live(): boolean {
    return this.#current && this.#link.isLive()
  }

  open(): Promise<void> {
    clearTimeout(this.#retry)
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
      for (const early of this.#early.splice(0)) {
        if ('delta' in early) this.delta(early.delta)
        else this.reset(early.reset)
      }
    })
    return this.#asking
  }

  /**
   * Rows that were right once stay asked for: while the connection holds again and again, else with the next one. Only what
   * is refused for good ends that, and the rows with it: they are none of the key's any more.
   */
  #openAgain(): void {
    this.open().catch((error: unknown) => {
      if (this.#closed || !this.#link.isLive()) return
      if (mayPass(error)) {
        this.#failures += 1
        this.#retry = setTimeout(() => this.#openAgain(), retryDelay(this.#failures))
        return
      }
      this.#closed = true
      this.#rows = []
      this.#link.closed(undefined)
      this.#link.refused(error)
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    clearTimeout(this.#retry)
    // A question under way gives back what it gets.
    this.#link.closed(this.#asking === undefined ? this.#subscription : undefined)
  }

  /** The connection is new: what the gateway knew of us is gone. */
  reconnected(): void {
    if (this.#subscription === undefined) return
    this.#current = false
    this.#openAgain()
  }

  delta(delta: QueryDelta): void {
    if (this.#asking !== undefined) {
      this.#early.push({ delta })
      return
    }
    // A delta from before the answer that subscribed us is part of that answer.
    if (this.#closed || delta.subscription !== this.#subscription || delta.seq <= this.#seq) return
    if (delta.seq !== this.#seq + 1) {
      // Never promised to happen; asking again is right whatever the reason.
      this.#epoch = undefined
      this.#current = false
      this.#link.release(this.#subscription)
      this.#openAgain()
      return
    }
    this.#apply(delta)
  }

  reset(reset: QueryReset): void {
    if (this.#asking !== undefined) {
      this.#early.push({ reset })
      return
    }
    if (this.#closed || reset.subscription !== this.#subscription) return
    this.#epoch = reset.epoch
    this.#seq = reset.seq
    this.#rows = reset.rows as CollectionRows[N][]
    this.#listener(this.#rows, null, reset.reason)
  }

  async #ask(): Promise<void> {
    const resume = this.#epoch === undefined ? undefined : { epoch: this.#epoch, seq: this.#seq }
    const first = this.#subscription === undefined
    const answer = await this.#link.ask<SubscribeAnswer>({
      ...this.#query,
      ...(resume === undefined ? {} : { resume }),
    })
    if (this.#closed) {
      this.#link.release(answer.subscription)
      return
    }
    this.#subscription = answer.subscription
    this.#current = true
    this.#failures = 0
    if (answer.deltas !== undefined) {
      for (const delta of answer.deltas) this.#apply(delta)
      // That nothing was missed is told too: the rows are known to be right again from here on.
      if (answer.deltas.length === 0) this.#listener(this.#rows, { added: [], changed: [], removed: [] }, 'delta')
      return
    }
    this.#epoch = answer.epoch
    this.#seq = answer.seq
    this.#rows = (answer.rows ?? []) as CollectionRows[N][]
    this.#listener(this.#rows, null, first ? 'snapshot' : 'resync')
  }

  #apply(delta: QueryDelta): void {
    this.#seq = delta.seq
    const typed = delta as unknown as QueryDelta<CollectionRows[N]>
    this.#rows = applyDelta<CollectionRows[N]>(this.#rows, typed)
    this.#listener(this.#rows, typed, 'delta')
  }
}
