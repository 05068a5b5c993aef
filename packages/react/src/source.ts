import type { ConnectionState, FleetApi } from '@taskfleet/client'
import type { FleetError } from '@taskfleet/protocol'
import { asFleetError } from './keep-open.ts'

/** A value that is kept current while it has subscribers. */
export class Source<Value> {
  readonly #listeners = new Set<() => void>()
  readonly #start: (set: (value: Value) => void) => () => void
  #value: Value
  #stop: (() => void) | undefined

  /** @param start called for the first subscriber. Its result is called when the last one has left. */
  constructor(first: Value, start: (set: (value: Value) => void) => () => void) {
    this.#value = first
    this.#start = start
  }

  readonly get = (): Value => this.#value

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    this.#stop ??= this.#start((value) => this.#set(value))
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      this.#stop?.()
      this.#stop = undefined
    }
  }

  #set(value: Value): void {
    if (value === this.#value) return
    this.#value = value
    for (const listener of [...this.#listeners]) listener()
  }
}

export interface ConnectionView {
  readonly state: ConnectionState
  /** Why the connection is refused or could not be made. */
  readonly error: FleetError | undefined
  /** Since when it is in this state, in milliseconds of the local clock. */
  readonly since: number
}

export function connectionOf(client: FleetApi): Source<ConnectionView> {
  let view: ConnectionView = { state: client.state, error: undefined, since: Date.now() }
  return new Source(view, (set) =>
    client.onState((state, thrown) => {
      const isSame = state === view.state
      if (isSame && thrown === undefined && view.error === undefined) return
      const error = thrown === undefined ? undefined : asFleetError(thrown)
      view = { state, error, since: isSame ? view.since : Date.now() }
      set(view)
    }),
  )
}

/** The server's time in milliseconds, as it was at the last tick. */
export function serverTimeOf(client: FleetApi): Source<number> {
  const now = (): number => Date.now() + client.clockOffset
  return new Source(now(), (set) => {
    set(now())
    const timer = setInterval(() => set(now()), 1_000)
    return () => clearInterval(timer)
  })
}
