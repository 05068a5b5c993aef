import { mayPass } from './may-pass.ts'
import { retryDelay } from './retry-delay.ts'

/** What a subscription needs of its client. */
export interface Link {
  isLive(): boolean
  /** Gives one share of a subscription back to the gateway. */
  release(subscription: string): void
  /** It is closed, and hears nothing any more. */
  closed(): void
  /** What was open once is refused for good, and closed. */
  refused(error: unknown): void
}

/** What names a subscription at the gateway. */
interface Named {
  subscription: string
}

/** The client's end of a subscription: asks again after a lost connection, and hears what comes in the order in which it was sent. */
export abstract class LiveSubscription<Answer extends Named, Message extends Named> {
  readonly #link: Link
  #subscription: string | undefined
  #asking: Promise<void> | undefined
  /** What came behind the answer but was heard before it: both may be read from the wire in one go. */
  #early: Message[] = []
  /** In a row. */
  #failures = 0
  #closed = false
  #retry: ReturnType<typeof setTimeout> | undefined

  constructor(link: Link) {
    this.#link = link
  }

  protected abstract ask(): Promise<Answer>
  protected abstract answered(answer: Answer): void
  protected abstract apply(message: Message): void
  /** What it holds may be behind. */
  protected abstract interrupted(): void
  /** What it holds is none of the key's any more. */
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

  /** The connection is new: what the gateway knew of us is gone. */
  reconnected(): void {
    if (this.#subscription === undefined) return
    this.interrupted()
    this.#openAgain()
  }

  /** Something was missed, which was never promised to happen: asking again is right whatever the reason. */
  protected askAnew(): void {
    this.interrupted()
    if (this.#subscription !== undefined) this.#link.release(this.#subscription)
    this.#openAgain()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#end()
    // A question under way gives back what it gets.
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

  /**
   * What was right once stays asked for: while the connection holds again and again, else with the next one. Only what is refused
   * for good ends that.
   */
  #openAgain(): void {
    this.open().catch((error: unknown) => {
      if (this.#closed || !this.#link.isLive()) return
      if (mayPass(error)) {
        this.#failures += 1
        this.#retry = setTimeout(() => this.#openAgain(), retryDelay(this.#failures))
        return
      }
      this.#end()
      this.forget()
      this.#link.refused(error)
    })
  }

  #end(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    this.#link.closed()
  }
}
