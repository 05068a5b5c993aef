import type { ConnectionState, FleetApi } from '@taskfleet/client'
import type { FleetError } from '@taskfleet/protocol'
import { asFleetError } from './keep-open.ts'

export interface ConnectionView {
  readonly state: ConnectionState
  /** Why it is refused or could not be made. */
  readonly error: FleetError | undefined
  /** Since when it is in this state, in milliseconds of the local clock. */
  readonly since: number
}

/** A client's connection, for as long as somebody looks at it. */
export class ConnectionWatch {
  readonly #client: FleetApi
  readonly #listeners = new Set<() => void>()
  #view: ConnectionView
  #forget: (() => void) | undefined

  constructor(client: FleetApi) {
    this.#client = client
    this.#view = { state: client.state, error: undefined, since: Date.now() }
  }

  readonly get = (): ConnectionView => this.#view

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    this.#forget ??= this.#client.onState((state, thrown) => this.#changed(state, thrown))
    return () => {
      this.#listeners.delete(listener)
      if (this.#listeners.size > 0) return
      this.#forget?.()
      this.#forget = undefined
    }
  }

  #changed(state: ConnectionState, thrown: Error | undefined): void {
    const { state: before, error: reason, since } = this.#view
    if (state === before && thrown === undefined && reason === undefined) return
    const error = thrown === undefined ? undefined : asFleetError(thrown)
    this.#view = { state, error, since: state === before ? since : Date.now() }
    for (const listener of [...this.#listeners]) listener()
  }
}
