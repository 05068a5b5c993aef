import pLimit from 'p-limit'
import type { Socket } from 'socket.io'
import type { Accounts } from './accounts.ts'
import type { Backlog } from './backlog.ts'

/** How many small answers a connection may wait for at once. */
const SMALL_AT_ONCE = 4

/** How much a request reads. A page of tasks has half a megabyte, one task with its input, output and checkpoint three quarters. */
export type Reads = 'small' | 'large'

/**
 * Answers what a connection reads no faster than it takes the answers: large ones one after the other, and nothing while it is behind.
 * So a client that asks and never reads costs the memory of about one answer, until its connection is closed.
 */
export class ReadTurns {
  readonly #socket: Socket
  readonly #backlog: Backlog
  readonly #accounts: Accounts
  readonly #turns = { small: pLimit(SMALL_AT_ONCE), large: pLimit(1) }

  constructor(socket: Socket, { backlog, accounts }: { backlog: Backlog; accounts: Accounts }) {
    this.#socket = socket
    this.#backlog = backlog
    this.#accounts = accounts
  }

  /** @throws {FleetError} `TOO_MANY_BYTES` for a client whose key or address leaves too much unread */
  check(): void {
    this.#accounts.checkBytes(this.#socket)
  }

  /** @param answer does what was asked and sends the answer; nothing is done for a connection that is gone */
  async take(reads: Reads, answer: () => Promise<void>): Promise<void> {
    await this.#turns[reads](async () => {
      if (!(await this.#isReading())) return
      await answer()
      await this.#isReading()
    })
  }

  async #isReading(): Promise<boolean> {
    return this.#backlog.untilRead(this.#socket).then(
      () => true,
      () => false,
    )
  }
}
