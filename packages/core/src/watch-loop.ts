import { runAfter } from '@taskfleet/protocol/internal'
import type { Logger } from 'pino'
import { Service } from './service.ts'
import { asError } from './thrown.ts'

export interface WatchLoopOptions {
  /** Looks once. May return the milliseconds until the next look, if that is sooner than `everyMs`. */
  look: () => Promise<number | undefined> | Promise<void>
  /** The longest time from the end of a look to the next one, in milliseconds. Without it, the loop looks only on request. */
  everyMs?: number
  /** Varies each `everyMs` by up to a tenth, so that processes that started together don't look at the same time. */
  spread?: boolean
  /** When to look for the first time, in milliseconds after the start; `everyMs` by default. */
  firstMs?: number
  /** When to look again after a look that failed, in milliseconds; `everyMs` by default. */
  retryMs?: number
  log?: Pick<Logger, 'warn'> | undefined
  /** The log message for a look that failed. */
  failed: string
}

/** Looks repeatedly: on a timer, on request, and at the time that the last look returned. Never runs two looks at once. */
export class WatchLoop extends Service {
  readonly #options: WatchLoopOptions
  /** When the next look is due, by `performance.now()`. */
  #dueAt = Number.POSITIVE_INFINITY
  #disarm = (): void => undefined
  #looking: Promise<void> | undefined
  /** The callers that wait for the next look. */
  #waiting: (() => void)[] = []

  constructor(options: WatchLoopOptions) {
    super()
    this.#options = options
  }

  protected override onStart(): void {
    this.defer(async () => {
      this.#disarm()
      this.#dueAt = Number.POSITIVE_INFINITY
      await this.#looking
      this.#release(this.#waiting.splice(0))
    })
    this.lookIn(this.#options.firstMs ?? this.#everyMs())
  }

  /** Looks within `ms` milliseconds; 0 means at the end of this turn of the event loop. During a look, it looks again after it. */
  lookIn(ms: number): void {
    const dueAt = performance.now() + ms
    if (!this.isRunning || dueAt >= this.#dueAt) return
    this.#dueAt = dueAt
    if (this.#looking === undefined) this.#arm(ms)
  }

  /** Looks now. Resolves when a look that began after this call has ended or failed; at once when the loop doesn't run. */
  async look(): Promise<void> {
    if (!this.isRunning) return
    const looked = new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.lookIn(0)
    await looked
  }

  #arm(ms: number): void {
    this.#disarm()
    const look = (): void => {
      this.#looking = this.#look()
    }
    if (ms > 0) this.#disarm = runAfter(ms, look)
    else {
      const turn = setImmediate(look)
      this.#disarm = () => clearImmediate(turn)
    }
  }

  async #look(): Promise<void> {
    const { look, retryMs, log, failed } = this.#options
    const waiting = this.#waiting.splice(0)
    this.#dueAt = Number.POSITIVE_INFINITY
    let nextMs = this.#everyMs()
    try {
      nextMs = Math.min(nextMs, (await look()) ?? nextMs)
    } catch (error) {
      nextMs = retryMs ?? nextMs
      log?.warn({ err: asError(error) }, failed)
    }
    const askedMs = this.#dueAt - performance.now()
    this.#looking = undefined
    this.#dueAt = Number.POSITIVE_INFINITY
    this.lookIn(Math.min(nextMs, askedMs))
    this.#release(waiting)
  }

  #everyMs(): number {
    const { everyMs = Number.POSITIVE_INFINITY, spread } = this.#options
    return spread === true ? everyMs * (0.9 + Math.random() * 0.2) : everyMs
  }

  #release(waiting: readonly (() => void)[]): void {
    for (const resolve of waiting) resolve()
  }
}
