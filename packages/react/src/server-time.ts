import type { FleetApi } from '@taskfleet/client'

/** The server's time, looked at once a second while somebody does. */
export class ServerTime {
  readonly #client: FleetApi
  readonly #listeners = new Set<() => void>()
  #now: number
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(client: FleetApi) {
    this.#client = client
    this.#now = this.#look()
  }

  /** In milliseconds, as it was at the last tick. */
  get now(): number {
    return this.#now
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    if (this.#timer === undefined) {
      this.#now = this.#look()
      this.#timer = setInterval(() => this.#tick(), 1_000)
    }
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      clearInterval(this.#timer)
      this.#timer = undefined
    }
  }

  #tick(): void {
    this.#now = this.#look()
    for (const listener of [...this.#listeners]) listener()
  }

  #look(): number {
    return Date.now() + this.#client.clockOffset
  }
}
