import { asError } from '@taskfleet/core'
import { type QueueDocument, type StartGrant, type StartRates, UnderWay } from '@taskfleet/core/internal'
import type { QueueRate } from '@taskfleet/protocol'
import type { Logger } from 'pino'

export interface QueueRatesOptions {
  rates: StartRates
  /** Called when a task of a queue whose rate was used up may start. */
  onRoom: (queue: string) => void
  /** After how long a queue is tried in any case, in milliseconds: another worker may have returned starts. */
  longestWaitMs: number
  log: Logger
}

interface Rated {
  rate: QueueRate
  /** The revision of the queue at which it had this rate. */
  rev: number
}

/**
 * Limits how often tasks of a queue start in the whole fleet. The database counts the remaining starts. The worker requests as many
 * as it could claim now. If it gets fewer, it tries no task of that queue until the next start is free.
 */
export class QueueRates {
  readonly #options: QueueRatesOptions
  readonly #rated = new Map<string, Rated>()
  /** Queues whose rate is used up, each with the one timer that tries again. */
  readonly #usedUp = new Map<string, NodeJS.Timeout>()
  /** Counts, for each queue, changes of its rate and returns of starts. */
  readonly #editions = new Map<string, number>()
  readonly #givingBack = new UnderWay((error) =>
    this.#options.log.warn({ err: asError(error) }, 'unused starts could not be returned'),
  )

  constructor(options: QueueRatesOptions) {
    this.#options = options
  }

  isLimited(queue: string): boolean {
    return this.#rated.has(queue)
  }

  isUsedUp(queue: string): boolean {
    return this.#usedUp.has(queue)
  }

  /** Applies the settings of a queue; null when it has none. */
  setQueue(queue: string, settings: Pick<QueueDocument, 'rate' | 'rev'> | null): void {
    const before = this.#rated.get(queue)?.rate
    const rate = settings?.rate
    if (settings === null || rate === undefined) this.#rated.delete(queue)
    else this.#rated.set(queue, { rate, rev: settings.rev })
    if (before?.limit !== rate?.limit || before?.per !== rate?.per) this.#changed(queue)
  }

  /**
   * Requests at most `wanted` starts. If it gets fewer, the queue counts as used up, unless its rate has changed or starts were
   * returned meanwhile.
   */
  async ask(queue: string, wanted: number): Promise<StartGrant> {
    const { rates, longestWaitMs } = this.#options
    const rated = this.#rated.get(queue)!
    const edition = this.#editions.get(queue)
    const grant = await rates.ask(queue, rated, wanted)
    if (grant.count < wanted && this.#editions.get(queue) === edition) {
      clearTimeout(this.#usedUp.get(queue))
      const wait = Math.min(grant.nextInMs + 1, grant.returnsInMs, longestWaitMs)
      this.#usedUp.set(
        queue,
        setTimeout(() => this.#roomIn(queue), wait),
      )
    }
    return grant
  }

  /** Returns unused starts to the database, without waiting for it. */
  giveBack(grant: StartGrant, count: number): void {
    if (count === 0) return
    this.#givingBack.add(this.#options.rates.giveBack(grant, count).then(() => this.#changed(grant.queue)))
  }

  async stop(): Promise<void> {
    for (const timer of this.#usedUp.values()) clearTimeout(timer)
    this.#usedUp.clear()
    await this.#givingBack.settled()
  }

  #changed(queue: string): void {
    this.#editions.set(queue, (this.#editions.get(queue) ?? 0) + 1)
    this.#roomIn(queue)
  }

  #roomIn(queue: string): void {
    clearTimeout(this.#usedUp.get(queue))
    if (this.#usedUp.delete(queue)) this.#options.onRoom(queue)
  }
}
