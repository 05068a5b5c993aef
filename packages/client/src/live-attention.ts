import { type AttentionRow, type AttentionRows, FleetError } from '@taskfleet/protocol'
import type { AttentionListener, LiveAttentionHandle } from './api.ts'
import { type Link, LiveSubscription } from './live-subscription.ts'

/** The client's side of what needs somebody. Each message has all rows. */
export class LiveAttention extends LiveSubscription<AttentionRows, AttentionRows> implements LiveAttentionHandle {
  protected readonly ask: () => Promise<AttentionRows>
  readonly #listener: AttentionListener
  #rows: readonly AttentionRow[] = []
  #seq = 0

  constructor(ask: () => Promise<AttentionRows>, listener: AttentionListener, link: Link) {
    super(link)
    this.ask = ask
    this.#listener = listener
  }

  /** The latest rows. */
  get rows(): readonly AttentionRow[] {
    return this.#rows
  }

  protected answered(answer: AttentionRows): void {
    this.#publish(answer)
  }

  protected apply(message: AttentionRows): void {
    if (message.seq >= this.#seq) this.#publish(message)
  }

  protected interrupted(): void {}

  protected forget(): void {
    this.#rows = []
  }

  #publish({ seq, rows, error }: AttentionRows): void {
    this.#seq = seq
    this.#rows = rows
    this.#listener(rows, error && new FleetError(error.code, error.message))
  }
}
