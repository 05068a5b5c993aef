import { mayPass } from './may-pass.ts'
import { retryDelay } from './retry-delay.ts'

/** The parts of a client that a subscription needs. */
export interface Link {
  isLive(): boolean
  /** Ends one subscription at the gateway. */
  release(subscription: string): void
  /** The subscription is closed and gets no more messages. */
  closed(): void
  /** A subscription that was open is refused for good, and closed. */
  refused(error: unknown): void
}

/** The name of a subscription at the gateway. */
interface Named {
  subscription: string
}

/** The client's side of a subscription. It subscribes again after a lost connection, and gets messages in the order of sending. */
export abstract class LiveSubscription<Answer extends Named, Message extends Named> {
  readonly #link: Link
  #subscription: string | undefined
  #asking: Promise<void> | undefined
  /** Messages that arrived before the promise of the answer resolved, since both may be in one packet. */
  #early: Message[] = []
  /** Failures in a row. */
  #failures = 0
  #closed = false
  #retry: ReturnType<typeof setTimeout> | undefined

  constructor(link: Link) {
    this.#link = link
  }

  protected abstract ask(): Promise<Answer>
  protected abstract answered(answer: Answer): void
  protected abstract apply(message: Message): void
  /** Called when the content may be out of date. */
  protected abstract interrupted(): void
  /** Called once, when the subscription is closed. @param error the refusal; undefined if it was closed by its owner */
  protected ended(_error: unknown): void {}
  /** Drops the content, because the key has lost the right to it. */
  protected abstract forget(): void

  protected get isLive(): boolean {
    return this.#link.isLive()
  }

  open(): Promise<void> {
    clearTimeout(this.#retry)
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
      for (const message of this.#early.splice(0)) this.receive(message)
    })
    return this.#asking
  }

  receive(message: Message): void {
    if (this.#asking !== undefined) this.#early.push(message)
    else if (!this.#closed && message.subscription === this.#subscription) this.apply(message)
  }

  /** The connection is new: the gateway has no subscription of it. */
  reconnected(): void {
    if (this.#subscription === undefined) return
    this.interrupted()
    this.#openAgain()
  }

  /** Subscribes again after a missed message, for any reason. */
  protected askAnew(): void {
    this.interrupted()
    if (this.#subscription !== undefined) this.#link.release(this.#subscription)
    this.#openAgain()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#end()
    // A request under way releases what it gets.
    if (this.#asking === undefined && this.#subscription !== undefined) this.#link.release(this.#subscription)
  }

  async #ask(): Promise<void> {
    const answer = await this.ask()
    if (this.#closed) {
      this.#link.release(answer.subscription)
      return
    }
    this.#subscription = answer.subscription
    this.#failures = 0
    this.answered(answer)
  }

  /** Retries until it is refused for good: on this connection after a delay, otherwise on the next one. */
  #openAgain(): void {
    this.open().catch((error: unknown) => {
      if (this.#closed || !this.#link.isLive()) return
      if (mayPass(error)) {
        this.#failures += 1
        this.#retry = setTimeout(() => this.#openAgain(), retryDelay(this.#failures))
        return
      }
      this.#end(error)
      this.forget()
      this.#link.refused(error)
    })
  }

  #end(error?: unknown): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#link.closed()
    this.ended(error)
  }
}
