import { FleetError } from '@taskfleet/protocol'
import type { Socket } from 'socket.io'
import type { Accounts } from './accounts.ts'

/** How many tasks one connection to a host watches at most. */
const WATCHED_AT_MOST = 1_000

/** The ids of the tasks that one connection watches at a host, counted for its key and its address. */
export class WatchedRows {
  readonly #socket: Socket
  readonly #accounts: Accounts
  readonly #ids = new Set<string>()

  constructor(socket: Socket, accounts: Accounts) {
    this.#socket = socket
    this.#accounts = accounts
  }

  /** @returns whether it was not watched before. @throws {FleetError} `TOO_MANY_WATCHES` */
  take(id: string): boolean {
    if (this.#ids.has(id)) return false
    if (this.#ids.size >= WATCHED_AT_MOST) {
      throw new FleetError('TOO_MANY_WATCHES', `At most ${WATCHED_AT_MOST} watched tasks for one connection to a host`)
    }
    this.#accounts.takeWatched(this.#socket)
    this.#ids.add(id)
    return true
  }

  give(id: string): void {
    if (this.#ids.delete(id)) this.#accounts.giveWatched(this.#socket)
  }

  clear(): void {
    for (const id of [...this.#ids]) this.give(id)
  }
}
