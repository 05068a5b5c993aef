import {
  applyDelta,
  type CollectionName,
  type CollectionRows,
  type QueryDelta,
  type QueryReset,
  type SubscribeAnswer,
  type SubscribeQuery,
} from '@taskfleet/protocol'
import type { LiveQuery, RowsListener } from './api.ts'
import { type Link, LiveSubscription } from './live-subscription.ts'

type Resume = Pick<SubscribeQuery, 'resume'>

/** The client's side of a live query: applies deltas in order, and resumes after a lost connection. */
export class LiveRows<N extends CollectionName>
  extends LiveSubscription<SubscribeAnswer, QueryDelta | QueryReset>
  implements LiveQuery<N>
{
  readonly #ask: (resume: Resume) => Promise<SubscribeAnswer>
  readonly #listener: RowsListener<N>
  #rows: readonly CollectionRows[N][] = []
  #epoch: string | undefined
  #seq = 0
  #current = false
  #answered = false

  constructor(ask: (resume: Resume) => Promise<SubscribeAnswer>, listener: RowsListener<N>, link: Link) {
    super(link)
    this.#ask = ask
    this.#listener = listener
  }

  get rows(): readonly CollectionRows[N][] {
    return this.#rows
  }

  get live(): boolean {
    return this.#current && this.isLive
  }

  protected ask(): Promise<SubscribeAnswer> {
    return this.#ask(this.#epoch === undefined ? {} : { resume: { epoch: this.#epoch, seq: this.#seq } })
  }

  protected answered({ deltas, epoch, seq, rows = [] }: SubscribeAnswer): void {
    const reason = this.#answered ? 'resync' : 'snapshot'
    this.#answered = true
    this.#current = true
    if (deltas === undefined) {
      this.#replace({ epoch, seq, rows }, reason)
      return
    }
    for (const delta of deltas) this.#apply(delta)
    // Nothing was missed. Listeners are notified, because the rows are known to be current again.
    if (deltas.length === 0) this.#listener(this.#rows, { added: [], changed: [], removed: [] }, 'delta')
  }

  protected apply(message: QueryDelta | QueryReset): void {
    if ('rows' in message) this.#replace(message, message.reason)
    // A delta from before the answer that subscribed us is part of that answer.
    else if (message.seq === this.#seq + 1) this.#apply(message)
    else if (message.seq > this.#seq) {
      this.#epoch = undefined
      this.askAnew()
    }
  }

  protected interrupted(): void {
    this.#current = false
  }

  protected forget(): void {
    this.#rows = []
  }

  #replace(
    { epoch, seq, rows }: Pick<QueryReset, 'epoch' | 'seq' | 'rows'>,
    reason: Parameters<RowsListener<N>>[2],
  ): void {
    this.#epoch = epoch
    this.#seq = seq
    this.#rows = rows as CollectionRows[N][]
    this.#listener(this.#rows, null, reason)
  }

  #apply(delta: QueryDelta): void {
    this.#seq = delta.seq
    const typed = delta as unknown as QueryDelta<CollectionRows[N]>
    this.#rows = applyDelta<CollectionRows[N]>(this.#rows, typed)
    this.#listener(this.#rows, typed, 'delta')
  }
}
