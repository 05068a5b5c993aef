import {
  applyDelta,
  type CollectionName,
  type CollectionRows,
  FleetError,
  type QueryDelta,
  type QueryPart,
  type QueryReset,
  type SubscribeAnswer,
  type SubscribeQuery,
} from '@taskfleet/protocol'
import type { LiveQuery, RowsListener } from './api.ts'
import { type Link, LiveSubscription } from './live-subscription.ts'

type Resume = Pick<SubscribeQuery, 'resume'>

/** The client's side of a live query: applies deltas in order, and resumes after a lost connection. */
export class LiveRows<N extends CollectionName>
  extends LiveSubscription<SubscribeAnswer, QueryDelta | QueryReset | QueryPart>
  implements LiveQuery<N>
{
  readonly #ask: (resume: Resume) => Promise<SubscribeAnswer>
  readonly #listener: RowsListener<N>
  #rows: readonly CollectionRows[N][] = []
  #epoch: string | undefined
  #seq = 0
  #current = false
  #answered = false
  /** The parts that have arrived; undefined if none are awaited, or the first ones were missed. */
  #arrived: { parts: number; rows: Map<string, CollectionRows[N]> } | undefined
  /** Whether the rows follow the answer in parts. */
  #awaited = false
  /** Resolves and rejects `first`. */
  #settle: { resolve: () => void; reject: (error: unknown) => void } | undefined
  /** Resolves with the first rows, which may arrive in parts after the answer. @throws {FleetError} `CLOSED`, or the gateway's refusal */
  readonly first = new Promise<void>((resolve, reject) => {
    this.#settle = { resolve, reject }
  })

  constructor(ask: (resume: Resume) => Promise<SubscribeAnswer>, listener: RowsListener<N>, link: Link) {
    super(link)
    this.#ask = ask
    this.#listener = listener
    // Nobody awaits it if the first request is refused.
    this.first.catch(() => undefined)
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

  protected answered({ deltas, epoch, seq, rows = [], parts }: SubscribeAnswer): void {
    if (parts) {
      this.#awaited = true
      return
    }
    const reason = this.#again
    this.#current = true
    if (deltas === undefined) {
      this.#replace({ epoch, seq, rows }, reason)
      return
    }
    for (const delta of deltas) this.#apply(delta)
    // Nothing was missed. Listeners are notified, because the rows are known to be current again.
    if (deltas.length === 0) this.#listener(this.#rows, { added: [], changed: [], removed: [] }, 'delta')
  }

  protected apply(message: QueryDelta | QueryReset | QueryPart): void {
    if ('part' in message) this.#assemble(message)
    else if ('rows' in message) this.#replace(message, message.reason)
    // A delta from before the rows is part of them.
    else if (this.#awaited) return
    else if (message.seq === this.#seq + 1) this.#apply(message)
    else if (message.seq > this.#seq) {
      this.#epoch = undefined
      this.askAnew()
    }
  }

  protected interrupted(): void {
    this.#current = false
    this.#awaited = false
    this.#arrived = undefined
  }

  protected forget(): void {
    this.#rows = []
  }

  protected override ended(error: unknown): void {
    this.#settle?.reject(error ?? new FleetError('CLOSED', 'This live query is closed'))
  }

  /** Why the rows are replaced, if the gateway gives no reason. */
  get #again(): 'resync' | 'snapshot' {
    return this.#answered ? 'resync' : 'snapshot'
  }

  #assemble({ part, rows, end }: QueryPart): void {
    if (part === 0) this.#arrived = { parts: 0, rows: new Map() }
    // Another subscription of this query may have begun before this one.
    if (this.#arrived?.parts !== part) return
    this.#arrived.parts += 1
    this.#current = false
    for (const row of rows) this.#arrived.rows.set(row._id, row as CollectionRows[N])
    if (end === undefined) return
    const { rows: arrived } = this.#arrived
    const { ids, reason = this.#again } = end
    this.#current = true
    this.#replace({ ...end, rows: ids.map((id) => arrived.get(id)!) }, reason)
  }

  #replace(
    { epoch, seq, rows }: Pick<QueryReset, 'epoch' | 'seq' | 'rows'>,
    reason: Parameters<RowsListener<N>>[2],
  ): void {
    this.#arrived = undefined
    this.#awaited = false
    this.#answered = true
    this.#epoch = epoch
    this.#seq = seq
    this.#rows = rows as CollectionRows[N][]
    this.#listener(this.#rows, null, reason)
    this.#settle?.resolve()
  }

  #apply(delta: QueryDelta): void {
    this.#seq = delta.seq
    const typed = delta as unknown as QueryDelta<CollectionRows[N]>
    this.#rows = applyDelta<CollectionRows[N]>(this.#rows, typed)
    this.#listener(this.#rows, typed, 'delta')
  }
}
