import { LOCAL, type Principal } from '@taskfleet/core'
import { Service, sameRights, WatchLoop } from '@taskfleet/core/internal'
import type { Logger } from 'pino'
import type { Socket } from 'socket.io'
import type { Access } from './access.ts'

/** How long a connection stays open to get the answer to its change of keys. */
const CHANGE_MS = 5_000

interface Held {
  /** The principal with which the connection was opened. */
  principal: Principal
  expiresAt: Date | undefined
}

/**
 * The open connections by their key. They are closed soon after it is revoked, has expired or has other permissions. A client
 * whose key is still valid reconnects at once, with the current permissions.
 */
export class KeyHolders extends Service {
  readonly #access: Access
  readonly #log: Logger
  readonly #everyMs: number
  readonly #sockets = new Map<Socket, Held>()
  readonly #now: () => Date
  /** Connections that are changing keys at the moment. */
  readonly #changing = new Set<Socket>()

  constructor(access: Access, options: { log: Logger; everyMs: number; now: () => Date }) {
    super()
    this.#access = access
    this.#log = options.log
    this.#everyMs = options.everyMs
    this.#now = options.now
  }

  protected override async onStart(): Promise<void> {
    const checks = { look: () => this.#check(), everyMs: this.#everyMs, log: this.#log }
    await this.use(new WatchLoop({ ...checks, failed: 'keys could not be checked' }))
  }

  /** @param expiresAt when the token itself ends, even if its key is valid */
  add(socket: Socket, principal: Principal, expiresAt?: Date): void {
    this.#sockets.set(socket, { principal, expiresAt })
    socket.on('disconnect', () => this.#sockets.delete(socket))
  }

  /** Called when the connection's token was replaced by one that ends later. */
  extend(socket: Socket, expiresAt: Date): void {
    const held = this.#sockets.get(socket)
    if (held?.expiresAt !== undefined && held.expiresAt < expiresAt) held.expiresAt = expiresAt
  }

  /**
   * Lets a connection get the answer to a change of keys before that change closes it: the token of a fleet's first key is shown
   * nowhere else.
   */
  async whileChanging<T>(socket: Socket, change: Promise<T>): Promise<T> {
    this.#changing.add(socket)
    const tooLong = setTimeout(() => this.#changing.delete(socket), CHANGE_MS)
    try {
      return await change
    } finally {
      clearTimeout(tooLong)
      this.#changing.delete(socket)
    }
  }

  async #check(): Promise<void> {
    if (this.#sockets.size === 0) return
    const looked = [...this.#sockets]
    const present = await this.#access.keys.principals([...new Set(looked.map(([, { principal }]) => principal.id))])
    // A client that connected while there was no key must send one as soon as there is one.
    if (!(await this.#access.locked())) present.set(LOCAL.id, LOCAL)
    const now = this.#now()
    for (const [socket, held] of looked) {
      const code = whyCut(held, present.get(held.principal.id), now)
      if (code === undefined || this.#changing.has(socket)) continue
      this.#log.info(
        { key: held.principal.id, code },
        'a connection is closed: the permissions of its key have changed',
      )
      socket.disconnect()
    }
  }
}

/** @param present the key's current permissions; undefined when it is no longer valid */
function whyCut({ principal, expiresAt }: Held, present: Principal | undefined, now: Date): string | undefined {
  if (expiresAt !== undefined && expiresAt <= now) return 'TOKEN_EXPIRED'
  if (present === undefined) return 'REVOKED'
  return sameRights(principal, present) ? undefined : 'RIGHTS_CHANGED'
}
